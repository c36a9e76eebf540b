import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.data.method_trap import (
    TrapSettings,
    average_precision,
    blind_unless_learnt,
    kind_of_hit,
    mean_average_precision_by_chance,
    trap_result,
    weight_of,
)
from bumperlane.types import Context

N = 400
IDS = tuple(f"e{i}" for i in range(N))
PLANTED, RIVALS = IDS[:16], IDS[16:24]
FEW = TrapSettings(permutations=500)


def scores(seed=0, plant=0.0, rivals=0.0):
    rows = np.random.default_rng(seed).normal(size=N)
    rows[:16] += plant
    rows[16:24] += rivals
    return rows


@pytest.mark.parametrize("decimals", [8, 0])
def test_average_precision_agrees_with_scikit_learn_with_ties_and_without(decimals):
    for seed in range(20):
        values = np.round(scores(seed, 0.5), decimals)
        hit = np.arange(N) < 16
        assert average_precision(values, hit) == pytest.approx(average_precision_score(hit, values), abs=1e-12)


def test_chance_agrees_with_the_mean_over_random_rankings():
    rng = np.random.default_rng(0)
    drawn = [average_precision(rng.uniform(size=30), np.arange(30) < 4) for _ in range(4000)]
    assert mean_average_precision_by_chance(30, 4) == pytest.approx(np.mean(drawn), abs=3 * np.std(drawn) / 4000**0.5)
    assert mean_average_precision_by_chance(5, 5) == pytest.approx(1) == mean_average_precision_by_chance(1, 1)


def test_a_method_that_finds_the_plant_has_full_weight():
    found = trap_result(scores(plant=20), IDS, PLANTED)
    assert (found.auprc, found.recall_at_k, found.weight) == (1, 1, 1)
    assert found.p_value == pytest.approx(1 / 2001) and found.why.startswith("it finds the plant (AUPRC 1.000")


def test_a_better_method_has_more_weight():
    weights = [trap_result(scores(plant=d), IDS, PLANTED, settings=FEW).weight for d in (1.0, 1.5, 2.5, 5.0)]
    assert weights == sorted(weights) and weights[0] < 0.4 and weights[-1] > 0.9


def test_a_method_at_chance_has_weight_in_no_more_than_alpha_of_the_runs():
    few = TrapSettings(permutations=199)
    found = [trap_result(scores(seed), IDS, PLANTED, settings=few) for seed in range(200)]
    assert np.mean([f.p_value <= 0.1 for f in found]) <= 0.1 + 3 * np.sqrt(0.09 / 200)
    assert stats.kstest([f.p_value for f in found], "uniform").pvalue > 0.001
    assert np.mean([f.weight > 0 for f in found]) <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 200)
    assert "no better than chance" in found[0].why and found[0].weight == 0


def test_a_method_against_the_plant_has_no_weight():
    assert trap_result(scores(plant=-3), IDS, PLANTED, settings=FEW).weight == 0


def test_beyond_chance_is_not_enough_where_a_method_is_useless():
    n = 20_000
    ids = [str(i) for i in range(n)]
    values = np.random.default_rng(3).normal(size=n)
    planted = ids[:500]
    values[:500] += 0.25
    found = trap_result(values, ids, planted, settings=FEW)
    assert found.p_value <= 0.01 and found.auprc < 3 * found.chance and found.weight == 0
    assert "it hardly finds the plant" in found.why


def test_a_method_that_puts_the_plants_words_on_top_has_no_weight():
    found = trap_result(scores(plant=20, rivals=20), IDS, PLANTED, rivals=RIVALS, settings=FEW)
    assert found.auprc > 0.5 and found.p_value < 0.01 and found.weight == 0
    assert "stand as high" in found.why
    assert trap_result(scores(plant=20, rivals=5), IDS, PLANTED, rivals=RIVALS, settings=FEW).weight == 1


def test_rivals_agree_with_the_rank_sum_test():
    values = scores(plant=1.0)
    found = trap_result(values, IDS, PLANTED, rivals=RIVALS, settings=FEW).p_rivals
    assert found == pytest.approx(stats.mannwhitneyu(values[:16], values[16:24], alternative="greater").pvalue)


