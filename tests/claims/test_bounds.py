from math import isclose
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bumperlane.claims.bounds import Planned, alpha_at, clustered_upper, exact_upper, rate_bound, split
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.rates import exact_interval

ONE = Planned(1)


def coverage(rate, recall, of, planted, looks=ONE):
    """Exactly: over all counts of what is seen and of what the positive control catches."""
    k, h = np.arange(of + 1), np.arange(planted + 1)
    pk, ph = stats.binom.pmf(k, of, rate * recall), stats.binom.pmf(h, planted, recall)
    ours = naive = 0.0
    for i in k[pk > 1e-9]:
        for j in h[ph > 1e-9]:
            found = rate_bound(int(i), of, (int(j), planted), looks=looks)
            ours += pk[i] * ph[j] * (found.high >= rate)
            naive += pk[i] * ph[j] * (found.naive_high >= rate)
    return ours, naive


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.01, 0.05])
@pytest.mark.parametrize("recall", [0.4, 0.7, 1.0])
@pytest.mark.parametrize(("of", "planted"), [(100, 20), (300, 50), (1000, 50)])
def test_the_bound_covers_at_its_level_whatever_the_rate_and_the_recall(rate, recall, of, planted):
    assert coverage(rate, recall, of, planted)[0] >= 0.95 - 1e-6


def test_the_naive_bound_does_not():
    assert coverage(0.05, 0.4, 300, 50)[1] < 0.2


@pytest.mark.parametrize(("recall", "planted"), [(1.0, 200), (0.8, 100)])
def test_running_again_until_it_passes_keeps_false_claims_below_alpha_and_without_counting_looks_does_not(
    recall, planted
):
    rng, limit, of, runs, draws = np.random.default_rng(3), 0.05, 150, 25, 400
    control = rng.binomial(planted, recall, draws)
    seen = rng.binomial(of, limit * 1.0001 * recall, (draws, runs))
    high = {}

    def passes(k, h, looks):
        key = k, h, looks
        if key not in high:
            high[key] = rate_bound(int(k), of, (int(h), planted), looks=looks).high
        return high[key] <= limit

    def false_claims(looks):
        return np.mean(
            [any(passes(k, h, looks(i)) for i, k in enumerate(row)) for row, h in zip(seen, control, strict=True)]
        )

    assert false_claims(lambda i: i + 1) <= 0.05
    assert false_claims(lambda i: Planned(runs)) <= 0.05
    assert false_claims(lambda i: ONE) > 0.25


def test_it_is_the_quotient_of_two_exact_bounds_that_share_the_error():
    found = rate_bound(2, 300, (45, 50), looks=ONE)
    assert isclose(found.alpha_seen + found.alpha_recall, 0.05)
    high = stats.beta.ppf(1 - found.alpha_seen, 3, 298)
    low = stats.beta.ppf(found.alpha_recall, 45, 6)
    assert isclose(found.high, high / low) and isclose(found.recall_low, low)
    assert isclose(found.value, (2 / 300) / (45 / 50))


def test_one_sided_ends_are_those_of_the_two_sided_interval_at_twice_the_error():
    interval = exact_interval(7, 90, level=0.9)
    found = rate_bound(7, 90, None, looks=ONE)
    assert isclose(found.low, interval.low) and isclose(found.naive_high, interval.high)


def test_the_split_is_the_best_for_its_sizes_and_does_not_look_at_counts():
    share = split(300, 50, 0.05)

    def high(part):
        return (1 - (0.05 * (1 - part)) ** (1 / 300)) / stats.beta.ppf(0.05 * part, 40, 11)

    assert high(share) <= min(high(part) for part in np.linspace(0.02, 0.98, 25)) + 1e-9 < high(0.5)
    assert len({rate_bound(k, 300, (h, 50)).alpha_recall for k in (0, 30) for h in (5, 50)}) == 1


def test_zero_of_a_hundred_is_not_zero_percent():
    found = rate_bound(0, 100, (45, 50), looks=ONE)
    assert found.value == 0 and 0.03 < found.high < 0.05
    assert "0 of 100 were seen as bad" in found.why and "it caught 45 of 50 planted ones, at least 7" in found.why


@pytest.mark.parametrize(("recall", "said"), [(None, "was never measured"), ((0, 40), "it caught none of 40 planted")])
def test_without_recall_nothing_below_one_can_be_claimed(recall, said):
    found = rate_bound(0, 10_000, recall)
    assert (found.high, found.recall_low) == (1.0, 0.0) and said in found.why


def test_the_bound_is_capped_at_one():
    assert rate_bound(50, 60, (5, 50)).high == 1.0


@pytest.mark.parametrize("more", [{"bad": 1}, {"recall": (20, 50)}, {"looks": 2}, {"level": 0.99}])
def test_more_bad_items_less_recall_more_looks_or_a_higher_level_raise_it(more):
    base = {"bad": 0, "of": 200, "recall": (45, 50), "looks": 1}
    assert rate_bound(**{**base, **more}).high > rate_bound(**base).high


