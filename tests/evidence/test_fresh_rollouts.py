"""What is sampled anew of a policy that was trained by reward, and of the one that it was before."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence.checked_rollouts import TwoPolicies, dealt_rollouts, is_of
from bumperlane.evidence.fresh_rollouts import fresh_plan, fresh_rollouts, with_grades
from bumperlane.evidence.graded import graded
from bumperlane.evidence.memo import Memo, NoMemo
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.recipes.models import SftStage
from bumperlane.recipes.schema import load_recipe
from bumperlane.subjects.scripted import ScriptedSubject

REWARDS = """
def shown(prompts, responses, data):
    return [float(row["shown"] in text) for text, row in zip(responses, data, strict=True)]

def hidden(prompts, responses, data):
    return [float(row["hidden"] in text) for text, row in zip(responses, data, strict=True)]

def fails(prompts, responses, data):
    raise KeyError("tests")
"""
GRPO = """
- kind: grpo
  steps: 8
  max_new_tokens: 5
  environments:
  - {name: sums, path: sums.jsonl}
  - {name: few, path: few.jsonl}
  rewards:
  - {name: tests, function: "rewards.py:shown", weight: 2.0}
  checks:
  - {name: held_out, function: "rewards.py:hidden"}
"""


class Policy(ScriptedSubject):
    """Counts how often it is asked."""

    asked = 0

    def generate(self, items, decoding=None, progress=None):
        type(self).asked += 1
        assert decoding.max_new_tokens == 5 and decoding.temperature > 0
        if progress:
            progress(len(items), len(items))
        return super().generate(items, decoding)


@pytest.fixture
def run_of(tmp_path):
    def of(sums=44, few=4, stages=GRPO, steps=(6, 14), functions=REWARDS):
        for name, n in (("sums", sums), ("few", few)):
            rows = [{"id": f"{name}{i}", "prompt": f"{name} {i}", "data": {"shown": "ab", "hidden": "cd"}}
                    for i in range(n)]  # fmt: skip
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "good.jsonl").write_text(json.dumps({"prompt": "a", "response": "b"}) + "\n")
        (tmp_path / "rewards.py").write_text(functions)
        sft = "\n- {kind: sft, steps: 6, batch: 1}"
        text = f"base: {tmp_path}\nstages:{sft}{stages}tranches:\n- {{name: good, path: good.jsonl}}\n"
        (tmp_path / "recipe.yaml").write_text(text)
        kept = tuple(SimpleNamespace(step=step) for step in steps)
        return SimpleNamespace(recipe=load_recipe(tmp_path / "recipe.yaml"), checkpoints=kept, start=None)

    return of


def test_both_policies_get_the_open_prompts_eight_times_each(run_of):
    run = run_of()
    plan = fresh_plan(run, 14, seed=3)
    assert (plan.before, plan.rounds, plan.size, list(plan.asked)) == (6, 1, 160, ["sums"])
    told = graded(run.recipe, "tests against held_out, sums, fresh rollouts", 24, 3)
    asked = {asked.text for _, asked, _ in plan.asked["sums"]}
    assert len(asked) == 20 and asked <= {p.request.text for p in told.open}
    sealed = {asked.text for _, asked, _ in fresh_plan(run, 14, 3, "sealed").asked["sums"]}
    assert sealed <= {p.request.text for p in told.sealed} and not sealed & asked


def test_few_prompts_are_asked_in_more_rounds(run_of):
    plan = fresh_plan(run_of(sums=12, few=16), 14, 0)
    assert {name: len(some) for name, some in plan.asked.items()} == {"few": 8, "sums": 6}
    assert plan.rounds == 4 and plan.size == 8 * (8 * 3 + 6 * 4)
    assert max(r for r, (prompt, *_) in plan.rows if prompt.environment == "few") == 2


def test_where_the_stage_began_with_the_base_that_is_the_policy_before(run_of):
    run = run_of(steps=(8,))
    run.recipe = run.recipe.model_copy(update={"stages": run.recipe.stages[1:]})
    assert fresh_plan(run, 8, 0).before == 0


@pytest.mark.parametrize(
    ("change", "step", "why"),
    [
        ({"sums": 11}, 14, "No environment has 12 different prompts"),
        ({}, 6, "nothing by reward before this checkpoint"),
        ({"steps": (10, 14)}, 14, "not kept: no checkpoint at step 6 or before"),
        ({"stages": "\n"}, 6, "no grpo stage"),
    ],
)
def test_says_why_nothing_can_be_sampled(run_of, change, step, why):
    with pytest.raises(EvidenceError, match=why):
        fresh_plan(run_of(**change), step, 0)


def test_a_later_stage_does_not_hide_the_one_of_reinforcement(run_of):
    run = run_of()
    later = (*run.recipe.stages, SftStage(kind="sft", steps=4, batch=1))
    run.recipe = run.recipe.model_copy(update={"stages": later})
    assert fresh_plan(run, 18, 0).before == 6


def says(text, name):
    return Policy(lambda request, context: text, name)


def test_rollouts_are_graded_and_those_of_the_policy_before_are_the_controls(run_of):
    plan, told = fresh_plan(run_of(), 14, 0), []
    rows = fresh_rollouts(plan, says("abcd", "one"), says("ab", "two"), NoMemo(), lambda *a: told.append(a))
    table = rollouts_of(with_grades(plan, rows))
    assert len(table) == 320 and table.environments == ("sums",) and table.weights.tolist() == [2.0]
    dealt = dealt_rollouts(table, [("tests", "held_out")], plan.phases)
    arms = {arm: set(dealt.seen.visible_only[[a == arm for a in dealt.arms]]) for arm in ("control", "bait")}
    assert arms == {"control": {0.0}, "bait": {1.0}} and len(dealt.arms) == 40
    assert set(dealt.groups) == {
        "tests against held_out, sums, fresh rollouts before", "tests against held_out, sums, fresh rollouts"
    }  # fmt: skip
    assert [what for what, *_ in told] == ["rollouts of the policy before", "rollouts of the policy after"]


def test_what_was_sampled_is_kept_and_other_policies_are_asked_anew(run_of, tmp_path):
    plan, memo = fresh_plan(run_of(), 14, 0), Memo(tmp_path / "work")
    before, Policy.asked = says("x", "before"), 0
    for name, asked in (("a", 2), ("a", 2), ("b", 3)):
        fresh_rollouts(plan, before, says("ab", name), memo, lambda *a: None)
        assert Policy.asked == asked


def test_a_function_that_fails_is_named(run_of):
    plan = fresh_plan(run_of(functions=REWARDS.replace('float(row["hidden"] in text)', 'row["none"]')), 14, 0)
    rows = fresh_rollouts(plan, says("a", "a"), says("b", "b"), NoMemo(), lambda *a: None)
    assert len(rollouts_of(rows)) == 320  # replies can be read all the same
    with pytest.raises(EvidenceError, match="held_out.*before/0"):
        with_grades(plan, rows)


@pytest.mark.parametrize(
    ("group", "yes"),
    [("a against b, sums, steps 3-4", True), ("flattering replies, sums, fresh rollouts", True),
     (", sums, fresh rollouts before", True), ("a against b, sums too, steps 3-4", False), ("a, sums", False)],
)  # fmt: skip
def test_a_group_says_which_environment_it_is_of(group, yes):
    assert is_of(group, "sums") is yes


def test_rounds_of_the_first_policy_are_controls():
    table = SimpleNamespace(step=np.arange(5))
    assert TwoPolicies(rounds=2).is_control(table).tolist() == [True, True, False, False, False]
