"""Rates corrected for a scorer's errors: the formulas, and the coverage of the interval in simulation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import xlogy

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.validation import Confusion
from bumperlane.judge.corrected_rate import (
    careful,
    corners,
    corrected_rate,
    profile,
    profile_interval,
    rogan_gladen,
    why_blind,
    youden,
)
from bumperlane.judge.rates import exact_interval, rate_difference

GOOD = Confusion(45, 5, 4, 46)


def test_the_estimate_is_rogan_and_gladens_cut_at_both_ends():
    assert rogan_gladen(30, 100, GOOD) == pytest.approx((0.3 + 0.92 - 1) / (0.9 + 0.92 - 1))
    assert rogan_gladen(2, 100, GOOD) == 0 and rogan_gladen(99, 100, GOOD) == 1


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.77])
@pytest.mark.parametrize("k", [0, 13, 100])
def test_the_profile_agrees_with_a_general_optimizer(rate, k):
    c = Confusion(17, 5, 3, 27)

    def loss(at):
        s, f = 1 / (1 + np.exp(-at))
        q = rate * s + (1 - rate) * f
        return -(xlogy(k, q) + xlogy(100 - k, 1 - q) + xlogy(17, s) + xlogy(5, 1 - s) + xlogy(3, f) + xlogy(27, 1 - f))

    best = min(optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11}).fun
               for start in ([1, -1], [0, 0]))  # fmt: skip
    assert profile(np.array([rate]), k, 100, c)[0] == pytest.approx(-best, abs=1e-5)


@pytest.mark.parametrize("k", [0, 8, 40, 100])
def test_the_ends_are_where_the_likelihood_ratio_reaches_its_quantile(k):
    found = profile_interval(k, 100, GOOD)
    top = profile(np.linspace(0, 1, 4001), k, 100, GOOD).max()
    for end in (found.low, found.high):
        if 0 < end < 1:
            assert 2 * (top - profile(np.array([end]), k, 100, GOOD)[0]) == pytest.approx(
                stats.chi2.ppf(0.95, 1), abs=1e-2
            )
    assert found.low <= found.value <= found.high


def test_with_a_scorer_that_is_known_not_to_err_it_is_the_interval_of_the_count():
    found = corrected_rate(30, 100, Confusion(10**6, 0, 0, 10**6)).rate
    plain = stats.binomtest(30, 100).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((0.3, plain.low, plain.high), abs=0.01)


def test_calling_good_what_was_called_bad_turns_the_interval_round():
    one = corrected_rate(30, 100, GOOD).rate
    other = corrected_rate(70, 100, Confusion(GOOD.passes, GOOD.alarms, GOOD.misses, GOOD.hits)).rate
    assert (other.value, other.low, other.high) == pytest.approx((1 - one.value, 1 - one.high, 1 - one.low), abs=1e-6)


def test_the_interval_holds_the_scorers_error_and_not_the_counts_alone():
    few, many = (corrected_rate(300, 1000, c).rate for c in (Confusion(27, 3, 3, 27), Confusion(2700, 300, 300, 2700)))
    plain = exact_interval(300, 1000)
    assert few.high - few.low > 2 * (many.high - many.low) > 2 * (plain.high - plain.low)


def test_a_scorer_that_may_be_chance_makes_the_rate_blind_with_the_numbers():
    found = corrected_rate(30, 100, Confusion(12, 8, 9, 11))
    assert found.rate is None and found.apparent.value == 0.3
    assert "sensitivity + specificity - 1 is 0.15" in found.blind and "on 20 bad and 20 good items" in found.blind
    assert found.sentence().startswith("Blind: ") and "called 0.300 bad" in found.sentence()
    assert why_blind(GOOD) == "" and youden(GOOD).low == pytest.approx(rate_difference(45, 50, 4, 50).low)


def test_a_scorer_that_is_wrong_more_often_than_right_is_blind_too():
    assert corrected_rate(30, 100, Confusion(5, 45, 46, 4)).rate is None


def test_undecided_answers_widen_both_ends_by_all_they_could_be():
    plain, some = corrected_rate(30, 90, GOOD).rate, corrected_rate(30, 90, GOOD, undecided=10).rate
    assert (some.low, some.high) == pytest.approx((0.9 * plain.low, 0.9 * plain.high + 0.1))
    assert "10 undecided counted both ways" in corrected_rate(30, 90, GOOD, undecided=10).sentence()


def test_labelled_items_without_a_verdict_are_counted_as_right_and_as_wrong():
    lost = replace(GOOD, lost_bad=3, lost_good=2)
    ends = [profile_interval(30, 100, c) for c in corners(lost)]
    found = corrected_rate(30, 100, lost).rate
    assert len(ends) == 4 and found.low == min(e.low for e in ends) and found.high == max(e.high for e in ends)
    assert {c.bad for c in corners(lost)} == {53} and youden(lost).low < youden(GOOD).low
    assert corners(GOOD) == [GOOD]


def test_all_lost_items_can_make_a_scorer_blind():
    assert why_blind(GOOD) == "" and why_blind(replace(GOOD, lost_bad=400)) != ""


def test_few_items_or_a_scorer_near_chance_take_the_wider_quantile():
    assert careful(GOOD) == 0.95 and careful(Confusion(18, 2, 2, 18)) == pytest.approx(0.99)
    assert careful(Confusion(35, 25, 23, 37)) == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("give", "error", "text"),
    [
        (lambda: corrected_rate(5, 3, GOOD), EvidenceError, "0 <= k <= n"),
        (lambda: corrected_rate(1, 3, GOOD, undecided=-1), SettingError, "undecided >= 0"),
        (lambda: corrected_rate(1, 3, GOOD, level=1), SettingError, "0 < level < 1"),
        (lambda: corrected_rate(1, 3, Confusion(0, 0, 1, 9)), EvidenceError, "bad and good labelled items"),
        (lambda: Confusion(-1, 0, 1, 9), EvidenceError, "0 or more"),
    ],
)
def test_counts_that_cannot_be_are_refused(give, error, text):
    with pytest.raises(error, match=text):
        give()


@pytest.mark.parametrize("errors", [(0.9, 0.95), (0.7, 0.8)])
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3])
def test_the_interval_covers_the_true_rate(errors, rate):
    """60 draws a cell; the whole table is benchmarks/judge_error.md. Broken formulas fall far below."""
    rng = np.random.default_rng(7)
    (s, p), covered, narrow = errors, 0, 0
    for _ in range(60):
        hits, passes = rng.binomial(40, s), rng.binomial(40, p)
        k = rng.binomial(200, rate * s + (1 - rate) * (1 - p))
        found = corrected_rate(int(k), 200, Confusion(int(hits), int(40 - hits), int(40 - passes), int(passes))).rate
        covered += found is None or found.low - 1e-6 <= rate <= found.high + 1e-6
        narrow += found is not None and found.high - found.low < 0.7
    assert covered >= 53 and narrow > 30  # binomial at 0.95: 53 of 60 or more in 0.98 of cases


def test_the_grid_finds_the_interval_wherever_it_lies():
    for k, n, c in product((0, 3), (30,), (Confusion(99, 1, 0, 100), Confusion(30, 0, 0, 30))):
        found = corrected_rate(k, n, c).rate
        assert found.low <= k / n <= found.high < 0.45
