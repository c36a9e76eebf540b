"""Exact power against scipy's binomial, and a brute-force sum for differences."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from bumperlane.claims.power import (
    items_for_difference,
    items_to_refuse,
    power_of_difference,
    power_to_fall_short,
    power_to_refuse,
)
from bumperlane.errors import SettingError
from bumperlane.judge.rates import rate_difference


@pytest.mark.parametrize(
    ("allowed", "n", "rate"), [(0, 20, 0.01), (3, 100, 0.05), (7, 40, 0.2), (0, 1, 0.5), (0, 300, 0)]
)
def test_power_to_refuse_is_the_binomial_tail(allowed, n, rate):
    assert power_to_refuse(allowed, n, rate) == pytest.approx(stats.binom.sf(allowed, n, rate))


@pytest.mark.parametrize(("needed", "n", "rate"), [(1, 20, 0.01), (90, 100, 0.85), (0, 40, 0.2), (41, 40, 0.2)])
def test_power_to_fall_short_is_the_lower_binomial_tail(needed, n, rate):
    assert power_to_fall_short(needed, n, rate) == pytest.approx(stats.binom.cdf(needed - 1, n, rate))


def test_power_grows_with_the_effective_number_of_items_also_between_whole_numbers():
    values = [power_to_refuse(0, n, 0.02) for n in np.linspace(1, 200, 50)]
    assert np.all(np.diff(values) > 0)
    assert power_to_refuse(5, 4.5, 0.9) == 0.0


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.008])
def test_items_to_refuse_with_nothing_seen_is_the_formula_and_one_fewer_is_not_enough(rate):
    n = items_to_refuse(0.0, rate)
    assert n == int(np.ceil(np.log(0.2) / np.log(1 - rate)))
    assert power_to_refuse(0, n, rate) >= 0.8 > power_to_refuse(0, n - 1, rate)


def test_a_share_that_is_not_below_the_rate_is_never_refused():
    assert items_to_refuse(0.05, 0.05) is None and items_to_refuse(0.06, 0.05) is None


def test_power_of_a_difference_is_the_sum_over_both_counts():
    n, m, rate, other = 15, 12, 0.1, 0.6
    brute = 0.0
    for k in range(n + 1):
        for j in range(m + 1):
            found = rate_difference(k, n, j, m)
            if found.low > 0 or found.high < 0:
                brute += stats.binom.pmf(k, n, rate) * stats.binom.pmf(j, m, other)
    assert power_of_difference(rate, other, n, m) == pytest.approx(brute, abs=1e-12)


def test_power_of_a_difference_at_no_difference_is_the_false_alarm_rate():
    assert power_of_difference(0.3, 0.3, 120, 120) < 0.06


def test_items_for_a_difference_reach_the_power_that_was_asked_for():
    n = items_for_difference(0.05, 0.25)
    assert power_of_difference(0.05, 0.25, n, n) >= 0.8 > power_of_difference(0.05, 0.25, int(n * 0.9), int(n * 0.9))
    assert items_for_difference(0.25, 0.25) is None


@pytest.mark.parametrize(("n", "rate"), [(0, 0.1), (10, 1.2)])
def test_refuses_what_has_no_power(n, rate):
    with pytest.raises(SettingError, match="power needs more than 0 items"):
        power_to_refuse(0, n, rate)


def test_a_difference_of_a_million_items_is_weighed_in_little_memory():
    tracemalloc.start()
    found = power_of_difference(0.3, 0.302, 10**6, 10**6)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    spread = (0.3 * 0.7 / 10**6 + 0.302 * 0.698 / 10**6) ** 0.5
    assert found == pytest.approx(stats.norm.cdf(0.002 / spread - stats.norm.ppf(0.975)), abs=0.001)
    assert most < 20 * 2**20
