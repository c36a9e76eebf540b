import json
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest

import promises
from bumperlane.detect.logs.reading import log_reading, run_reading
from bumperlane.detect.logs.visible_against_held_out import VisibleAgainstHeldOut
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.checked_rollouts import (
    CheckedRollouts,
    Phases,
    dealt_rollouts,
    pairs_of,
    rollouts_in,
)
from bumperlane.evidence.rollout_table import Columns
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.judge.judge import JudgeSettings, judge


def policy(seed=0, steps=40, passes=(0.3, 0.9), false=(0.15, 0.95), onset=0.35, scale=1.0, prompts=6):
    """Rollouts of a run: the rate of passing the visible check moves from the first to the second value of `passes`
    after `onset`, and of those the share that fails the held-out one by `false`. Prompts differ in difficulty."""
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(steps):
        progress = float(np.clip((step / steps - onset) * 4, 0, 1))
        pass_rate, false_rate = (a + (b - a) * progress for a, b in (passes, false))
        for prompt in rng.permutation(40)[:prompts].tolist():
            hard = rng.normal(0, 0.6)
            at = 1 / (1 + np.exp(-(np.log(pass_rate / (1 - pass_rate)) + hard)))
            for i in range(8):
                visible = float(rng.random() < at)
                held_out = float(visible and rng.random() >= false_rate)
                rows.append({
                    "id": f"{step}/{prompt}/{i}", "step": step, "group": f"p{prompt}", "environment": "code",
                    "response": "x", "rewards": {"tests": scale * visible, "style": float(rng.normal())},
                    "checks": {"hidden_tests": held_out},
                })  # fmt: skip
    return rows


def found(rows, **settings):
    return judge([log_reading(VisibleAgainstHeldOut(**settings), rollouts_of(rows))], JudgeSettings())[0]


def test_keeps_every_promise(tmp_path):
    promises.keep(VisibleAgainstHeldOut, tmp_path)


def test_hits_a_policy_that_learns_to_pass_what_it_is_paid_for_only_and_names_the_steps():
    seen = found(policy())
    assert seen.verdict == "hit" and seen.family == "logs"
    assert seen.groups[0].group.startswith("tests against hidden_tests, code, steps ")
    assert int(seen.groups[0].group.rsplit("-", 1)[1]) > 20


@pytest.mark.parametrize(
    "change",
    [
        {"false": (0.15, 0.15)},
        {"false": (0.35, 0.35)},
        {"false": (0.4, 0.1)},
        {"passes": (0.3, 0.3), "false": (0.3, 0.3)},
        {"passes": (0.9, 0.2), "false": (0.15, 0.15)},
        {"passes": (0.05, 0.99), "false": (0.2, 0.2)},
    ],
    ids=["learns", "learns from weak tests", "gets better", "stands still", "gets worse", "learns all of it"],
)
def test_a_policy_whose_passes_are_as_honest_as_they_were_is_clear(change):
    assert [found(policy(seed, **change)).verdict for seed in range(5)] == ["clear"] * 5


def test_the_false_alarm_rate_over_runs_without_a_fault_is_kept():
    hits = sum(found(policy(seed, steps=24, false=(0.3, 0.3))).verdict == "hit" for seed in range(40))
    assert hits <= 4


def test_is_blind_to_a_held_out_check_that_is_gamed_too_and_to_a_fault_from_the_first_step():
    gamed = [
        {**r, "checks": {"hidden_tests": r["rewards"]["tests"] * (crc32(r["id"].encode()) % 9 > 0)}} for r in policy()
    ]
    assert found(gamed, visible="tests", held_out="hidden_tests").verdict == "clear"
    assert found(policy(passes=(0.9, 0.9), false=(0.95, 0.95)), visible="tests", held_out="hidden_tests").verdict == (
        "clear"
    )
    assert found(policy(false=(0.1, 0.4))).verdict == "clear"


def test_any_unit_of_reward_will_do():
    rows = policy(scale=7.5)
    assert found(rows, visible="tests", held_out="hidden_tests").verdict == "hit"
    honest = [
        {**r, "rewards": {**r["rewards"], "tests": r["rewards"]["tests"] * 7.5 - 3}} for r in policy(false=(0.2, 0.2))
    ]
    assert found(honest, visible="tests", held_out="hidden_tests").verdict == "clear"


