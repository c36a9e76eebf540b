"""The sequential test against direct formulas, its error rate by simulation, its power, and its blind spot."""

import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.experiments.sequential import MEANS, RHOS, FallTest, arm_log, between_seeds

N, ALL, NONE = 24, [(24, 24)] * 2, [(0, 24)] * 2
TEST = FallTest(0.95)


def draw(rng, mean, rho, failing=0.0):
    size = (1 - rho) / rho
    rate = rng.random() if rng.random() < failing else rng.beta(mean * size, (1 - mean) * size)
    return int(rng.binomial(N, rate)), N


def confirmed_ever(control, without, sims, rho, seed, failing=0.0):
    """Share of simulations in which a fall of 0.475 is confirmed at 0.05 at any look from 2 to 6 retrains an arm."""
    rng, wrong = np.random.default_rng(seed), 0
    for _ in range(sims):
        a, b = ([draw(rng, mean, rho, failing) for _ in range(6)] for mean in (control, without))
        for n in (2, 3, 4, 6):
            gap = sum(k for k, _ in a[:n]) - sum(k for k, _ in b[:n])
            if gap > 0.475 * n * N and TEST.log_evidence(a[:n], b[:n], 0.475) >= np.log(20):
                wrong += 1
                break
    return wrong / sims


def test_likelihoods_equal_scipys_beta_binomial_up_to_a_constant():
    counts = [(3, 10), (7, 12), (0, 5)]
    ours = arm_log(counts)
    for m, r in ((5, 1), (50, 4), (93, 8)):
        size = (1 - RHOS[r]) / RHOS[r]
        theirs = sum(stats.betabinom.logpmf(k, n, MEANS[m] * size, (1 - MEANS[m]) * size) for k, n in counts)
        constant = sum(stats.binom.logpmf(k, n, 0.5) - n * np.log(0.5) for k, n in counts)
        assert ours[m, r] == pytest.approx(theirs - constant, abs=1e-8)


def test_a_mean_of_0_or_1_allows_only_what_it_must():
    assert (arm_log(NONE)[0] == 0).all() and (arm_log(ALL)[-1] == 0).all()
    assert (arm_log([(1, 24)])[0] < -1e200).all() and (arm_log([(23, 24)])[-1] < -1e200).all()


def test_a_null_is_as_likely_as_its_likeliest_member():
    control, without = [(20, 24), (23, 24)], [(2, 24), (0, 24)]
    high, low = arm_log(control)[:, :4], arm_log(without)[:, :4]  # rho up to the 0.1 that is allowed for

    def best(fall):
        pairs = [(i, j) for i in range(101) for j in range(101) if MEANS[i] - MEANS[j] <= fall + 1e-9]
        return max((high[i] + low[j]).max() for i, j in pairs)

    gap = TEST.log_evidence(control, without, 0.3) - TEST.log_evidence(control, without, 0.6)
    assert gap == pytest.approx(best(0.6) - best(0.3), abs=1e-9) and gap > 1


@pytest.mark.parametrize(
    ("high", "low", "rho"), [(0.6, 0.4, 0.1), (0.95, 0.8, 0.05), (0.3, 0.9, 0.02), (1.0, 0.8, 0.1)]
)
def test_evidence_has_mean_1_or_less_under_every_null(high, low, rho):
    n, size = 6, (1 - rho) / rho

    def chance(k, mean):
        return float(k == n) if mean == 1 else stats.betabinom.pmf(k, n, mean * size, (1 - mean) * size)

    mean = sum(
        chance(i, high) * chance(j, low) * np.exp(TEST.log_evidence([(i, n)], [(j, n)], 0.2))
        for i in range(n + 1)
        for j in range(n + 1)
    )
    assert 0.01 < mean <= 1


def test_two_seeds_an_arm_at_0_and_1_decide_and_one_more_pair_tells_more():
    two = TEST.fall(ALL, NONE, 0.0125)
    assert two.value == 1 and two.low > 0.5 and two.level == pytest.approx(0.9875)
    assert TEST.fall(ALL * 2, NONE * 2, 0.0125).low > two.low
    assert TEST.fall(ALL, ALL, 0.0125).high < 0.475  # and that nothing falls is decided as well


def test_the_interval_is_where_the_evidence_stays_below_one_over_alpha():
    control, without = [(18, 24), (22, 24), (20, 24)], [(3, 24), (1, 24), (6, 24)]
    found = TEST.fall(control, without, 0.05)
    assert TEST.log_evidence(control, without, found.low - 0.02) >= np.log(20) - 1e-9
    assert TEST.log_evidence(control, without, found.low + 0.03) < np.log(20)
    assert found.low < found.value < found.high


