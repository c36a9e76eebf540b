from math import e, log

import numpy as np
import pytest
from scipy import stats

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.conformal import p_values
from bumperlane.judge.fusion import (
    RULES,
    Fusion,
    arithmetic,
    bonferroni,
    cauchy,
    cauchy_sum,
    fisher,
    fuse_trials,
    harmonic,
    harmonic_factor,
    smallest,
    tail_levels,
)
from bumperlane.judge.trial import Trial, run_trial
from rows import rows

ALPHA = 0.05
VALID = ("bonferroni", "harmonic", "arithmetic")


def limit(alpha, n):
    """alpha and three standard deviations of n draws."""
    return alpha + 3 * np.sqrt(alpha * (1 - alpha) / n)


def correlated(rng, n, k, rho):
    """Uniform p-values of equally correlated normal scores."""
    return stats.norm.sf(np.sqrt(rho) * rng.normal(size=(n, 1)) + np.sqrt(1 - rho) * rng.normal(size=(n, k)))


def worst_case(rng, k, alpha, cost, n=4000):
    """k p-values, each uniform, that a rearrangement makes jointly as small as `cost` allows in alpha of cases.

    Below alpha the columns are rearranged so that the sum of costs is nearly the same in every row (Embrechts, Puccetti
    and Rueschendorf 2013); above it they do not matter. Each column stays (super)uniform.
    """
    low = alpha * np.tile((np.arange(n) + 1.0) / n, (k, 1)).T
    low = rng.permuted(low, axis=0)
    for _ in range(60):
        for j in range(k):
            others = cost(np.delete(low, j, axis=1)).sum(axis=1)
            low[np.argsort(-others), j] = low[np.argsort(cost(low[:, j])), j]
    return low


def test_rules_agree_with_their_formulas():
    p = np.random.default_rng(0).uniform(size=(50, 4))
    np.testing.assert_allclose(bonferroni(p), np.minimum(1, 4 * p.min(axis=1)))
    np.testing.assert_allclose(arithmetic(p), np.minimum(1, p.sum(axis=1) / 2))
    np.testing.assert_allclose(harmonic(p), np.minimum(1, harmonic_factor(4) * stats.hmean(p, axis=1)))
    np.testing.assert_allclose(fisher(p) * 2, [stats.combine_pvalues(row, "fisher")[0] for row in p])
    inside = p[p.max(axis=1) < 0.99]
    np.testing.assert_allclose(cauchy(inside), stats.cauchy.sf(stats.cauchy.isf(inside).mean(axis=1)))
    np.testing.assert_allclose(smallest(p), -np.log(p.min(axis=1)))


def test_harmonic_factor_agrees_with_the_published_table_and_stays_below_its_bound():
    # Vovk & Wang 2020: a precise factor of 2 for two p-values, near log K and below e log K
    assert harmonic_factor(1) == 1 and harmonic_factor(2) == 2
    factors = [harmonic_factor(k) for k in (3, 4, 10, 100, 10_000)]
    assert all(f <= e * log(k) for f, k in zip(factors, (3, 4, 10, 100, 10_000), strict=True))
    assert all(f >= log(k) for f, k in zip(factors, (3, 4, 10, 100, 10_000), strict=True))
    assert harmonic_factor(10**6) / log(10**6) < 1.5


@pytest.mark.parametrize("k", [3, 8])
def test_harmonic_factor_is_the_smallest_that_the_worst_dependence_allows(k):
    low = worst_case(np.random.default_rng(0), k, 1.0, lambda p: 1 / p)
    needed = 1 / stats.hmean(low, axis=1).max()  # below alpha every row's harmonic mean is at most alpha / needed
    assert needed <= harmonic_factor(k) <= 1.06 * needed


@pytest.mark.parametrize("rule", VALID)
@pytest.mark.parametrize("rho", [0.0, 0.9, 1.0])
def test_false_alarm_rate_holds_under_strong_dependence(rule, rho):
    p = correlated(np.random.default_rng(1), 40_000, 8, rho)
    assert (RULES[rule](p) <= ALPHA).mean() <= limit(ALPHA, 40_000)


@pytest.mark.parametrize("rule", VALID)
@pytest.mark.parametrize("cost", [lambda p: 1 / p, lambda p: -p, lambda p: -np.log(p)], ids=["1/p", "-p", "-log p"])
def test_false_alarm_rate_holds_under_adversarial_dependence(rule, cost):
    for alpha in (0.01, ALPHA):
        low = worst_case(np.random.default_rng(2), 6, alpha, cost)
        assert alpha * (RULES[rule](low) <= alpha).mean() <= alpha  # above alpha nothing can be rejected by these rules


def test_bonferroni_and_arithmetic_reach_their_level_under_the_dependence_that_suits_them():
    rng = np.random.default_rng(3)
    one, which = rng.uniform(size=100_000), np.arange(5)
    shifted = (one[:, None] + which / 5) % 1  # at most one of five is below 0.2
    assert (bonferroni(shifted) <= ALPHA).mean() == pytest.approx(ALPHA, abs=0.003)
    opposed = np.where(one < ALPHA, ALPHA - one, one)[:, None]
    assert (arithmetic(np.c_[one[:, None], opposed]) <= ALPHA + 1e-9).mean() == pytest.approx(ALPHA, abs=0.003)