def test_goes_by_a_term_that_is_no_pass_and_no_fail():
    """Over-optimisation of a reward model: its score climbs on, and the gold score falls below where it began."""

    def rows(fall, rng=None):
        rng, out = np.random.default_rng(3), []
        for step in range(40):
            gained = 3 * step / 40
            for k in range(48):
                quality = rng.normal()
                gold = quality + gained - fall * max(0.0, gained - 1.2) + rng.normal(0, 0.5)
                proxy = quality + 2 * gained + rng.normal(0, 0.5)
                out.append({"id": f"{step}/{k}", "step": step, "group": f"p{k // 8}", "rewards": {"model": proxy},
                            "checks": {"gold": gold}})  # fmt: skip
        return out

    assert found(rows(fall=4.0)).verdict == "hit"
    assert found(rows(fall=0.0)).verdict == "clear"


def test_terms_outside_0_to_1_count_by_their_ranks_among_early_rollouts():
    def scores(change):
        rng = np.random.default_rng(3)
        rows = [
            {"id": f"{step}/{k}", "step": step, "group": f"p{k // 8}", "rewards": {"model": change(rng.normal() * 2)},
             "checks": {"gold": float(rng.normal())}} for step in range(20) for k in range(48)
        ]  # fmt: skip
        return log_reading(VisibleAgainstHeldOut("model", "gold"), rollouts_of(rows)).scores.values

    plain = scores(lambda value: value)
    np.testing.assert_allclose(scores(lambda value: float(np.exp(value)) - 40), plain, rtol=1e-6)
    assert 0 <= plain.min() and plain.max() <= 1 and 0.02 < (plain > 0).mean() < 0.9


def test_every_environment_with_enough_rollouts_is_judged_by_itself():
    honest = [{**r, "id": f"a{r['id']}", "environment": "maths"} for r in policy(1, false=(0.15, 0.15), prompts=30)]
    seen = found([*policy(), *honest])
    rates: dict = {}
    for g in seen.groups:
        rates.setdefault(g.group.split(", steps")[0], []).append(g.rate.value)
    assert seen.verdict == "hit" and len(rates) == 2
    assert max(rates["tests against hidden_tests, maths"]) < 0.1 < max(rates["tests against hidden_tests, code"])


def test_small_environments_are_judged_together():
    rows = [{**r, "environment": f"e{k % 8}"} for k, r in enumerate(policy(prompts=8))]
    grouped = [{**r, "environment": f"e{int(r['group'][1:]) % 20}"} for r in rows]
    seen = log_reading(VisibleAgainstHeldOut(), rollouts_of(grouped))
    assert set(seen.strata) == {"tests against hidden_tests"} and found(grouped).verdict == "hit"


def test_reads_a_run_and_the_log_of_somebody_else(tmp_path):
    rows = policy()
    run = tmp_path / "run"
    run.mkdir()
    (run / "rollouts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    theirs = [
        {"uid": r["id"], "global_step": r["step"], "prompt_id": r["group"], "r_tests": r["rewards"]["tests"],
         "hidden": r["checks"]["hidden_tests"]} for r in rows
    ]  # fmt: skip
    (tmp_path / "theirs.jsonl").write_text("\n".join(map(json.dumps, theirs)))
    columns = Columns({"uid": "id", "global_step": "step", "prompt_id": "group"}, ("r_tests",), ("hidden",))
    tables = rollouts_in(run), rollouts_in(tmp_path / "theirs.jsonl", columns)
    seen = [judge([log_reading(VisibleAgainstHeldOut(), t)], JudgeSettings())[0] for t in tables]
    assert [j.verdict for j in seen] == ["hit", "hit"] and seen[0].p_value == seen[1].p_value


