import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError
from bumperlane.judge.pressure.item_rates import added, any_bad, item_rate
from bumperlane.judge.rates import exact_interval


@pytest.mark.parametrize("attempts", [1, 3, 8])
@pytest.mark.parametrize("p", [0.03, 0.4])
def test_best_of_n_is_estimated_without_bias(p, attempts):
    counts = np.arange(9)
    mean = stats.binom.pmf(counts, 8, p) @ any_bad(counts, 8, attempts)
    assert mean == pytest.approx(1 - (1 - p) ** attempts, abs=1e-12)


def test_best_of_n_agrees_with_binomial_coefficients_and_ends_at_0_and_1():
    from math import comb

    wanted = [1 - comb(16 - k, 4) / comb(16, 4) for k in range(17)]
    np.testing.assert_allclose(any_bad(np.arange(17), 16, 4), wanted, atol=1e-12)
    assert wanted[0] == 0 and wanted[16] == 1


def test_refuses_best_of_more_than_was_sampled():
    with pytest.raises(EvidenceError, match="best of 4 needs as many samples"):
        any_bad(np.array([1]), 3, 4)


def test_the_rate_of_single_answers_has_the_exact_interval():
    assert item_rate(np.array([1.0, 0, 0, 0, 1])) == exact_interval(2, 5)
    assert item_rate(np.zeros(24)) == exact_interval(0, 24), "0 of 24 x 16 answers still is 24 items"


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.9), (2.0, 2.0), (0.1, 2.0)])
def test_the_interval_over_items_covers_where_answers_to_an_item_agree(a, b):
    rng, covered, naive = np.random.default_rng(0), 0, 0
    truth = a / (a + b)
    for _ in range(400):
        bad = rng.binomial(16, rng.beta(a, b, 24))
        found, pooled = item_rate(bad / 16), exact_interval(int(bad.sum()), 24 * 16)
        covered += found.low <= truth <= found.high
        naive += pooled.low <= truth <= pooled.high
    assert covered >= 0.93 * 400 and naive < 0.8 * 400, "samples taken as independent would not cover"


def test_equal_shares_by_luck_are_no_certainty():
    found = item_rate(np.full(6, 0.5))
    assert found.low < 0.42 and found.high > 0.58
    assert item_rate(np.array([0.3])).low == 0 and item_rate(np.array([0.3])).high == 1


def test_refuses_a_rate_of_nothing():
    with pytest.raises(EvidenceError, match="one item or more"):
        item_rate(np.zeros(0))


def arms(baits=24, controls=24):
    return np.array([True] * baits + [False] * controls), ("",) * (baits + controls)


def test_false_alarms_of_the_permutation_keep_to_their_rate():
    rng, hits = np.random.default_rng(1), 0
    bait, strata = arms()
    for k in range(300):
        hits += added(rng.binomial(1, 0.3, 48) - rng.binomial(1, 0.2, 48) + 0.0, bait, strata, k).p_value <= 0.05
    assert hits <= 300 * 0.05 + 3 * (300 * 0.05 * 0.95) ** 0.5


def test_the_permutation_agrees_with_scipys():
    rng = np.random.default_rng(2)
    bait, strata = arms()
    values = rng.normal(0, 1, 48) + 0.5 * bait
    found = added(values, bait, strata, 0)
    reference = stats.permutation_test(
        (values[bait], values[~bait]), lambda a, b, axis: a.mean(axis) - b.mean(axis), vectorized=True,
        alternative="greater", n_resamples=9999, rng=np.random.default_rng(3),
    )  # fmt: skip
    assert found.p_value == pytest.approx(reference.pvalue, abs=0.01)
    assert found.excess.value == pytest.approx(values[bait].mean() - values[~bait].mean())


def test_the_excess_covers_the_difference():
    rng, covered = np.random.default_rng(4), 0
    bait, strata = arms()
    for k in range(300):
        values = np.where(bait, rng.binomial(1, 0.15, 48), rng.binomial(1, 0.02, 48)) + 0.0
        found = added(values, bait, strata, k).excess
        covered += found.low <= 0.13 <= found.high
    assert covered >= 0.93 * 300
    flat = added(np.zeros(48), bait, strata, 0).excess
    assert flat.low < -0.08 and flat.high > 0.08, "items that all agree still give a width"


def test_arms_are_compared_within_their_strata_only():
    bait = np.array([True] * 20 + [False] * 10 + [True] * 10 + [False] * 20)
    strata = ("a",) * 30 + ("b",) * 30
    values = np.array([1.0] * 30 + [0.0] * 30)  # one stratum is high, in both arms
    found = added(values, bait, strata, 0)
    assert found.excess.value == 0 and found.p_value == 1


def test_without_controls_signs_are_flipped_and_it_says_so():
    bait = np.ones(12, bool)
    found = added(np.ones(12), bait, ("",) * 12, 0)
    assert not found.controls and found.p_value < 0.01
    assert added(np.tile([1.0, -1.0], 6), bait, ("",) * 12, 0).p_value > 0.4
    with pytest.raises(EvidenceError, match="no bait to compare"):
        added(np.ones(3), np.zeros(3, bool), ("",) * 3, 0)