def test_fisher_against_a_chi_square_is_invalid_under_dependence():
    p = correlated(np.random.default_rng(4), 4000, 8, 1.0)
    naive = stats.chi2.sf(2 * fisher(p), 16)
    assert (naive <= ALPHA).mean() == pytest.approx(0.193, abs=0.02)  # as the module says


def test_cauchy_holds_for_normal_scores_at_a_small_alpha_and_fails_under_adversarial_dependence():
    for rho in (0.2, 0.9):
        p = correlated(np.random.default_rng(5), 100_000, 8, rho)
        assert (cauchy(p) <= 0.001).mean() <= limit(0.001, 100_000)
    tail = 3 * ALPHA  # uniform p-values that are jointly small in `tail` of cases
    low = worst_case(np.random.default_rng(6), 8, tail, lambda p: 1 / p)
    assert tail * (cauchy(low) <= ALPHA).mean() > 1.5 * ALPHA


def test_a_p_value_of_one_does_not_cancel_the_others():
    assert cauchy(np.array([[1e-6, 1.0, 0.5]]))[0] < 1e-5
    assert (np.diff(cauchy(np.c_[np.linspace(0.001, 1, 500), np.full(500, 0.3)])) >= 0).all()


@pytest.mark.parametrize("rule", [*RULES.values(), *(lambda p, s=s: -s(p) for s in (fisher, smallest, cauchy_sum))])
def test_a_smaller_p_never_gives_a_larger_fused_one_and_order_does_not_matter(rule):
    rng = np.random.default_rng(7)
    p = rng.uniform(size=(300, 5))
    smaller = p * np.where(rng.uniform(size=p.shape) < 0.3, 0.5, 1)
    assert (rule(smaller) <= rule(p) + 1e-12).all()
    np.testing.assert_allclose(rule(p[:, ::-1]), rule(p))


STATISTICS = [fisher, smallest, cauchy_sum, lambda p: -p.prod(axis=1) + (p > 0.5).sum(axis=1)]


@pytest.mark.parametrize("statistic", STATISTICS, ids=["fisher", "smallest", "cauchy_sum", "any"])
@pytest.mark.parametrize("dependence", ["equal", "one at a time", "independent"])
def test_calibrated_fusion_keeps_the_stated_rate_with_any_statistic_under_any_dependence(statistic, dependence):
    rng, over, times = np.random.default_rng(8), 0, 250

    def draw(n, k=6):
        u = rng.uniform(size=(n, 1))
        return {
            "equal": np.repeat(u, k, axis=1),
            "one at a time": -np.log((u + np.arange(k) / k) % 1),
            "independent": rng.normal(size=(n, k)),
        }[dependence]

    for seed in range(times):
        over += (Fusion.of(draw(78), statistic, seed).p_values(draw(20)) <= ALPHA).sum()
    spread = np.sqrt(ALPHA * (1 - ALPHA) * (1 / 41 + 1 / 20) / times)
    assert over / (20 * times) <= ALPHA + 3 * spread
    assert dependence != "independent" or over / (20 * times) >= ALPHA - 3 * spread


def correlated_scores(rng, n, rho=0.5):
    return np.sqrt(rho) * rng.normal(size=(n, 1)) + np.sqrt(1 - rho) * rng.normal(size=(n, 8))


def caught(shift, trusted=2000, statistic=cauchy_sum, times=8):
    """Share of odd items with p <= 0.01: by calibrated fusion, and by Bonferroni."""
    rng, found = np.random.default_rng(9), []
    for seed in range(times):
        clean, odd = correlated_scores(rng, trusted), correlated_scores(rng, 1000) + shift
        each = np.stack([p_values(c, o) for c, o in zip(clean.T, odd.T, strict=True)], axis=1)
        found.append([Fusion.of(clean, statistic, seed).p_values(odd) <= 0.01, bonferroni(each) <= 0.01])
    return np.mean(found, axis=(0, 2))


ONE, FOUR, ALL = np.eye(8)[3] * 4.0, np.r_[np.full(4, 2.0), np.zeros(4)], np.full(8, 1.5)


@pytest.mark.parametrize(("shift", "gain"), [(ONE, 0.9), (FOUR, 1.05), (ALL, 1.2)], ids=["one", "four", "all"])
def test_calibrated_fusion_catches_more_than_bonferroni_unless_one_layer_alone_shows_it(shift, gain):
    fused, plain = caught(shift)
    assert fused > gain * plain and plain > 0.2


def test_calibrated_fusion_works_where_bonferroni_has_too_few_items_to_flag_any():
    fused, plain = caught(ONE, trusted=200)
    assert fused > 0.5 and plain == 0  # 8 layers at 0.01 take 799 items


