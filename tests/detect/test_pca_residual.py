import numpy as np
import pytest
from sklearn.decomposition import PCA

import promises
from bumperlane.detect.internals.moments import Moments
from bumperlane.detect.internals.pca_residual import PCAResidual
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, numbered
from rows import rows

RNG = np.random.default_rng(10)
WIDTHS = 0.7 ** np.arange(12)
CLEAN = (RNG.normal(size=(900, 12)) * WIDTHS) @ RNG.normal(size=(12, 12)) + 5
SEEN = CLEAN[:30] + 0.3 * RNG.normal(size=(30, 12))


def scores(explained=0.9, clean=CLEAN, seen=SEEN):
    return PCAResidual(explained).fit(rows(clean)).score(rows(seen)).values


@pytest.mark.parametrize("explained", [0.3, 0.6, 0.9, 0.99])
def test_agrees_with_scikit_learn(explained):
    mean, spread = CLEAN.mean(axis=0), CLEAN.std(axis=0)
    ours, theirs = (CLEAN - mean) / spread, (SEEN - mean) / spread
    pca = PCA(explained, svd_solver="full").fit(ours)

    def left(x):
        return ((x - pca.inverse_transform(pca.transform(x))) ** 2).sum(axis=1)

    n, k = 900, pca.n_components_
    wanted = np.log(left(theirs) / left(ours).mean() * (n - 1 - k) / (n + k))
    np.testing.assert_allclose(scores(explained), wanted, rtol=1e-7, atol=1e-8)


def test_keeps_every_promise(tmp_path):
    promises.keep(PCAResidual, tmp_path)


@pytest.mark.parametrize(("n", "d"), [(900, 12), (60, 100), (10, 100)])
def test_unseen_clean_items_leave_as_much_as_expected_with_many_rows_and_with_few(n, d):
    clean = RNG.normal(size=(n + 300, d))
    assert 0.8 < np.exp(scores(clean=clean[:n], seen=clean[n:])).mean() < 1.6


def test_units_and_offsets_of_dimensions_do_not_matter():
    scale, shift = np.logspace(-3, 4, 12), np.linspace(-5, 1e4, 12)
    np.testing.assert_allclose(scores(clean=CLEAN * scale + shift, seen=SEEN * scale + shift), scores(), rtol=1e-6)


def test_is_blind_to_whatever_stays_inside_the_subspace():
    """The limit named in the docstring: a hundred trusted deviations along the main direction change nothing."""
    mean, spread = CLEAN.mean(axis=0), CLEAN.std(axis=0)
    main = PCA(1).fit((CLEAN - mean) / spread).components_[0] * spread
    np.testing.assert_allclose(scores(seen=SEEN + 100 * main), scores(), rtol=1e-6, atol=1e-8)


def test_rows_that_all_lie_in_the_subspace_make_any_step_out_of_it_stand_out():
    flat = RNG.normal(size=(50, 2)) @ RNG.normal(size=(2, 6))
    assert np.isfinite(scores(clean=flat, seen=flat)).all()
    assert scores(clean=flat, seen=flat + np.eye(6)[0]).min() > scores(clean=flat, seen=flat).max() + 5


def test_leaves_something_outside_even_when_there_are_hardly_any_rows():
    few = RNG.normal(size=(8, 20))
    fitted = PCAResidual(0.9999).fit(rows(few))
    assert fitted.outside.shape == (14, 20)
    assert np.isfinite(fitted.score(rows(RNG.normal(size=(50, 20)))).values).all()


def test_merged_moments_and_float32_rows_give_the_scores_that_rows_give():
    parts = [Moments.of(rows(part)) for part in np.array_split(CLEAN, 3)]
    merged = PCAResidual().fit_moments(parts[2] + parts[0] + parts[1])
    np.testing.assert_allclose(merged.score(rows(SEEN)).values, scores(), atol=1e-4)
    fitted = PCAResidual().fit(Activations(CLEAN.astype(np.float32), numbered(900), 12))
    assert fitted.outside.dtype == np.float32
    np.testing.assert_allclose(fitted.score(rows(SEEN)).values, scores(), atol=1e-3)


def test_refuses_too_few_rows_another_place_and_shares_that_are_none():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        PCAResidual().fit(rows(CLEAN[:7]))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 12\), cannot score \(13, 12\)"):
        PCAResidual().fit(rows(CLEAN)).score(rows(SEEN, 13))
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(SettingError, match=f"explained must be above 0 and below 1, got {share}. Try 0.9."):
            PCAResidual(share)


def test_refuses_when_nothing_lies_outside_the_subspace():
    with pytest.raises(EvidenceError, match="all 2 principal directions at layer 12 are needed to explain 0.9"):
        PCAResidual().fit(rows(RNG.normal(size=(100, 2))))