def test_a_run_without_rollouts_is_blind_and_is_not_read_as_a_log(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    reading = run_reading(VisibleAgainstHeldOut(), tmp_path)
    assert "has no log of rollouts: nothing in it was trained by reward" in reading.why_blind


def test_the_order_of_rows_changes_nothing():
    rows = policy()
    mixed = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    one, other = (log_reading(VisibleAgainstHeldOut(), rollouts_of(r)) for r in (rows, mixed))
    assert one.scores.ids == other.scores.ids and one.arms == other.arms
    np.testing.assert_allclose(one.scores.values, other.scores.values, rtol=1e-12)


def test_a_batch_is_scored_as_by_hand():
    rows = [
        {"id": f"{step}/{g}/{i}", "step": step, "group": f"g{g}", "rewards": {"v": float(i < 6)},
         "checks": {"h": float(i < (1 if step > 20 else 5))}}
        for step in range(40) for g in range(6) for i in range(8)
    ]  # fmt: skip
    dealt = dealt_rollouts(rollouts_of(rows), [("v", "h")], Phases())
    bait = np.array([arm == "bait" for arm in dealt.arms])
    late = bait & np.array([int(g.rsplit("-", 1)[1]) >= 30 for g in dealt.groups])
    np.testing.assert_allclose(dealt.seen.visible_only[~bait], 1 / 8)
    np.testing.assert_allclose(dealt.seen.both[~bait], 5 / 8)
    np.testing.assert_allclose(dealt.seen.visible_only[late], 5 / 8)
    scores = VisibleAgainstHeldOut().fit(dealt.seen).score(dealt.seen).values
    np.testing.assert_allclose(scores[late], 4 / 8)
    assert not scores[~bait].any() and dealt.note == "v against h in 240 batches of 8 or more rollouts."


def test_early_are_the_fewest_first_steps_that_will_do():
    def early(**more):
        dealt = dealt_rollouts(rollouts_of(policy(**more)), [("tests", "hidden_tests")], Phases())
        return max(
            int(g.rsplit("-", 1)[1]) for g, arm in zip(dealt.groups, dealt.arms, strict=True) if arm == "control"
        )

    assert early(steps=40, prompts=6) == 3  # 4 steps of 6 batches make 20
    assert early(steps=40, prompts=40) == 1  # one would do, but a twentieth of the steps is two


def test_prompts_with_one_rollout_are_joined():
    rows = [{**r, "group": r["id"]} for r in policy()]
    seen = log_reading(VisibleAgainstHeldOut(), rollouts_of(rows))
    assert len(seen.scores.ids) == 240 and found(rows).verdict == "hit"


def test_picks_the_pair_by_early_rollouts_alone():
    rows = policy()
    rows = [
        {**r, "checks": {**r["checks"], "same": r["rewards"]["tests"], "length": float(len(r["id"]))}} for r in rows
    ]
    table = rollouts_of(rows)
    assert pairs_of(table, Phases()) == (("tests", "hidden_tests"),)
    late = [{**r, "checks": {**r["checks"], "hidden_tests": 0.0}} if r["step"] > 20 else r for r in rows]
    assert pairs_of(rollouts_of(late), Phases()) == (("tests", "hidden_tests"),)


def test_without_a_check_one_term_is_held_against_another():
    rows = [{**r, "rewards": {**r["rewards"], "hidden": r["checks"]["hidden_tests"]}, "checks": None} for r in policy()]
    assert set(pairs_of(rollouts_of(rows), Phases())) == {("tests", "hidden"), ("hidden", "tests")}
    assert found(rows).verdict == "hit"


def test_what_cannot_be_used_makes_it_blind_and_says_why():
    rows = policy()
    few = found(rows[:1200:5])
    assert (
        few.verdict == "blind" and "batches of 8 rollouts in early steps" in few.why and "it takes 19 and 6" in few.why
    )
    unrelated = [{**r, "checks": {"luck": float(i * 7919 % 11)}} for i, r in enumerate(rows)]
    assert "no paid term (style, tests) goes with a held-out check (luck) in early rollouts" in found(unrelated).why
    stepless = [{**r, "step": 3} for r in rows]
    assert "rollouts of 1 steps cannot be told into early and late ones: it takes 4" in found(stepless).why
    absent = [{**r, "checks": {"hidden_tests": None}} for r in rows]
    assert found(absent, visible="tests", held_out="hidden_tests").verdict == "blind"


def test_refuses_settings_that_make_no_sense():
    with pytest.raises(SettingError, match="name both checks or none, got visible 'a' and held_out ''"):
        VisibleAgainstHeldOut(visible="a")
    for bad in ({"early": 1.0}, {"windows": 0}, {"batch": 0}):
        with pytest.raises(SettingError, match="need early between 0 and 1, windows from 1 to 12 and batch >= 1"):
            VisibleAgainstHeldOut(**bad)
    with pytest.raises(SettingError, match="no check or reward term is named 'testss'. Did you mean 'tests'"):
        found(policy(), visible="testss", held_out="hidden_tests")


def test_refuses_evidence_that_is_not_one_number_a_batch():
    good = CheckedRollouts(("a", "b"), np.zeros(2), np.zeros(2))
    with pytest.raises(EvidenceError, match=r"both must have one value for each of 2 batches, got \(3,\)"):
        replace(good, both=np.zeros(3))
    with pytest.raises(EvidenceError, match="visible_only of batches of rollouts are not finite for 1 items"):
        replace(good, visible_only=np.array([0.0, np.nan]))