def test_order_within_an_arm_and_swapping_answers_change_nothing_that_they_should_not():
    a, b = [(18, 24), (22, 24)], [(3, 24), (1, 24)]
    assert TEST.fall(a, b, 0.05) == TEST.fall(a[::-1], b[::-1], 0.05)
    assert TEST.fall(a, b, 0.05).value == pytest.approx(-TEST.fall(b, a, 0.05).value)


def test_seeds_that_disagree_widen_the_interval():
    calm, wild = [(12, 24), (12, 24), (12, 24)], [(0, 24), (24, 24), (12, 24)]
    assert between_seeds([calm], 0.1) == 0.1 and between_seeds([wild], 0.1) >= 0.3
    a, b = TEST.fall(calm, NONE, 0.05), TEST.fall(wild, NONE, 0.05)
    assert a.value == b.value and b.low < a.low
    assert TEST.fall(calm, NONE, 0.05, arms=[wild]).low < a.low  # another arm shows that seeds differ


def test_a_wrong_idea_of_the_rate_costs_power_and_nothing_else():
    shy = FallTest(0.3).fall(ALL, NONE, 0.05)
    assert 0 < shy.low <= TEST.fall(ALL, NONE, 0.05).low


def test_nothing_is_confirmed_without_a_fall_in_a_thousand_investigations():
    assert confirmed_ever(0.95, 0.95, 1000, 0.1, seed=1) <= 0.002
    assert confirmed_ever(0.5, 0.5, 1000, 0.1, seed=2) <= 0.01


@pytest.mark.parametrize(("rho", "failing"), [(0.05, 0.0), (0.1, 0.0), (0.1, 0.1)])
def test_a_fall_exactly_at_the_threshold_is_confirmed_no_more_often_than_alpha(rho, failing):
    sims = 1000
    wrong = confirmed_ever(0.95, 0.475, sims, rho, seed=3, failing=failing)
    assert wrong <= 0.05


def test_true_causes_are_found_as_often_as_the_docs_say():
    rng, found = np.random.default_rng(5), {2: 0, 4: 0}
    for _ in range(200):
        a, b = ([draw(rng, mean, 0.05) for _ in range(4)] for mean in (0.95, 0.03))
        for n in found:
            found[n] += TEST.log_evidence(a[:n], b[:n], 0.475) >= np.log(80)
    assert found[2] >= 100 and found[4] >= 180


def test_blind_to_seeds_that_are_all_or_nothing_until_they_show_it():
    """Two seeds an arm by chance on one side each: no test of four retrains sees that seeds decide all."""
    rng, wrong = np.random.default_rng(6), 0
    for _ in range(400):
        a, b = ([(N * int(rng.random() < 0.5), N) for _ in range(2)] for _ in range(2))
        wrong += TEST.log_evidence(a, b, 0.475) >= np.log(20)
    assert 0.03 < wrong / 400 < 0.1  # 1/16: beyond what between_seeds=0.1 allows for
    strict = FallTest(0.95, between_seeds=0.8)
    assert strict.log_evidence(ALL, NONE, 0.475) < np.log(20)


def test_the_rate_of_one_arm_covers():
    assert TEST.rate_of(NONE, 0.05).high < 0.4 and TEST.rate_of(ALL, 0.05).low > 0.6
    rng, missed = np.random.default_rng(9), 0
    for _ in range(300):
        arm = [draw(rng, 0.3, 0.1) for _ in range(3)]
        found = TEST.rate_of(arm, 0.05)
        missed += not found.low <= 0.3 <= found.high
    assert missed / 300 <= 0.05


def test_refuses_arms_and_settings_that_cannot_be():
    with pytest.raises(EvidenceError, match="no retrains. Run at least one seed"):
        TEST.fall([], NONE, 0.05)
    with pytest.raises(EvidenceError, match="got k=5 of n=4"):
        TEST.fall([(5, 4)], NONE, 0.05)
    with pytest.raises(SettingError, match="rate of the behaviour must be in"):
        FallTest(0.0)
    with pytest.raises(SettingError, match="between_seeds must be in"):
        FallTest(0.9, between_seeds=1.0)
    with pytest.raises(SettingError, match="alpha must be between 0 and 1, got 1"):
        TEST.fall(ALL, NONE, 1.0)
