import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.conformal import Split, p_values, threshold


def test_threshold_is_the_stated_order_statistic():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 101.0))
    assert threshold(scores, 0.05) == 96  # ceil(101 * 0.95)
    assert threshold(scores[:19], 0.05) == scores[:19].max()


def test_a_new_clean_score_exceeds_the_threshold_no_more_often_than_stated():
    rng = np.random.default_rng(1)
    over = [rng.normal(size=50) > threshold(rng.normal(size=n), 0.05) for n in (19, 30, 39) for _ in range(1500)]
    assert np.mean(over) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4500)
    assert np.mean(over) >= 0.035


def test_p_values_count_clean_scores_at_or_above():
    clean = np.array([1.0, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(p_values(clean, np.array([0, 2, 3, 4])), [1, 4 / 5, 2 / 5, 1 / 5])


def test_a_score_is_over_the_threshold_exactly_when_its_p_value_is_at_most_alpha():
    rng = np.random.default_rng(2)
    clean, new = rng.normal(size=57), rng.normal(size=400)
    np.testing.assert_array_equal(new > threshold(clean, 0.1), p_values(clean, new) <= 0.1)


def test_threshold_says_how_many_clean_items_are_missing():
    with pytest.raises(EvidenceError, match="takes 19 clean items, got 16: 3 are missing"):
        threshold(np.zeros(16), 0.05)
    assert threshold(np.zeros(19), 0.05) == 0


def test_refuses_scores_that_are_not_finite_and_an_alpha_outside_its_range():
    with pytest.raises(EvidenceError, match="1 not finite"):
        threshold(np.array([1.0, np.nan]), 0.5)
    with pytest.raises(SettingError, match="alpha must be between 0 and 1, got 5"):
        threshold(np.zeros(10), 5)
    with pytest.raises(EvidenceError, match="at least 1 clean item, got 0"):
        p_values(np.array([]), np.zeros(1))


def test_an_id_may_have_one_role_only():
    assert Split(("a",), ("b",), ("c",), ("d",)).bait == ("d",)
    with pytest.raises(EvidenceError, match=r"2 ids have two roles, first a \(fit and bait\), b \(fit and fit\)"):
        Split(fit=("a", "b", "b"), bait=("a",))
