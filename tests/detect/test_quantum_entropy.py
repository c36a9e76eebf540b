import time

import numpy as np
import pytest
from scipy.linalg import expm, sqrtm
from sklearn.metrics import roc_auc_score

import promises
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.moments import Moments
from bumperlane.detect.internals.quantum_entropy import FittedQuantumEntropy, QuantumEntropy, entropy_root
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, numbered
from rows import rows

RNG = np.random.default_rng(3)
MIX = RNG.normal(size=(6, 6))
TRUSTED = RNG.normal(size=(400, 6)) @ MIX + 5
BATCH = np.r_[RNG.normal(size=(90, 6)) @ MIX + 5, RNG.normal(size=(10, 6)) + 9]


def score(bumper, trusted, batch, seen=None):
    return bumper.fit(rows(trusted), rows(batch)).score_batch(rows(batch if seen is None else seen)).values


def by_hand(trusted, batch, alpha, share):
    """The paper's formula on whitened rows, with a matrix exponential. Both covariances are shrunk alike."""
    mean, spread = trusted.mean(axis=0), trusted.std(axis=0)
    ours, theirs = (trusted - mean) / spread, (batch - mean) / spread
    eye = np.eye(trusted.shape[1])
    white = np.linalg.inv(sqrtm((1 - share) * ours.T @ ours / len(ours) + share * eye))
    both = white @ ((1 - share) * theirs.T @ theirs / len(theirs) + share * eye) @ white.T
    q = expm(alpha * (both - eye) / (np.linalg.norm(both, 2) - 1))
    h = theirs @ white.T
    return np.log(np.einsum("nd,de,ne->n", h, q, h) / np.trace(q))


def one_common_mode(d, n, share, shift, rng, dtype=np.float64):
    """Trusted rows, a batch of which a share is shifted by so many trusted deviations in one direction, and which."""
    mix = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    way = rng.normal(size=d)
    way *= shift / np.linalg.norm(way)
    bad = np.arange(n) < share * n
    trusted = rng.normal(size=(n, d)) @ mix
    batch = (rng.normal(size=(n, d)) + bad[:, None] * way) @ mix
    return trusted.astype(dtype), batch.astype(dtype), bad


def test_keeps_every_promise(tmp_path):
    promises.keep(QuantumEntropy, tmp_path)


@pytest.mark.parametrize("share", [1e-12, 0.3])
@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_agrees_with_the_formula_of_the_paper(alpha, share):
    np.testing.assert_allclose(
        score(QuantumEntropy(alpha, share), TRUSTED, BATCH), by_hand(TRUSTED, BATCH, alpha, share), rtol=1e-8, atol=1e-9
    )


def test_finds_a_tenth_of_one_anomalous_mode_that_mahalanobis_alone_does_not():
    trusted, batch, bad = one_common_mode(64, 5000, 0.1, 4.0, np.random.default_rng(0))
    alone = Mahalanobis("oas").fit(rows(trusted)).score(rows(batch)).values
    assert roc_auc_score(bad, score(QuantumEntropy(), trusted, batch)) >= 0.98
    assert roc_auc_score(bad, alone) < 0.9


@pytest.mark.parametrize("bumper", [QuantumEntropy(), QuantumEntropy(shrinkage="ledoit-wolf")])
def test_works_with_fewer_rows_than_dimensions(bumper):
    trusted, batch, bad = one_common_mode(256, 200, 0.2, 12.0, np.random.default_rng(0))
    assert roc_auc_score(bad, score(bumper, trusted, batch)) > 0.95


def test_at_alpha_zero_it_is_the_mahalanobis_distance():
    alone = Mahalanobis(0.1).fit(rows(TRUSTED)).score(rows(BATCH)).values
    np.testing.assert_allclose(score(QuantumEntropy(0.0, 0.1), TRUSTED, BATCH), alone, rtol=1e-9)


def test_a_batch_that_varies_no_more_than_trusted_rows_has_no_direction_that_counts_more():
    alone = Mahalanobis(0.1).fit(rows(TRUSTED)).score(rows(BATCH)).values
    for batch in (TRUSTED, TRUSTED[::-1], (TRUSTED - TRUSTED.mean(axis=0)) / 2 + TRUSTED.mean(axis=0)):
        np.testing.assert_allclose(score(QuantumEntropy(4.0, 0.1), TRUSTED, batch, BATCH), alone, rtol=1e-9)


def test_units_offsets_and_mixtures_of_dimensions_do_not_matter():
    base = score(QuantumEntropy(4.0, 1e-12), TRUSTED, BATCH)
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    turned = score(QuantumEntropy(4.0, 1e-12), TRUSTED @ turn, BATCH @ turn)
    np.testing.assert_allclose(turned, base, atol=1e-5)
    scale, shift = np.array([1e-3, 1, 1e4, 7, 1, 1]), np.array([5.0, -3, 1e4, 0, 0, 1])
    np.testing.assert_allclose(
        score(QuantumEntropy(), TRUSTED * scale + shift, BATCH * scale + shift),
        score(QuantumEntropy(), TRUSTED, BATCH),
        rtol=1e-6,
    )


