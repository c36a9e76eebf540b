from itertools import product

import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.rates import binomial_tail, clustered_difference, exact_interval, rate_difference

RATES = (0.0, 0.02, 0.5, 0.95, 1.0)


@pytest.mark.parametrize("k, n", [(0, 8), (3, 8), (8, 8), (1, 100), (57, 100)])
def test_exact_interval_agrees_with_scipy(k, n):
    theirs = stats.binomtest(k, n).proportion_ci(0.9, method="exact")
    ours = exact_interval(k, n, 0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert (ours.value, ours.level) == (k / n, 0.9)


def test_exact_interval_covers_every_rate_at_the_stated_level():
    intervals = [exact_interval(k, 12) for k in range(13)]
    for rate in np.linspace(0, 1, 201):
        covers = [i.low <= rate <= i.high for i in intervals]
        assert stats.binom.pmf(np.arange(13), 12, rate) @ covers >= 0.95 - 1e-9


@pytest.mark.parametrize(
    "counts, low, high",
    [((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090), ((10, 10, 0, 10), 0.6075, 1.0)],
)
def test_rate_difference_agrees_with_the_table_in_newcombe_1998(counts, low, high):
    ours = rate_difference(*counts)
    assert (round(ours.low, 4), round(ours.high, 4)) == (low, high)


def test_rate_difference_changes_sign_when_the_arms_are_swapped():
    one, other = rate_difference(9, 12, 2, 15), rate_difference(2, 15, 9, 12)
    assert (one.low, one.value, one.high) == pytest.approx((-other.high, -other.value, -other.low))


def test_binomial_tail_agrees_with_the_sum_of_terms():
    assert binomial_tail(3, 8, 0.1) == pytest.approx(stats.binom.pmf([3, 4, 5, 6, 7, 8], 8, 0.1).sum())
    assert binomial_tail(0, 8, 0.1) == 1


def test_clustered_difference_with_one_seed_an_arm_is_newcombes():
    assert clustered_difference([(9, 10)], [(3, 10)]) == rate_difference(9, 10, 3, 10)


def test_clustered_difference_of_seeds_that_agree_treats_their_items_as_one_sample():
    ours, pooled = clustered_difference([(6, 12)] * 3, [(3, 12)] * 3), rate_difference(18, 36, 9, 36)
    assert (ours.low, ours.value, ours.high) == pytest.approx((pooled.low, pooled.value, pooled.high))


def test_clustered_difference_keeps_a_width_when_all_seeds_agree_at_the_ends():
    ours = clustered_difference([(12, 12)] * 2, [(0, 12)] * 2)
    assert ours.value == 1 and ours.high == 1 and 0.6 < ours.low < 0.9


def test_clustered_difference_widens_when_seeds_disagree():
    agree = clustered_difference([(6, 12)] * 2, [(0, 12)] * 2)
    disagree = clustered_difference([(12, 12), (0, 12)], [(0, 12)] * 2)
    assert agree.low > 0 > disagree.low


def test_clustered_difference_lends_the_design_effect_to_an_arm_with_one_seed():
    several = [(150, 200), (120, 200), (90, 200), (110, 200), (130, 200)]
    own, lent = clustered_difference([(60, 100)] * 2, several), clustered_difference([(120, 200)], several)
    assert lent.high - lent.low > 1.3 * (own.high - own.low)


def test_clustered_difference_with_one_borrowed_design_effect_has_the_lenders_degrees_of_freedom():
    several = [(15_000, 20_000), (12_000, 20_000), (9_000, 20_000)]  # the binomial part is negligible
    ours = clustered_difference([(12_000, 20_000)], several)
    design = np.var([0.75, 0.6, 0.45], ddof=1) / 3 / (0.24 / 60_000)
    half = [_wilson_half(0.6, n / design, stats.t.ppf(0.975, 2)) for n in (20_000, 60_000)]
    assert ours.high == pytest.approx(np.hypot(half[0][1], half[1][0]), rel=0.02)


def _wilson_half(rate, n, quantile):
    """Distances from a rate down and up to its Wilson limits, as roots of the score equation."""
    square = quantile**2 / n
    low, high = sorted(np.roots([1 + square, -(2 * rate + square), rate**2]).real)
    return rate - low, high - rate


def _coverage(setting, level, spread, times):
    n, seeds, a, b = setting
    rng = np.random.default_rng(7)

    def draw(rate):
        if spread == 0 or rate in (0, 1):
            return rng.binomial(n, rate, (times, seeds))
        sd = min(spread, 0.9 * np.sqrt(rate * (1 - rate)))
        size = rate * (1 - rate) / sd**2 - 1
        return rng.binomial(n, rng.beta(rate * size, (1 - rate) * size, (times, seeds)))

    hits, known = 0, {}
    for one, other in zip(draw(a).tolist(), draw(b).tolist(), strict=True):
        key = tuple(sorted(one)), tuple(sorted(other))
        if key not in known:
            known[key] = clustered_difference([(k, n) for k in key[0]], [(k, n) for k in key[1]], level)
        hits += known[key].low - 1e-9 <= a - b <= known[key].high + 1e-9
    return hits / times


SETTINGS = [(n, m, a, b) for n, m, a, b in product((8, 12, 24), (2, 3), RATES, RATES) if a <= b]


def test_clustered_difference_covers_as_its_docstring_says_when_seeds_share_one_rate():
    covered = [_coverage(s, 0.95, 0.0, 600) for s in SETTINGS]
    assert min(covered) >= 0.89 and np.mean(covered) >= 0.965  # 0.92 less 3 SD of 600 draws


def test_clustered_difference_covers_as_its_docstring_says_when_seeds_differ():
    covered = [_coverage(s, 0.95, 0.1, 600) for s in SETTINGS]
    assert min(covered) >= 0.87 and np.mean(covered) >= 0.96


def test_two_seeds_cannot_show_how_much_seeds_differ():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    assert 0.80 <= _coverage((24, 2, 0.0, 0.5), 0.95, 0.2, 2000) <= 0.88


@pytest.mark.parametrize("k, n", [(3, 2), (-1, 5), (0, 0)])
def test_refuses_impossible_counts(k, n):
    with pytest.raises(EvidenceError, match=f"k={k} of n={n}"):
        exact_interval(k, n)


def test_refuses_an_arm_without_retrains_and_a_level_outside_its_range():
    with pytest.raises(EvidenceError, match="second arm of the experiment has no retrains"):
        clustered_difference([(1, 2)], [])
    with pytest.raises(SettingError, match="level must be between 0 and 1, got 95"):
        exact_interval(1, 2, 95)
    with pytest.raises(SettingError, match="a rate must be in"):
        binomial_tail(1, 2, 1.1)