def test_statistics_have_the_strengths_that_the_table_says():
    table = {
        cauchy_sum: (0.76, 0.39, 0.34), smallest: (0.83, 0.40, 0.29), fisher: (0.06, 0.21, 0.37),
    }  # fmt: skip
    for statistic, shares in table.items():
        for shift, share in zip((ONE, FOUR, ALL), shares, strict=True):
            assert caught(shift, statistic=statistic)[0] == pytest.approx(share, abs=0.08)


def test_tail_levels_are_conformal_p_values_at_reference_scores_and_fall_smoothly_above_them():
    reference = np.random.default_rng(12).normal(size=(50, 2))
    np.testing.assert_allclose(tail_levels(reference, reference)[:, 0], p_values(reference[:, 0], reference[:, 0]))
    line = np.linspace(-5, 40, 4000)
    levels = tail_levels(reference, np.c_[line, line])
    assert (np.diff(levels, axis=0) <= 0).all() and (levels > 0).all() and levels[0, 0] == 1
    top = line > reference.max()
    assert (np.diff(levels[top, 0]) < 0).all()
    beyond = np.log(levels[top, 0])
    excess = np.sort(reference[:, 0])[-5:]
    np.testing.assert_allclose(np.diff(beyond) / np.diff(line[top]), -1 / (excess - excess[0]).mean(), rtol=1e-6)


def test_discrete_and_constant_scores_can_be_fused():
    rng, over = np.random.default_rng(13), []
    for seed in range(100):
        clean = np.c_[rng.integers(0, 3, 178), np.zeros(178)].astype(float)
        fusion = Fusion.of(clean[:158], seed=seed)
        over.append(fusion.p_values(clean[158:]) <= ALPHA)
    assert np.mean(over) <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) * (1 / 80 + 1 / 20) / 100)
    assert fusion.p_values(np.array([[1.0, 5.0]]))[0] == 1 / 80


def trials(layers=3, calibrate=200, shift=2.0, start=0):
    rng, sizes = np.random.default_rng(11), {"fit": 100, "calibrate": calibrate, "control": 200, "untrusted": 60}
    shared = {role: rng.normal(size=(n, 4)) for role, n in sizes.items()}
    out = []
    for layer in range(layers):
        made, at = {}, start
        for role, n in sizes.items():
            moved = shift if role == "untrusted" else 0
            made[role] = rows(shared[role] + rng.normal(size=(n, 4)) + moved, layer=layer, start=at)
            at += n
        out.append(run_trial(Mahalanobis(), Trial(**made), ALPHA))
    return out


def test_trials_of_several_layers_are_fused_item_by_item():
    seen = trials()
    for rule in ("calibrated", *RULES):
        found = fuse_trials(seen, ALPHA, rule)
        assert found.false_alarms.value == (found.control_p <= ALPHA).mean() <= 0.12
        assert found.flagged == tuple(
            i for i, p in zip(found.untrusted_ids, found.untrusted_p, strict=True) if p <= ALPHA
        )
        assert len(found.flagged) > 10 and found.bumpers == ("Mahalanobis",) * 3
        assert ("no finite alpha" in found.valid) == (rule == "cauchy")
    each = np.stack([t.untrusted_p for t in seen], axis=1)
    np.testing.assert_array_equal(fuse_trials(seen, ALPHA, "harmonic").untrusted_p, harmonic(each))


def test_refuses_trials_of_different_items_no_trials_and_an_unknown_rule():
    with pytest.raises(EvidenceError, match="the 2 trials hold different calibrate items"):
        fuse_trials([trials(1)[0], trials(1, start=7)[0]], ALPHA)
    with pytest.raises(EvidenceError, match="no trial to fuse"):
        fuse_trials([], ALPHA)
    with pytest.raises(SettingError, match="unknown rule 'fisher'. Known: calibrated, bonferroni"):
        fuse_trials(trials(1), ALPHA, "fisher")


def test_says_how_many_calibration_items_calibrated_fusion_lacks():
    seen = trials(calibrate=30)
    with pytest.raises(EvidenceError, match="takes 38 calibration items .*, got 30: 8 are missing"):
        fuse_trials(seen, ALPHA)
    assert fuse_trials(seen, ALPHA, "bonferroni").rule == "bonferroni"


def test_refuses_what_is_not_a_table_of_p_values_or_scores():
    with pytest.raises(EvidenceError, match=r"\(n, K\) numbers in \[0, 1\]"):
        bonferroni(np.array([0.1, 0.2]))
    with pytest.raises(EvidenceError, match=r"\(n, K\) numbers in \[0, 1\]"):
        harmonic(np.array([[0.1, np.nan]]))
    with pytest.raises(EvidenceError, match="of 4 or more trusted items, got shape"):
        Fusion.of(np.zeros((3, 2)))
    with pytest.raises(
        EvidenceError, match=r"scores must be \(n, 2\) finite numbers, one column a layer, got shape \(5, 3\)"
    ):
        Fusion.of(np.zeros((9, 2))).p_values(np.zeros((5, 3)))
    with pytest.raises(SettingError, match="1 or more p-values, got 0"):
        harmonic_factor(0)