def test_an_anomaly_that_only_shifts_the_whole_batch_is_seen_too():
    """The batch is centred by the trusted mean: by its own, a batch that is all anomaly would look like none."""
    everyone = RNG.normal(size=(200, 6)) @ MIX + 5 + 3 * MIX[0]
    assert np.median(score(QuantumEntropy(), TRUSTED, everyone)) > 1.5


def test_merged_moments_give_the_scores_that_rows_give():
    parts = [Moments.of(rows(part)) for part in np.array_split(BATCH, 3)]
    merged = QuantumEntropy().fit_moments(Moments.of(rows(TRUSTED)), parts[2] + parts[0] + parts[1])
    np.testing.assert_allclose(
        merged.score_batch(rows(BATCH)).values, score(QuantumEntropy(), TRUSTED, BATCH), atol=1e-5
    )


def test_takes_float32_rows_as_models_give_them():
    trusted, batch, _ = one_common_mode(32, 500, 0.1, 5.0, np.random.default_rng(1))
    small = [Activations(x.astype(np.float32), numbered(500), 12) for x in (trusted, batch)]
    fitted = QuantumEntropy().fit(*small)
    assert fitted.projection.dtype == fitted.mean.dtype == np.float32
    np.testing.assert_allclose(
        fitted.score_batch(small[1]).values, score(QuantumEntropy(), trusted, batch), rtol=1e-3, atol=1e-4
    )


def test_the_trace_is_one_and_the_gain_is_the_mean_score_of_the_batch():
    more = RNG.normal(size=(5, 5))
    more += more.T
    root, gain = entropy_root(more.copy(), 4.0)
    q = expm(4 * more / np.linalg.eigvalsh(more)[-1])
    np.testing.assert_allclose(root.T @ root, q / np.trace(q), atol=1e-12)
    assert gain == pytest.approx(np.trace(q @ more) / np.trace(q))


def test_directions_in_which_the_batch_varies_far_less_do_not_overflow():
    root, gain = entropy_root(np.diag([-1.0, -0.5, 1e-5]), 50.0)
    np.testing.assert_allclose(root.T @ root, np.diag([0.0, 0.0, 1.0]), atol=1e-12)
    assert gain == pytest.approx(1e-5)


def test_a_single_request_takes_one_product_and_less_than_ten_milliseconds():
    fitted = FittedQuantumEntropy(12, 2048, np.zeros(2048, np.float32), np.tri(2048, dtype=np.float32))
    seen, taken = Activations(np.ones((1, 2048), np.float32), ("a",), 12), []
    for _ in range(7):
        began = time.perf_counter()
        fitted.score_batch(seen)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.01


def test_is_blind_to_anomalies_that_each_go_their_own_way():
    """The limit named in the docstring: here it sees no more than Mahalanobis does."""
    trusted, batch, bad = one_common_mode(64, 5000, 0.1, 0.0, np.random.default_rng(2))
    ways = np.random.default_rng(3).normal(size=(500, 64))
    ways *= 4 * np.linalg.norm(trusted[:500], axis=1)[:, None] / 8 / np.linalg.norm(ways, axis=1)[:, None]
    batch[bad] += ways
    alone = Mahalanobis("oas").fit(rows(trusted)).score(rows(batch)).values
    assert roc_auc_score(bad, score(QuantumEntropy(), trusted, batch)) <= roc_auc_score(bad, alone) + 0.01


@pytest.mark.parametrize(
    ("trusted", "batch", "which", "n"), [(7, 9, "trusted", 7), (9, 7, "untrusted", 7), (1, 9, "trusted", 1)]
)
def test_refuses_too_few_rows_on_either_side(trusted, batch, which, n):
    with pytest.raises(EvidenceError, match=f"8 or more {which} rows, got {n}. Pass more {which} prompts."):
        QuantumEntropy().fit(rows(TRUSTED[:trusted]), rows(BATCH[:batch]))
    with pytest.raises(EvidenceError, match=f"8 or more {which} rows, got {n}. Pass more {which} prompts."):
        QuantumEntropy().fit_moments(Moments.of(rows(TRUSTED[:trusted])), Moments.of(rows(BATCH[:batch])))


def test_refuses_another_place_in_the_batch_and_in_what_is_scored():
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 6\), cannot score \(13, 6\). Read the same"):
        QuantumEntropy().fit(rows(TRUSTED), rows(BATCH, 13))
    with pytest.raises(EvidenceError, match=r"cannot score \(12, 5\). Read the same layer."):
        QuantumEntropy().fit(rows(TRUSTED), rows(BATCH)).score_batch(rows(BATCH[:, :5]))


@pytest.mark.parametrize("alpha", [-0.1, 51, float("nan")])
def test_refuses_an_alpha_that_is_none(alpha):
    with pytest.raises(SettingError, match=f"alpha must be from 0 to 50, got {alpha}. Try 4."):
        QuantumEntropy(alpha)


def test_refuses_a_shrinkage_that_is_none_and_ledoit_wolf_without_rows():
    with pytest.raises(SettingError, match="shrinkage must be in"):
        QuantumEntropy(shrinkage=0)
    with pytest.raises(SettingError, match="Ledoit-Wolf shrinkage needs the rows"):
        QuantumEntropy(shrinkage="ledoit-wolf").fit_moments(Moments.of(rows(TRUSTED)), Moments.of(rows(BATCH)))
