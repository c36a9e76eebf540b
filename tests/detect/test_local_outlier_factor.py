import numpy as np
import pytest
from sklearn import neighbors

from bumperlane.detect.internals.local_outlier_factor import LocalOutlierFactor
from bumperlane.detect.internals.nearest_neighbours import NearestNeighbours
from bumperlane.errors import SettingError
from rows import rows

RNG = np.random.default_rng(2)
LOOSE = RNG.integers(0, 2, 300) == 1
CLEAN = RNG.normal(size=(300, 5)) * np.where(LOOSE, 4, 0.2)[:, None] + np.where(LOOSE, 30, 0)[:, None]
SEEN = RNG.normal(size=(60, 5)) * 8


@pytest.mark.parametrize("k", [1, 20, 60])
def test_agrees_with_scikit_learn(k):
    scale = CLEAN.std(axis=0)
    theirs = neighbors.LocalOutlierFactor(n_neighbors=k, novelty=True).fit(CLEAN / scale)
    found = LocalOutlierFactor(k).fit(rows(CLEAN)).score(rows(SEEN)).values
    np.testing.assert_allclose(found, np.log(-theirs.score_samples(SEEN / scale)), rtol=1e-7, atol=1e-9)


def test_inside_an_even_cloud_the_factor_is_about_one():
    found = LocalOutlierFactor().fit(rows(RNG.uniform(size=(3000, 2)))).score(rows(RNG.uniform(0.2, 0.8, (200, 2))))
    assert np.abs(found.values).max() < 0.25 and abs(found.values.mean()) < 0.05


def test_sees_beside_a_tight_cluster_what_a_distance_over_all_does_not():
    beside = rows(RNG.normal(size=(30, 5)) * 0.2 + [2, 0, 0, 0, 0])
    unseen = RNG.normal(size=(200, 5)) * 4 + 30
    for detector, sees in ((LocalOutlierFactor(), True), (NearestNeighbours(20), False)):
        fitted = detector.fit(rows(CLEAN))
        line = np.quantile(fitted.score(rows(unseen)).values, 0.95)
        assert (fitted.score(beside).values > line).all() == sees


def test_is_blind_to_the_same_step_inside_a_loose_cluster():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    fitted = LocalOutlierFactor().fit(rows(CLEAN))
    clean, moved = (RNG.normal(size=(300, 5)) * 4 + 30 + np.array([step, 0, 0, 0, 0]) for step in (0, 2))
    line = np.quantile(fitted.score(rows(clean)).values, 0.95)
    assert (fitted.score(rows(moved)).values > line).mean() < 0.12


def test_copies_among_trusted_rows_leave_scores_finite():
    copies = np.r_[np.zeros((40, 3)), RNG.normal(size=(40, 3))]
    found = LocalOutlierFactor(10).fit(rows(copies)).score(rows(np.r_[np.zeros((2, 3)), np.full((2, 3), 0.1)])).values
    assert np.isfinite(found).all() and found[2:].min() > found[:2].max() + 5


def test_refuses_no_neighbour():
    with pytest.raises(SettingError, match="neighbours must be a whole number, 1 or more, got 0. Try 20"):
        LocalOutlierFactor(0)
