import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.subjects.spectrum import FEATURES, edge_over_median, spectrum_features

RNG = np.random.default_rng(0)


def features(matrix, norm=50.0, spectral=5.0):
    values = np.linalg.svd(matrix, compute_uv=False)
    return dict(zip(FEATURES, spectrum_features(values, max(matrix.shape), norm, spectral), strict=True))


def test_agrees_with_the_definitions():
    matrix = RNG.normal(size=(20, 35))
    values = np.linalg.svd(matrix, compute_uv=False)
    share = values / values.sum()
    found = features(matrix)
    assert found["log relative norm"] == pytest.approx(np.log(np.linalg.norm(matrix) / 50))
    assert found["log relative spectral norm"] == pytest.approx(np.log(np.linalg.norm(matrix, 2) / 5))
    assert found["log stable rank"] == pytest.approx(2 * np.log(np.linalg.norm(matrix) / np.linalg.norm(matrix, 2)))
    assert found["log effective rank"] == pytest.approx(-(share * np.log(share)).sum())


@pytest.mark.parametrize("beta", [0.05, 0.5, 1.0])
def test_the_edge_of_noise_is_that_of_a_large_random_matrix(beta):
    n = 1500
    values = np.linalg.svd(RNG.normal(size=(round(beta * n), n)), compute_uv=False)
    assert edge_over_median(beta) == pytest.approx(values[0] / np.median(values), rel=0.03)


@pytest.mark.parametrize("beta", [0.1, 0.7, 1.0])
def test_half_of_marchenko_and_pastur_lies_below_the_median(beta):
    """By adding up the density as the paper gives it, on a fine grid."""
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2
    edges = np.linspace(low, high, 2_000_001)
    x = (edges[1:] + edges[:-1]) / 2
    density = np.sqrt((high - x) * (x - low)) / (2 * np.pi * beta * x)
    median = high / edge_over_median(beta) ** 2
    assert (density[x < median].sum() * (x[1] - x[0]), density.sum() * (x[1] - x[0])) == pytest.approx(
        (0.5, 1), abs=2e-3
    )


def test_noise_has_no_spike_and_a_planted_direction_stands_out():
    noise = RNG.normal(size=(300, 400))
    u, v = RNG.normal(size=300), RNG.normal(size=400)
    planted = noise + 80 * np.outer(u, v) / np.linalg.norm(u) / np.linalg.norm(v)
    assert abs(features(noise)["log spike"]) < 0.05
    assert features(planted)["log spike"] == pytest.approx(np.log(80 / (np.sqrt(300) + np.sqrt(400))), abs=0.12)


def test_ranks_of_known_matrices():
    one, three = np.outer(np.arange(1, 6.0), np.ones(8)), np.eye(5, 8)[[0, 1, 2, 0, 0]] * [[1], [1], [1], [0], [0]]
    assert features(one)["log stable rank"] == pytest.approx(0) == features(one)["log effective rank"]
    assert np.exp(features(three)["log stable rank"]) == pytest.approx(3)
    assert np.exp(features(three)["log effective rank"]) == pytest.approx(3)


def test_a_turned_matrix_has_the_same_features_and_a_scaled_one_only_another_size():
    matrix = RNG.normal(size=(12, 20))
    q, r = (np.linalg.qr(RNG.normal(size=(n, n)))[0] for n in (12, 20))
    assert features(q @ matrix @ r) == pytest.approx(features(matrix))
    larger = features(7 * matrix)
    for name, value in features(matrix).items():
        assert larger[name] == pytest.approx(value + (np.log(7) if "relative" in name else 0))


@pytest.mark.parametrize(
    ("values", "norm", "what"),
    [
        (np.zeros(3), 1.0, "3 values, the largest 0, and base norms 1 and 1"),
        (np.zeros(0), 1.0, "0 values, the largest 0,"),
        (np.ones(3), 0.0, "base norms 0 and 1"),
        (np.array([1, np.nan]), 1.0, "got 2 values, the largest nan"),
    ],
)
def test_refuses_a_spectrum_that_says_nothing(values, norm, what):
    with pytest.raises(EvidenceError, match=f"{what}.*Leave unchanged matrices out"):
        spectrum_features(values, 5, norm, 1.0)
