from itertools import permutations as orders
from time import perf_counter

import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.tranches import fuse_ranks, length_bins, rank_tranches


def names(n, tranches=5):
    return [f"t{i % tranches}" for i in range(n)]


def by_name(found):
    return {t.name: t for t in found}


def test_finds_a_planted_tranche():
    scores, tranches = np.random.default_rng(0).normal(size=500), names(500)
    scores[2::5] += 1
    best, *others = rank_tranches(scores, tranches)
    assert best.name == "t2" and best.p_value == pytest.approx(1 / 2001) and best.n == 100
    assert best.enrichment > 1.5 and best.p_enrichment < 1e-3
    assert all(t.p_value > 0.05 for t in others)


def test_any_tranche_is_called_in_no_more_than_alpha_of_null_data():
    rng, least = np.random.default_rng(1), []
    for seed in range(300):
        found = rank_tranches(rng.exponential(size=60), names(60), permutations=99, seed=seed)
        least.append(found[0].p_value)
    assert np.mean(np.array(least) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 300)
    assert stats.kstest(least, "uniform").statistic < 0.1


def test_z_agrees_with_all_permutations_within_strata():
    scores, strata = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]), [0, 0, 0, 1, 1, 1, 1]
    tranches = np.array(["a", "b", "b", "a", "b", "a", "b"])
    ranks = stats.rankdata(scores)
    sums = [
        sum(ranks[:3][list(first)][tranches[:3] == "a"]) + sum(ranks[3:][list(second)][tranches[3:] == "a"])
        for first in orders(range(3))
        for second in orders(range(4))
    ]
    found = by_name(rank_tranches(scores, tranches.tolist(), strata, permutations=4000))["a"]
    assert found.z == pytest.approx((ranks[tranches == "a"].sum() - np.mean(sums)) / np.std(sums))


def test_with_two_tranches_z_is_the_wilcoxon_rank_sum():
    scores, tranches = np.random.default_rng(2).normal(size=30), ["a"] * 12 + ["b"] * 18
    theirs = stats.ranksums(scores[:12], scores[12:]).statistic
    found = by_name(rank_tranches(scores, tranches, permutations=10))
    assert found["a"].z == pytest.approx(theirs) and found["b"].z == pytest.approx(-theirs)


def test_strata_protect_against_a_confound_with_length():
    rng = np.random.default_rng(3)
    lengths = rng.integers(10, 200, 600)
    tranches = np.where(rng.uniform(size=600) < lengths / 250, "long", "short").tolist()
    scores = lengths + rng.normal(size=600)
    assert rank_tranches(scores, tranches)[0].p_value < 0.01
    assert rank_tranches(scores, tranches, length_bins(lengths, 30))[0].p_value > 0.01


def test_strata_keep_the_power_to_find_a_planted_tranche():
    rng = np.random.default_rng(4)
    lengths, scores = rng.integers(10, 200, 600), rng.normal(size=600)
    scores[1::5] += 1
    assert rank_tranches(scores + lengths / 100, names(600), length_bins(lengths))[0].name == "t1"


def test_enrichment_agrees_with_counting_by_hand():
    scores, tranches = np.arange(20.0), ["a" if i in (19, 18, 17, 3) else "b" for i in range(20)]
    found = by_name(rank_tranches(scores, tranches, permutations=10))["a"]
    assert found.enrichment == pytest.approx((3 / 4) / (4 / 20))  # top 4: 19, 18, 17 are a, 16 is not
    chance = (4 * 16 + 1) / 4845  # 3 or 4 of 4 in the top 4, of C(20, 4)
    assert found.p_enrichment == pytest.approx(chance)


def test_equal_scores_enrich_nothing():
    found = rank_tranches(np.zeros(40), names(40, 2), permutations=10)
    assert all((t.z, t.p_value, t.p_enrichment) == (0, 1, 1) for t in found)


def test_order_of_examples_and_monotone_change_of_scores_do_not_matter():
    rng = np.random.default_rng(5)
    scores, tranches, strata = rng.normal(size=80), np.array(names(80)), rng.integers(0, 3, 80)
    first = rank_tranches(scores, tranches.tolist(), strata, 200)
    order = rng.permutation(80)
    assert rank_tranches(np.exp(scores[order]), tranches[order].tolist(), strata[order], 200) == first


def test_a_tranche_alone_in_its_stratum_cannot_be_told_apart():
    scores, tranches = np.arange(30.0), ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    found = by_name(rank_tranches(scores, tranches, [0] * 20 + [1] * 10, 200))
    assert (found["c"].z, found["c"].p_value) == (0, 1) and found["b"].p_value < 0.05


def test_a_hundred_thousand_examples_take_seconds():
    scores, started = np.random.default_rng(6).normal(size=100_000), perf_counter()
    rank_tranches(scores, names(100_000, 20), permutations=100)
    assert perf_counter() - started < 10


def test_length_bins_are_nearly_equal_in_size_and_keep_equal_lengths_together():
    bins = length_bins(list(range(100)), 5)
    assert np.bincount(bins).tolist() == [20] * 5 and (np.diff(bins) >= 0).all()
    assert len(set(length_bins([7] * 10).tolist())) == 1


def test_fused_ranks_are_the_weighted_mean_of_normalised_ranks():
    one, other = np.array([0.1, 0.3, 0.2]), np.array([30.0, 10.0, 20.0])
    np.testing.assert_allclose(fuse_ranks([one, other]), [0.5, 0.5, 0.5])
    np.testing.assert_allclose(fuse_ranks([one, other], [3, 1]), [1 / 3, 2 / 3, 1 / 2])


def test_refuses_one_tranche_unequal_lengths_and_scores_that_are_not_finite():
    with pytest.raises(EvidenceError, match="all 3 examples are in one tranche, a"):
        rank_tranches(np.arange(3.0), ["a"] * 3)
    with pytest.raises(EvidenceError, match="3 scores and 2 tranches"):
        rank_tranches(np.arange(3.0), ["a", "b"])
    with pytest.raises(EvidenceError, match="3 scores and 1 strata"):
        rank_tranches(np.arange(3.0), ["a", "b", "b"], [0])
    with pytest.raises(EvidenceError, match="1 not finite"):
        rank_tranches(np.array([1.0, np.nan]), ["a", "b"])
    with pytest.raises(SettingError, match="permutations must be 1 or more"):
        rank_tranches(np.arange(2.0), ["a", "b"], permutations=0)


def test_refuses_to_fuse_scores_of_different_examples_or_bad_weights():
    with pytest.raises(EvidenceError, match=r"lengths \[2, 3\]"):
        fuse_ranks([np.zeros(2), np.zeros(3)])
    with pytest.raises(SettingError, match="weights must be 2 numbers"):
        fuse_ranks([np.zeros(2), np.zeros(2)], [1, -1])
    with pytest.raises(SettingError, match="bins must be 1 or more"):
        length_bins([1, 2], 0)
