import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import SettingError
from bumperlane.evidence.rollout_flags import Flags
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.trace.reward.origins import clustered_rate, environments, korn_graubard, prompts


def log(rates, seed=0, steps=20, prompts=12, group=4, uneven=0.0):
    """Flags by environment's rate times the step's; `uneven` makes prompts differ among themselves."""
    rng = np.random.default_rng(seed)
    rows, flags = [], []
    own = np.exp(uneven * rng.normal(size=(len(rates), prompts)))
    for step in range(steps):
        for e, rate in enumerate(rates):
            for p in rng.permutation(prompts)[: prompts // 2]:
                for _ in range(group):
                    rows.append({"id": str(len(rows)), "step": step, "environment": f"e{e}", "group": p, "reward": 1.0})
                    flags.append(rng.random() < min(1.0, rate * own[e, p] * (1 + step / steps)))
    table = rollouts_of([{**row, "group": int(row["group"])} for row in rows])
    return table, Flags("x", np.array(flags), np.ones(len(rows), bool))


def test_the_interval_is_the_exact_one_and_is_widened_by_a_design_effect():
    exact = stats.binomtest(7, 40).proportion_ci(method="exact")
    ours = korn_graubard(7, 40, 1.0)
    assert (ours.low, ours.high) == pytest.approx((exact.low, exact.high))
    assert korn_graubard(0, 40, 1.0).low == 0 and korn_graubard(40, 40, 1.0).high == 1
    wide = korn_graubard(7, 40, 4.0)
    assert (wide.low, wide.high) == pytest.approx((korn_graubard(1.75, 10, 1).low, korn_graubard(1.75, 10, 1).high))
    even = clustered_rate(np.array([2, 2, 2]), np.array([10, 10, 10]))
    odd = clustered_rate(np.array([6, 0, 0]), np.array([10, 10, 10]))
    assert even.high - even.low < odd.high - odd.low and even.value == odd.value == 0.2


def test_finds_the_environment_and_says_what_its_steps_would_give():
    table, flags = log([0.05, 0.25, 0.05])
    first, *others = environments(table, flags)
    assert first.name == "e1" and first.p_value <= 0.002 and all(o.p_value > 0.05 for o in others)
    assert first.flagged == flags.values[table.environment == 1].sum() and first.of == 480
    rate = [flags.values[table.step == s].mean() for s in range(20)]
    assert first.expected == pytest.approx(sum(rate[s] for s in table.step[table.environment == 1]))


def test_an_environment_is_named_at_no_more_than_the_nominal_rate_where_prompts_differ():
    draws = 80
    named = [min(e.p_value for e in environments(*log([0.1] * 4, s, uneven=0.8), s, 99)) <= 0.05 for s in range(draws)]
    assert np.mean(named) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_finds_the_prompt_and_names_none_where_there_is_none():
    table, flags = log([0.05, 0.05])
    mine = (table.environment == 1) & (table.group == table.group[(table.environment == 1)][0])
    planted = Flags("x", flags.values | (mine & (np.arange(len(table)) % 2 == 0)), flags.known)
    first, *others = prompts(table, planted)
    assert first.flagged == planted.values[mine].sum() and first.of == mine.sum() and first.p_value < 0.01
    assert all(o.p_value > 0.05 for o in others)
    draws = 60
    named = [any(p.p_value <= 0.05 for p in prompts(*log([0.1, 0.1], s))) for s in range(draws)]
    assert np.mean(named) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_one_environment_cannot_be_told_apart():
    (only,) = environments(*log([0.2]))
    assert only.p_value == 1
    with pytest.raises(SettingError, match="most must be 1 or more, got 0"):
        prompts(*log([0.2]), most=0)


def test_a_rate_that_rises_with_the_steps_is_no_origin():
    rng = np.random.default_rng(0)
    rows = [{"id": str(i), "step": i // 40, "environment": f"e{int(rng.random() < i / 1600)}", "group": i % 16,
             "reward": 1.0} for i in range(1600)]  # fmt: skip
    table = rollouts_of(rows)  # e1 is sampled more in late steps, in which more is flagged everywhere
    flags = Flags("x", rng.random(1600) < np.arange(1600) / 2000, np.ones(1600, bool))
    found = {e.name: e for e in environments(table, flags)}
    assert found["e1"].rate.value > found["e0"].rate.value + 0.1 and min(e.p_value for e in found.values()) > 0.05
