import numpy as np
import pytest

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.moments import Moments
from bumperlane.detect.internals.whitening import Cloud, oas
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, numbered
from rows import rows

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(5000, 6)) @ RNG.normal(size=(6, 6)) + 40


def of(x):
    return Moments.of(Activations(x, numbered(len(x)), 12))


def test_agrees_with_numpy():
    found = of(ROWS)
    assert found.n == 5000
    np.testing.assert_allclose(found.mean, ROWS.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(ROWS, rowvar=False, bias=True), rtol=1e-10)
    np.testing.assert_allclose(found.correlation, np.corrcoef(ROWS, rowvar=False), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cuts", [[1], [2, 3, 4999], list(range(500, 5000, 500))])
def test_shards_of_any_size_and_order_add_up_to_the_whole(cuts):
    parts = [of(part) for part in np.split(ROWS, cuts)]
    whole, forward = of(ROWS), sum(parts[1:], parts[0])
    backward = sum(parts[-2::-1], parts[-1])
    for found in (forward, backward):
        np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(found.scatter, whole.scatter, rtol=1e-9, atol=1e-8)


def test_streaming_is_the_same_as_adding():
    streamed = Moments.stream(rows(part) for part in np.array_split(ROWS, 7))
    np.testing.assert_allclose(streamed.scatter, of(ROWS).scatter, rtol=1e-9)


def test_float32_rows_with_a_large_offset_keep_their_correlations():
    """One pass over uncentred float32 rows would lose them: the offset is a thousand times the spread."""
    shifted = (ROWS + 1e4 * np.array([1, 0, 0, 0, 0, 1])).astype(np.float32)
    np.testing.assert_allclose(of(shifted).correlation, np.corrcoef(shifted.astype(float), rowvar=False), atol=2e-5)


def test_a_dimension_that_only_rounding_moves_has_no_spread_of_its_own():
    still = np.c_[ROWS[:100], np.full(100, 1e4)].astype(np.float32)
    still[0, -1] = np.nextafter(np.float32(1e4), np.float32(2e4))
    assert of(still).spread[-1] == of(still).spread[:-1].min()


def test_refuses_rows_of_another_place_and_no_rows():
    with pytest.raises(EvidenceError, match=r"\(12, 6\) and \(12, 5\) cannot be added. Read both at the same place."):
        of(ROWS) + of(ROWS[:, :5])
    with pytest.raises(EvidenceError, match=r"\(12, 6\) and \(3, 6\) cannot be added"):
        of(ROWS) + Moments.of(rows(ROWS, layer=3))
    with pytest.raises(EvidenceError, match="moments of no rows at layer 12"):
        of(ROWS[:0])
    with pytest.raises(EvidenceError, match="moments of no shards"):
        Moments.stream([])


def test_a_detector_fitted_on_merged_moments_scores_as_one_fitted_on_the_rows():
    parts = [of(part.astype(np.float32)) for part in np.array_split(ROWS, 3)]
    merged = Mahalanobis("oas").fit_moments(parts[2] + parts[0] + parts[1])
    seen = rows(ROWS[:50] + RNG.normal(size=(50, 6)))
    np.testing.assert_allclose(
        merged.score(seen).values, Mahalanobis("oas").fit(rows(ROWS)).score(seen).values, rtol=1e-3, atol=1e-4
    )


def test_oas_agrees_with_scikit_learn():
    from sklearn.covariance import oas as theirs

    x = RNG.normal(size=(60, 20)) @ RNG.normal(size=(20, 20))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    assert oas(60, of(x).correlation) == pytest.approx(theirs(x, assume_centered=True)[1], rel=1e-9)


def test_moments_cannot_give_ledoit_wolf_and_say_so():
    with pytest.raises(SettingError, match="Ledoit-Wolf shrinkage needs the rows, .*Use 'oas' or a number."):
        Mahalanobis().fit_moments(of(ROWS))


def test_a_cloud_without_full_rank_is_an_error_that_names_the_shrinkage():
    few = RNG.normal(size=(10, 64))
    with pytest.raises(EvidenceError, match="10 trusted rows in 64 dimensions lacks full rank at shrinkage 1e-30"):
        Cloud.around(rows(few), 1e-30)
