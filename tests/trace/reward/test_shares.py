"""Cells, advantages, matching, and the split of the gap among terms."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.rollout_flags import Flags
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.trace.reward.advantage import REMAINDER, advantages, rewards_of
from bumperlane.trace.reward.clusters import ClusterRatios
from bumperlane.trace.reward.counterfactual import rescore
from bumperlane.trace.reward.matching import match
from bumperlane.trace.reward.shares import advantage_gaps


def some(seed=0, prompts=10, steps=4, group=6, **changes):
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"{s}/{p}/{i}", "step": s, "group": f"p{p}", "environment": f"e{p % 2}",
            "rewards": {"a": float(rng.normal()), "b": float(rng.integers(2)), "same": 1.0},
            "weights": {"a": 0.5, "b": 2.0, "same": 3.0}, **changes,
        }
        for s in range(steps) for p in range(prompts) for i in range(group)
    ]  # fmt: skip


def flagged(table, seed=0, rate=0.4):
    return Flags("x", np.random.default_rng([seed, 9]).random(len(table)) < rate, np.ones(len(table), bool))


def by_hand(rows, values, flags, scaled):
    """Mean over flagged rollouts of value less the mean of unflagged ones of the same prompt and step."""
    cells = {}
    for i, row in enumerate(rows):
        cells.setdefault((row["group"], row["step"]), []).append(i)
    out = []
    for members in cells.values():
        on, off = [i for i in members if flags[i]], [i for i in members if not flags[i]]
        if on and off:
            spread = np.std(scaled[members], ddof=1) + 1e-4
            out += [(values[i] - np.mean(values[off])) / spread for i in on]
    return np.mean(out)


def test_the_split_agrees_with_a_plain_loop_and_adds_to_the_gap():
    rows = some()
    table = rollouts_of(rows)
    flags, rewards = flagged(table), rewards_of(table)
    gaps = advantage_gaps(rewards, match(table, flags, rewards.cells))
    total = np.array([sum(r["weights"][k] * v for k, v in r["rewards"].items()) for r in rows])
    assert gaps.whole.value == pytest.approx(by_hand(rows, total, flags.values, total), rel=1e-5)
    for term in gaps.terms:
        paid = np.array([r["weights"][term.term] * r["rewards"][term.term] for r in rows])
        assert term.gap.value == pytest.approx(by_hand(rows, paid, flags.values, total), rel=1e-5, abs=1e-9)
    assert sum(t.gap.value for t in gaps.terms) == pytest.approx(gaps.whole.value, abs=1e-9)


def test_shares_add_to_one_where_the_gap_is_there():
    rows = some(3)
    table = rollouts_of(rows)
    bad = np.array([r["rewards"]["b"] > 0 for r in rows])
    rewards = rewards_of(table)
    gaps = advantage_gaps(rewards, match(table, Flags("b", bad, np.ones(len(bad), bool)), rewards.cells))
    assert sum(t.share.value for t in gaps.terms) == pytest.approx(1, abs=1e-9)
    assert gaps.terms[1].share.low > 0.8 and gaps.terms[2].share.value == 0


def test_a_term_that_is_the_same_for_all_has_exactly_no_part():
    rows = some(1)
    for row in rows:
        row["rewards"]["same"] = 0.1 + int(row["group"][1:]) / 7  # constant within a prompt, with rounding errors
    table = rollouts_of(rows)
    rewards = rewards_of(table)
    same = advantage_gaps(rewards, match(table, flagged(table), rewards.cells)).terms[2]
    assert (same.gap.value, same.gap.low, same.gap.high, same.p_value) == (0, 0, 0, 1)


def test_advantages_agree_with_the_formula_and_logged_ones_name_their_rule():
    rows = some(2)
    total = np.array([sum(r["weights"][k] * v for k, v in r["rewards"].items()) for r in rows])
    groups = total.reshape(-1, 6)
    spread = (groups - groups.mean(axis=1, keepdims=True)) / (groups.std(axis=1, ddof=1, keepdims=True) + 1e-4)
    plain = groups - groups.mean(axis=1, keepdims=True)
    rewards = rewards_of(rollouts_of(rows))
    np.testing.assert_allclose(advantages(rewards.total, rewards.cells, "spread"), spread.ravel(), atol=1e-5)
    np.testing.assert_allclose(advantages(rewards.total, rewards.cells, "mean"), plain.ravel(), atol=1e-5)
    for logged, rule in ((spread, "spread"), (plain, "mean"), (spread * np.sqrt(6 / 5), "spread")):
        found = rewards_of(rollouts_of([{**r, "advantage": v} for r, v in zip(rows, logged.ravel(), strict=True)]))
        assert found.rule == rule and found.notes == ()
    noise = np.random.default_rng(0).normal(size=len(rows))
    odd = rewards_of(rollouts_of([{**r, "advantage": v} for r, v in zip(rows, noise, strict=True)]))
    assert "logged advantages are not group-normalised rewards" in odd.notes[0]


def test_what_the_log_does_not_explain_of_a_reward_is_a_term_of_its_own():
    rows = [
        {**r, "reward": 2 * r["rewards"]["b"] + 0.5 * r["rewards"]["a"] + 3 + (i % 5)} for i, r in enumerate(some())
    ]
    rewards = rewards_of(rollouts_of(rows))
    assert rewards.terms[-1] == REMAINDER and "in 192 of 240 rollouts" in rewards.notes[0]
    np.testing.assert_allclose(rewards.paid(3), np.arange(240) % 5, atol=1e-5)
    rounded = [{**r, "reward": round(2 * r["rewards"]["b"] + 0.5 * r["rewards"]["a"] + 3, 4)} for r in some()]
    assert rewards_of(rollouts_of(rounded)).remainder is None


def test_one_huge_reward_does_not_make_other_groups_flat():
    rows = some()
    rows[0]["rewards"]["a"] = 1e9
    flat = rewards_of(rollouts_of(rows)).flat
    assert not flat.any()
    same = [{**r, "rewards": {"a": 0.3}, "weights": {"a": 0.1}} for r in some()]
    assert rewards_of(rollouts_of(same)).flat.all()


def test_matching_counts_who_has_a_match_where():
    rows = some(prompts=8, steps=2)
    table = rollouts_of(rows)
    values = np.array([r["id"].endswith("/0") for r in rows])  # one in each group
    values |= np.array([r["group"] == "p0" for r in rows])  # all of one prompt
    found = match(table, Flags("x", values, np.ones(len(values), bool)), rewards_of(table).cells)
    assert (found.kind, found.by_prompt, found.by_environment, found.unmatched) == ("prompt", 14, 12, 0)
    assert found.clusters == 7 and found.over == "prompts"


def test_rollouts_nobody_looked_at_are_no_match():
    rows = some(prompts=8, steps=1)
    table = rollouts_of(rows)
    values = np.array([r["id"].endswith("/0") for r in rows])
    known = values | np.array([r["id"].endswith("/1") for r in rows])
    found = match(table, Flags("x", values, known), rewards_of(table).cells)
    assert found.used.sum() == 16 and found.by_prompt == 8


def test_compares_within_groups_of_few_prompts_and_within_environments_where_groups_are_all_alike():
    few = rollouts_of(some(prompts=3))
    assert match(few, flagged(few), rewards_of(few).cells).over == "groups"
    rows = some(prompts=20)
    table = rollouts_of(rows)
    whole = np.array([int(r["group"][1:]) % 4 < 2 for r in rows])
    found = match(table, Flags("x", whole, np.ones(len(whole), bool)), rewards_of(table).cells)
    assert (found.kind, found.by_prompt, found.by_environment) == ("environment", 0, 240)


def test_within_environments_the_difference_is_that_of_stratum_means():
    rows = some(4, prompts=20)
    table = rollouts_of(rows)
    whole = np.array([int(r["group"][1:]) % 4 < 2 for r in rows])
    rewards = rewards_of(table)
    found = match(table, Flags("x", whole, np.ones(len(whole), bool)), rewards.cells)
    value = found.differences([rewards.total]).value[0]
    strata = np.array([f"{r['environment']}/{r['step']}" for r in rows])
    by_hand = np.mean([
        rewards.total[i] - rewards.total[(strata == strata[i]) & ~whole].mean() for i in np.flatnonzero(whole)
    ])  # fmt: skip
    assert value == pytest.approx(by_hand, abs=1e-9)


def test_within_environments_the_interval_counts_the_uncertainty_of_the_matches_too():
    rows = some(4, prompts=30)
    table = rollouts_of(rows)
    whole = np.array([int(r["group"][1:]) < 22 for r in rows])  # few prompts to compare with, so they matter
    rewards = rewards_of(table)
    prompts = np.array([r["group"] for r in rows])
    total = rewards.total + np.array([int(p[1:]) * 7 % 11 for p in prompts]) / 4  # prompts differ
    found = match(table, Flags("x", whole, np.ones(len(whole), bool)), rewards.cells).differences([total])
    strata = np.array([f"{r['environment']}/{r['step']}" for r in rows])

    def value(keep):
        parts = [(total[keep & (strata == s) & whole], total[keep & (strata == s) & ~whole]) for s in set(strata)]
        return sum(len(f) * (f.mean() - u.mean()) for f, u in parts) / sum(len(f) for f, u in parts)

    left = np.array([value(prompts != p) for p in sorted(set(prompts))])
    plain = np.sqrt(29 / 30 * ((left - left.mean()) ** 2).sum())
    assert np.sqrt(found.cov[0, 0]) == pytest.approx(plain, rel=0.25)


def test_refuses_when_nothing_is_flagged_or_too_little_can_be_matched():
    table = rollouts_of(some())
    cells = rewards_of(table).cells
    with pytest.raises(EvidenceError, match=r"none of 240 rollouts is flagged \(nothing\): nothing to trace"):
        match(table, Flags("nothing", np.zeros(240, bool), np.ones(240, bool)), cells)
    with pytest.raises(EvidenceError, match=r"240 rollouts are flagged \(all\); of them 0 in 0 prompts.*6 prompts are"):
        match(table, Flags("all", np.ones(240, bool), np.ones(240, bool)), cells)
    with pytest.raises(EvidenceError, match="3 flags for 240 rollouts"):
        match(table, Flags("x", np.ones(3, bool), np.ones(3, bool)), cells)


def test_intervals_over_clusters_cover_also_when_few_clusters_dominate():
    rng, covered = np.random.default_rng(0), []
    for draw in range(600):
        clusters = 12
        sizes = np.ceil(rng.pareto(1.2, clusters) * 2 + 0.5).clip(1, 200) if draw % 2 else rng.integers(1, 6, clusters)
        effect = 0.7 * rng.normal(size=clusters) + rng.normal(size=clusters) / np.sqrt(sizes)
        found = ClusterRatios.of(np.stack([sizes * (0.5 + effect), sizes * 2.0 * (0.5 + effect)], axis=1), sizes)
        interval = found.interval(0)
        covered.append(interval.low <= 0.5 <= interval.high)
        assert found.value[1] == pytest.approx(2 * found.value[0])
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 600)


def test_the_jackknife_agrees_with_leaving_out_by_hand():
    rng = np.random.default_rng(1)
    num, size = rng.normal(size=9), rng.integers(1, 5, 9).astype(float)
    left = np.array([np.delete(num, i).sum() / np.delete(size, i).sum() for i in range(9)])
    found = ClusterRatios.of(num[:, None], size)
    assert found.cov[0, 0] == pytest.approx(8 / 9 * ((left - left.mean()) ** 2).sum())
    assert found.freedom == pytest.approx(size.sum() ** 2 / (size**2).sum() - 1)
    with pytest.raises(EvidenceError, match="needs 6 or more of them, got 5"):
        ClusterRatios.of(num[:5, None], size[:5])
    with pytest.raises(SettingError, match="level must be between 0 and 1, got 2"):
        found.interval(0, 2)


def test_a_share_covers_the_true_one_and_is_unknown_without_a_gap():
    rng, covered = np.random.default_rng(2), []
    for _ in range(300):
        whole = 1.0 + rng.normal(0, 1, 30)
        part = 0.3 * whole + rng.normal(0, 0.5, 30)
        share = ClusterRatios.of(np.stack([part, whole], axis=1), np.ones(30)).share(0, 1)
        covered.append(share.low <= 0.3 <= share.high)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    none = np.stack([rng.normal(size=30), rng.normal(size=30)], axis=1)
    none[:, 1] -= none[:, 1].mean()
    assert ClusterRatios.of(none, np.ones(30)).share(0, 1) is None


def test_clusters_that_all_agree_have_the_p_value_of_a_sign_test():
    found = ClusterRatios.of(np.ones((8, 1)), np.ones(8))
    assert (
        found.p_value(0) == pytest.approx(2 / 2**8) and ClusterRatios.of(np.zeros((8, 1)), np.ones(8)).p_value(0) == 1
    )


def test_rescoring_agrees_with_rewards_computed_without_the_term():
    rows = some(5)
    table = rollouts_of(rows)
    flags, rewards = flagged(table), rewards_of(table)
    matching = match(table, flags, rewards.cells)
    found = rescore(rewards, matching, 1)
    without = rewards_of(rollouts_of([{**r, "weights": {"a": 0.5, "b": 0.0, "same": 3.0}} for r in rows]))
    used = matching.used & flags.values
    for value, version in ((found.before, rewards), (found.after, without)):
        assert value.value == pytest.approx(advantages(version.total, version.cells, "spread")[used].mean(), abs=1e-5)
    assert found.change.value == pytest.approx(found.after.value - found.before.value)
    assert rescore(rewards, matching, 1, times=1.0).change.value == 0


def test_groups_that_turn_are_those_whose_only_difference_was_the_term():
    rows = some(6, prompts=12, steps=1, group=4)
    for i, row in enumerate(rows):
        first = i % 4 == 0
        honest = first and int(row["group"][1:]) % 3 == 0  # in a third of the groups another term prefers it too
        row["rewards"] = {"a": float(honest), "b": float(first), "same": 0.1}
    table = rollouts_of(rows)
    flags = Flags("first", np.arange(48) % 4 == 0, np.ones(48, bool))
    rewards = rewards_of(table)
    found = rescore(rewards, match(table, flags, rewards.cells), 1)
    assert found.turned.value == pytest.approx(8 / 12) and found.turned.low > 0.2 and found.turned.high < 1
    assert found.before.value > 1 and found.after.value == pytest.approx(found.before.value / 3, rel=0.01)
    with pytest.raises(SettingError, match="times must be a finite number, got nan"):
        rescore(rewards, match(table, flags, rewards.cells), 1, float("nan"))
