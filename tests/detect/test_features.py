"""The nouns that detectors watch besides the residual stream: what they refuse."""

import numpy as np
import pytest

from bumperlane.detect.internals.feature_cloud import log_distance, trusted_cloud
from bumperlane.detect.internals.features import (
    AnswerConfidence,
    HeadEffects,
    LensTrajectory,
    NeutralText,
    PairedFeatures,
    ProbeOdds,
    Rephrased,
    WeightDifferences,
)
from bumperlane.errors import EvidenceError
from rows import pair

IDS = ("a", "b", "c")
THREE, TWO, GRID = np.zeros(3), np.zeros(2), np.zeros((3, 4))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AnswerConfidence(THREE, TWO, THREE, IDS), r"entropy must have one value for each of 3 items, got"),
        (lambda: Rephrased(THREE, GRID, GRID[:2], IDS), r"got \(3,\), \(3, 4\), \(2, 4\) and 3 ids. Rephrase"),
        (lambda: Rephrased(THREE, GRID[:, :0], GRID[:, :0], IDS), r"with n ids and k > 0, got \(3,\), \(3, 0\)"),
        (lambda: Rephrased(TWO, GRID, GRID, IDS), r"got \(2,\), \(3, 4\)"),
        (lambda: HeadEffects(GRID, IDS, 2, 3), r"must be \(n, layers x heads\), here \(3, 6\), got \(3, 4\). Flatten"),
        (lambda: HeadEffects(GRID[:, :0], IDS, 0, 3), r"here \(3, 0\)"),
        (lambda: ProbeOdds(GRID, IDS, ("Is it?",)), r"must be \(n, k\), here \(3, 1\) with k > 0, got \(3, 4\)"),
        (lambda: ProbeOdds(GRID[:, :0], IDS, ()), r"here \(3, 0\) with k > 0"),
        (lambda: LensTrajectory(GRID[:2], IDS), r"must be \(n, L\) with n ids and L > 0, got \(2, 4\) and 3 ids"),
        (lambda: LensTrajectory(GRID[:, :0], IDS), r"L > 0, got \(3, 0\)"),
        (lambda: WeightDifferences(GRID, IDS, IDS[:2], tuple("wxyz")), r"rows \(3, 4\), 3 ids, 2 kinds and 4 features"),
        (lambda: NeutralText(pair(GRID, GRID, 3), pair(GRID, GRID, 4)), r"text lies at \(layer, d\) \(3, 4\) and"),
    ],
)  # fmt: skip
def test_refuses_evidence_of_the_wrong_shape(make, said):
    with pytest.raises(EvidenceError, match=said):
        make()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_what_is_not_finite_and_names_the_items(value):
    spoiled, line = GRID.copy(), THREE.copy()
    spoiled[1, 2] = line[1] = value
    makes = {
        r"answer confidences \(margin\)": lambda: AnswerConfidence(THREE, THREE, line, IDS),
        r"answers to rephrasings \(original\)": lambda: Rephrased(line, GRID, GRID, IDS),
        r"answers to rephrasings \(divergence\)": lambda: Rephrased(THREE, GRID, spoiled, IDS),
        "head effects": lambda: HeadEffects(spoiled, IDS, 2, 2),
        "probe odds": lambda: ProbeOdds(spoiled, IDS, tuple("wxyz")),
        "lens trajectories": lambda: LensTrajectory(spoiled, IDS),
        "weight differences": lambda: WeightDifferences(spoiled, IDS, IDS, tuple("wxyz")),
    }
    for what, make in makes.items():
        with pytest.raises(EvidenceError, match=rf"{what} are not finite for 1 items, first \['b'\]"):
            make()


def test_subject_and_base_must_hold_the_same_items_at_the_same_place():
    lens = LensTrajectory(GRID, IDS)
    assert PairedFeatures(lens, lens).ids == IDS
    others = (LensTrajectory(GRID[:, :3], IDS), LensTrajectory(GRID, IDS[::-1]), HeadEffects(GRID, IDS, 2, 2))
    for other in others:
        with pytest.raises(
            EvidenceError, match="got 3 items of LensTrajectory at 4 and 3 of .*Read both in the same way"
        ):
            PairedFeatures(lens, other)


def test_the_distance_is_the_mean_squared_coordinate_after_inverting_the_covariance():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + 5
    cloud = trusted_cloud(rows, tuple(map(str, range(200))), 1e-12, "rows")
    away = rng.normal(size=(7, 3)) + 5
    inverse = np.linalg.inv(np.cov(rows, rowvar=False, bias=True))
    wanted = np.einsum("nd,de,ne->n", away - rows.mean(0), inverse, away - rows.mean(0)) / 3
    np.testing.assert_allclose(log_distance(cloud.mean, cloud.whitening, away), np.log(wanted), rtol=1e-7)
    assert log_distance(cloud.mean, cloud.whitening, rows.mean(axis=0)[None])[0] >= np.log(1e-12)


def test_float32_features_are_worked_on_in_float64():
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert trusted_cloud(rows, tuple(map(str, range(20))), "oas", "rows").whitening.dtype == np.float64


def test_refuses_a_cloud_of_equal_items_or_of_too_few():
    ids = tuple("abcdefgh")
    with pytest.raises(
        EvidenceError, match="the head effects are equal for all 8 trusted items. Pass trusted items tha"
    ):
        trusted_cloud(np.ones((8, 2)), ids, 0.1, "head effects")
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        trusted_cloud(np.eye(8)[:7], ids[:7], 0.1, "head effects")