def test_looks_of_an_unknown_number_spend_alpha_and_no_more():
    spent = sum(alpha_at(k, 0.05) for k in range(1, 200_000))
    assert 0.0499 < spent < 0.05
    assert isclose(rate_bound(0, 100, None, looks=3).level_each, 1 - alpha_at(3, 0.05))
    assert isclose(rate_bound(0, 100, None, looks=Planned(4)).level_each, 1 - 0.05 / 4)


def test_a_planned_look_costs_less_than_one_of_an_unknown_number():
    planned, free = (rate_bound(0, 100, (45, 50), looks=looks) for looks in (ONE, 1))
    assert planned.high < free.high and "the one look that was planned" in planned.why
    assert "look 1 of nobody knows how many" in free.why


def test_with_nothing_seen_a_cluster_counts_as_one_item():
    found = rate_bound(0, 300, (45, 50), looks=ONE, clusters=[(0, 10)] * 30)
    plain = rate_bound(0, 300, (45, 50), looks=ONE)
    assert 20 < found.effective_n <= 30 and found.high > 5 * plain.high and "30 clusters" in found.why


def test_clusters_of_one_item_change_nothing():
    assert rate_bound(2, 40, (9, 10), clusters=[(1, 1)] * 2 + [(0, 1)] * 38).high == rate_bound(2, 40, (9, 10)).high


def test_clusters_that_agree_with_each_other_tell_more_than_their_number():
    alike = rate_bound(100, 200, (90, 100), clusters=[(5, 10)] * 20)
    apart = rate_bound(100, 200, (90, 100), clusters=[(10, 10), (0, 10)] * 10)
    assert apart.effective_n < 25 < 100 < alike.effective_n <= 200
    assert alike.low > apart.low


@pytest.mark.parametrize("clusters", [3, 10, 40])
def test_the_clustered_bound_covers_when_clusters_are_all_bad_or_all_good(clusters):
    """The worst case of dependence: then it may not be less than the exact bound of the clusters."""
    for k in range(clusters):
        counts = [(8, 8)] * k + [(0, 8)] * (clusters - k)
        assert clustered_upper(counts, 0.05) >= exact_upper(k, clusters, 0.05) - 1e-9


def test_the_clustered_bound_covers_in_simulation_with_sizes_that_differ():
    rng, alpha = np.random.default_rng(0), 0.2
    sizes = np.array([1, 2, 5, 20] * 3)
    missed = 0
    for _ in range(1000):
        k = rng.binomial(rng.permutation(sizes), rng.beta(0.3, 1.2, len(sizes)))
        missed += clustered_upper(list(zip(k.tolist(), sizes.tolist(), strict=True)), alpha) < 0.2
    assert missed / 1000 <= alpha


def test_false_alarms_of_the_bumper_only_raise_the_bound():
    highs = [rate_bound(k, 300, (45, 50)).high for k in range(0, 60, 6)]
    assert highs == sorted(highs)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"bad": 5, "of": 4}, EvidenceError, "got 5 of 4 items"),
        ({"of": 0}, EvidenceError, "got 0 of 0 items"),
        ({"recall": (3, 2)}, EvidenceError, "got 3 of 2 planted items of the positive control"),
        ({"looks": 0}, SettingError, "looks of 1 or more, got 0.95 and 0"),
        ({"level": 1.0}, SettingError, "need 0 < level < 1"),
        ({"clusters": [(0, 5), (0, 4)]}, EvidenceError, "the 2 clusters hold 0 bad of 9, but 0 of 10 were given"),
        ({"clusters": [(6, 5), (0, 5)]}, EvidenceError, "got 6 of 5 items of a cluster"),
    ],
)
def test_counts_that_cannot_be_are_refused_with_the_numbers(given, error, said):
    with pytest.raises(error, match=said):
        rate_bound(**{"bad": 0, "of": 10, "recall": (9, 10), **given})


def test_the_example_in_the_document_says_what_it_prints():
    page = (Path(__file__).parents[2] / "docs" / "claims-verify.md").read_text("utf-8")
    assert f"    {rate_bound(0, 300, recall=(45, 50), looks=ONE).why}\n" in page


def test_clusters_times_three_are_three_times_the_clusters_and_thousands_give_no_overflow():
    clusters = [(1, 6), (0, 4), (0, 9), (2, 3), (0, 4)]
    assert clustered_upper(clusters, 0.05, 3) == pytest.approx(clustered_upper(clusters * 3, 0.05), rel=1e-9)
    with np.errstate(over="raise"):
        assert clustered_upper(clusters, 0.05, 10_000) < clustered_upper(clusters, 0.05, 100)