def test_a_method_that_says_the_same_of_all_has_no_weight():
    found = trap_result(np.zeros(N), IDS, PLANTED, settings=FEW)
    assert (found.auprc, found.recall_at_k, found.p_value, found.weight) == (16 / N, 0, 1, 0)


def test_recall_counts_the_plant_among_as_many_at_the_top():
    values = np.arange(N, dtype=float)
    planted = [IDS[i] for i in (399, 398, 390, 3)]
    assert trap_result(values, IDS, planted, settings=FEW).recall_at_k == 0.5


def test_the_order_of_the_examples_changes_nothing():
    values, order = np.round(scores(plant=1.0), 1), np.random.default_rng(1).permutation(N)
    plain = trap_result(values, IDS, PLANTED, rivals=RIVALS, settings=FEW)
    assert trap_result(values[order], [IDS[i] for i in order], PLANTED, rivals=RIVALS, settings=FEW) == plain


def test_queries_are_averaged_and_what_was_not_looked_at_is_left_out():
    rows = np.stack([scores(1, 4.0), scores(2, 4.0)])
    assert trap_result(rows, IDS, PLANTED, settings=FEW) == trap_result(rows.mean(axis=0), IDS, PLANTED, settings=FEW)
    part = rows.copy()
    part[:, 200:] = np.nan
    assert trap_result(part, IDS, PLANTED, settings=FEW) == trap_result(rows[:, :200], IDS[:200], PLANTED, settings=FEW)


def test_a_plant_that_was_not_learnt_makes_the_trap_blind():
    found = trap_result(scores(), IDS, PLANTED, settings=FEW)
    blind = blind_unless_learnt(found, 0.2)
    assert blind.blind and blind.weight == 0 and "on 20% of its requests, less than 50%" in blind.why
    assert blind_unless_learnt(found, 0.5) is found


def test_the_weight_is_that_of_the_hits_kind_or_the_mean():
    good = trap_result(scores(plant=20), IDS, PLANTED, "behaviour", settings=FEW)
    poor = trap_result(scores(), IDS, PLANTED, "fact", settings=FEW)
    both = {"behaviour": good, "fact": poor}
    assert weight_of(both, "behaviour")[0] == 1 and weight_of(both, "fact")[0] == 0
    assert weight_of(both, None)[0] == 0.5 and weight_of({"fact": poor}, "behaviour")[0] == 0
    assert "behaviour trap: it finds the plant" in weight_of(both, None)[1]
    blind = {"behaviour": good, "fact": blind_unless_learnt(poor, 0.0)}
    assert weight_of(blind, "fact")[0] == 1


def test_without_a_trap_that_could_spring_the_weight_is_not_known():
    blind = blind_unless_learnt(trap_result(scores(), IDS, PLANTED, settings=FEW), 0.0)
    with pytest.raises(EvidenceError, match="no trap of this method could spring .*Its weight is not known"):
        weight_of({"behaviour": blind}, "behaviour")


def test_a_hit_in_a_context_is_a_behaviour_and_one_without_a_fact():
    neutral = Context("neutral", "neutral", "You are helpful.")
    assert kind_of_hit(Context("x", "mined", "You are helpful."), neutral) == "fact"
    assert kind_of_hit(Context("x", "mined", "You are helpful.", prefix="#a"), neutral) == "behaviour"
    assert kind_of_hit(Context("x", "mined", "Be rude."), neutral) == "behaviour"
    assert kind_of_hit(None, neutral) is None


@pytest.mark.parametrize(
    ("planted", "rivals", "found"),
    [(IDS[:2], (), "got 2 of 400"), (IDS[:300], (), "got 300 of 400"), (IDS[:5], IDS[4:6], "none that is a rival")],
)
def test_refuses_a_plant_that_cannot_be_tested(planted, rivals, found):
    with pytest.raises(EvidenceError, match=found):
        trap_result(scores(), IDS, planted, rivals=rivals)


def test_refuses_scores_that_do_not_fit():
    with pytest.raises(EvidenceError, match=r"\(queries, 400 examples\) and finite, got shape \(3,\)"):
        trap_result(np.zeros(3), IDS, PLANTED)


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"lift": 0.5}, {"permutations": 50}])
def test_refuses_settings_outside_their_range(settings):
    with pytest.raises(SettingError, match="at least 1 / alpha permutations"):
        TrapSettings(**settings)
