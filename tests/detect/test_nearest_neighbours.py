import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from bumperlane.detect.internals import nearest_neighbours
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.nearest_neighbours import NearestNeighbours, nearest
from bumperlane.errors import EvidenceError, SettingError
from rows import rows

RNG = np.random.default_rng(1)
CLEAN = RNG.normal(size=(300, 6)) @ RNG.normal(size=(6, 6)) + 3
SEEN = RNG.normal(size=(40, 6)) * 4


def standard(x):
    return (x - CLEAN.mean(axis=0)) / CLEAN.std(axis=0)


def by_scikit_learn(clean, seen, k):
    """Log of the k-th distance over the median of the trusted rows', which each have themselves as nearest."""
    own = NearestNeighbors(n_neighbors=k + 1).fit(clean).kneighbors(clean)[0][:, -1]
    return np.log(NearestNeighbors(n_neighbors=k).fit(clean).kneighbors(seen)[0][:, -1] / np.median(own))


@pytest.mark.parametrize("k", [1, 5, 40])
def test_agrees_with_scikit_learn(k):
    found = NearestNeighbours(k).fit(rows(CLEAN)).score(rows(SEEN)).values
    np.testing.assert_allclose(found, by_scikit_learn(standard(CLEAN), standard(SEEN), k), rtol=1e-9)


def test_unit_rows_are_compared_by_direction_alone_as_in_the_paper():
    def unit(x):
        return standard(x) / np.linalg.norm(standard(x), axis=1, keepdims=True)

    fitted = NearestNeighbours(5, unit=True).fit(rows(CLEAN))
    np.testing.assert_allclose(fitted.score(rows(SEEN)).values, by_scikit_learn(unit(CLEAN), unit(SEEN), 5), rtol=1e-9)
    further = CLEAN.mean(axis=0) + 7 * (SEEN - CLEAN.mean(axis=0))
    np.testing.assert_allclose(fitted.score(rows(further)).values, fitted.score(rows(SEEN)).values, atol=1e-9)
    assert np.isfinite(fitted.score(rows(CLEAN.mean(axis=0)[None])).values).all()


def test_whitened_distances_agree_with_scipy_under_scikit_learns_shrunk_matrix():
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(standard(CLEAN)).covariance_)

    def kth(x, k):
        return np.sort(cdist(standard(x), standard(CLEAN), "mahalanobis", VI=inverse), axis=1)[:, k - 1]

    found = NearestNeighbours(5, whitened=True).fit(rows(CLEAN)).score(rows(SEEN)).values
    np.testing.assert_allclose(found, np.log(kth(SEEN, 5) / np.median(kth(CLEAN, 6))), rtol=1e-7)


def test_the_blocks_that_bound_memory_change_nothing(monkeypatch):
    trusted, seen = RNG.normal(size=(200, 5)), RNG.normal(size=(33, 5))
    whole = nearest(seen, trusted, 4)
    monkeypatch.setattr(nearest_neighbours, "CELLS", 450)  # two rows at once
    parts = nearest(seen, trusted, 4)
    np.testing.assert_array_equal(parts[1], whole[1])
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-12)


def test_finds_indices_in_order_and_leaves_out_the_row_itself():
    trusted = RNG.normal(size=(1500, 5))
    distances, indices = nearest(trusted, trusted, 700, leave=np.arange(1500))
    apart = cdist(trusted, trusted) + np.diag(np.full(1500, np.inf))
    np.testing.assert_array_equal(indices, np.argsort(apart, axis=1)[:, :700])
    np.testing.assert_allclose(distances, np.sort(apart, axis=1)[:, :700], rtol=1e-9)


def test_a_row_between_two_clusters_is_seen_where_mahalanobis_sees_the_middle():
    clusters = RNG.normal(size=(400, 4)) + 10 * RNG.integers(0, 2, (400, 1))
    between = rows(RNG.normal(size=(30, 4)) + 5)
    assert NearestNeighbours().fit(rows(clusters)).score(between).values.min() > 1
    assert np.median(Mahalanobis().fit(rows(clusters)).score(between).values) < 0


def test_is_blind_to_a_change_in_one_of_many_dimensions():
    """The limit named in the docstring: the distance over all dimensions drowns it."""
    fitted = NearestNeighbours().fit(rows(RNG.normal(size=(400, 576))))
    clean, moved = RNG.normal(size=(200, 576)), RNG.normal(size=(200, 576))
    moved[:, 0] += 4
    line = np.quantile(fitted.score(rows(clean)).values, 0.95)
    assert (fitted.score(rows(moved)).values > line).mean() < 0.25


def test_a_copy_of_a_trusted_row_has_a_finite_score():
    fitted = NearestNeighbours(1).fit(rows(CLEAN))
    np.testing.assert_allclose(fitted.score(rows(CLEAN[:5])).values, np.log(1e-3))


def test_refuses_trusted_rows_that_are_mostly_copies():
    copies = np.repeat(RNG.normal(size=(4, 3)), 15, axis=0)
    with pytest.raises(EvidenceError, match="most of the 60 trusted rows at layer 12 have 10 or more exact copies"):
        NearestNeighbours(10).fit(rows(copies))
    NearestNeighbours(15).fit(rows(copies))


@pytest.mark.parametrize("k", [0, -1, 2.5])
def test_refuses_no_neighbour(k):
    with pytest.raises(SettingError, match=rf"neighbours must be a whole number, 1 or more, got {k}. Try 10"):
        NearestNeighbours(k)
