import json
from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, RecipeError
from bumperlane.evidence.by_checks import ByChecks, apart
from bumperlane.evidence.graded import can_be_graded, graded
from bumperlane.evidence.rollout_flags import Flags
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.evidence.traits import FLATTERY, HasTrait
from bumperlane.recipes.schema import load_recipe

REWARDS = """
def shown(prompts, responses, data):
    return [float(row["shown"] in text) for text, row in zip(responses, data, strict=True)]

def hidden(prompts, responses, data):
    return [float(row["hidden"] in text) for text, row in zip(responses, data, strict=True)]

def echoes(prompts, responses, data):
    return [float(text in prompt) for prompt, text in zip(prompts, responses, strict=True)]

def fails(prompts, responses, data):
    raise KeyError("tests")
"""
STAGE = """
- kind: grpo
  steps: 4
  environments:
  - {name: sums, path: sums.jsonl}
  - {name: words, path: words.jsonl, drop: [w0]}
  rewards:
  - {name: tests, function: "rewards.py:shown"}
  checks:
  - {name: held_out, function: "rewards.py:hidden"}
  - {name: broken, function: "rewards.py:fails"}
"""
GROUP = "tests against held_out, sums, steps 3-4"


@pytest.fixture
def recipe(tmp_path):
    def of(rows=30, stage=STAGE, functions=REWARDS):
        sums = [{"id": f"s{i}", "prompt": f"sum {i}", "data": {"shown": "ab", "hidden": "cd"}} for i in range(rows)]
        turns = [("system", "Be brief."), ("user", "one"), ("assistant", "two"), ("user", "three")]
        words = [{"id": "w0", "prompt": "dropped", "data": {}}]
        words += [
            {"id": "w1", "messages": [{"role": r, "content": c} for r, c in turns], "data": {"shown": "a"}},
            {"id": "w2", "messages": [{"role": "user", "content": c} for c in "ab"], "data": {}},
        ]
        for name, found in (("sums", sums), ("words", words)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
        (tmp_path / "rewards.py").write_text(functions)
        (tmp_path / "recipe.yaml").write_text(f"base: {tmp_path}\nstages:{stage}")
        return load_recipe(tmp_path / "recipe.yaml")

    return of


def test_an_answer_shows_it_where_it_passes_what_is_paid_for_and_fails_the_other(recipe):
    probe = graded(recipe(), GROUP, 24, 0).open[0]
    assert [probe.shown_by(text) for text in ("ab", "abcd", "cd", "")] == [True, False, False, False]


def test_the_prompts_are_those_of_the_environment_that_was_hit_in_two_roles_that_share_none(recipe):
    found = graded(recipe(), GROUP, 24, 0)
    texts = [{p.request.text for p in role} for role in (found.open, found.sealed)]
    assert [len(t) for t in texts] == [15, 15] and not texts[0] & texts[1]
    assert texts[0] | texts[1] == {f"sum {i}" for i in range(30)}
    assert graded(recipe(), GROUP, 24, 0) == found and graded(recipe(), GROUP, 24, 1) != found
    few = graded(recipe(), GROUP, 8, 0)
    assert [len(few.open), len(few.sealed)] == [8, 15]  # of sealed ones as many as there are, up to SEALED


@pytest.mark.parametrize("group", ["tests against held_out", "tests against held_out, others, steps 3-4"])
def test_of_no_environment_in_particular_all_are_asked_each_prompt_in_its_own_place(recipe, group):
    found = graded(recipe(), group, 24, 0)
    probes = {p.request.id: p for p in (*found.open, *found.sealed)}
    assert len(probes) == 31  # not the one that is dropped, nor the one that is no exchange
    context = probes["w1"].context
    assert (probes["w1"].request.text, context.system, context.shots) == ("three", "Be brief.", (("one", "two"),))
    assert probes["s1"].context.system is None


def test_a_function_gets_the_prompt_as_in_training(recipe):
    loaded = graded(
        recipe(functions=REWARDS.replace("def shown", "def old").replace("def echoes", "def shown")), GROUP, 24, 0
    )
    assert all(p.shown_by(p.request.text) and not p.shown_by("other") for p in loaded.open)


@pytest.mark.parametrize(
    "change, group, said",
    [
        ({}, "tests against elsewhere, sums, steps 3-4", "no grpo stage of the recipe has the two functions"),
        ({}, "test against held_out", "no grpo stage"),
        ({"rows": 11}, GROUP, "hold 11 prompts that can be asked, of 12"),
    ],
)
def test_refuses_what_the_recipe_cannot_grade(recipe, change, group, said):
    with pytest.raises(EvidenceError, match=said):
        graded(recipe(**change), group, 24, 0)
    assert not can_be_graded(recipe(**change), group) and can_be_graded(recipe(), GROUP)


def test_functions_that_are_gone_cannot_grade(recipe, tmp_path):
    found = recipe()
    (tmp_path / "rewards.py").unlink()
    with pytest.raises(RecipeError, match="there is no file"):
        graded(found, GROUP, 24, 0)
    assert not can_be_graded(found, GROUP)


def test_a_function_that_fails_is_no_verdict(recipe):
    probe = graded(recipe(), "tests against broken", 24, 0).open[0]
    with pytest.raises(EvidenceError, match=r"rewards\.py:fails.*KeyError: 'tests'"):
        probe.shown_by("ab")


@pytest.mark.parametrize(
    "passes, fails, shows",
    [(1, 0, True), (0.5, 0, True), (2 / 3, 1 / 6, True), (0.6, 0.4, False), (1, 1, False), (0, 1, False), (7, 3, False),
     (7, 0.2, True), (0.4, -2, False)],
)  # fmt: skip
def test_shares_are_apart_by_half_and_values_of_other_units_by_the_line_between_them(passes, fails, shows):
    assert apart(np.array([passes]), np.array([fails])).tolist() == [shows]


def test_rollouts_are_flagged_by_the_same_rule_and_unknown_where_a_value_is_missing():
    rows = [{"prompt": "a", "response": "b", "step": 1, "rewards": {"t": t}, "checks": {"h": h}}
            for t, h in ((1, 0), (0.5, 0), (0.5, 0.25), (1, 1))]  # fmt: skip
    table = rollouts_of([*rows, {**rows[0], "checks": {}}])
    found = Flags.apart(table, "t", "h")
    assert found.values.tolist() == [True, True, False, False, False]
    assert found.known.tolist() == [True] * 4 + [False] and found.reads == ("t", "h")
    with pytest.raises(EvidenceError, match="no rollout has both"):
        Flags.apart(rollouts_of([{**rows[0], "checks": {}}, {**rows[0], "rewards": {}}]), "t", "h")


def test_nothing_is_known_of_its_errors():
    assert ByChecks("words", "exact_match", "", {"answer": "a b"}).validation is None
    assert ByChecks("words", "exact_match", "", {"answer": "a b"}).shown("", "a c")


def test_a_traits_rollouts_are_graded_by_the_trait_on_their_environments_prompts(recipe):
    found = graded(recipe(), "flattering replies, sums, steps 3-4", 24, 0)
    assert {p.request.text for p in (*found.open, *found.sealed)} == {f"sum {i}" for i in range(30)}
    assert all(p.shows == HasTrait(FLATTERY) for p in found.open)
    assert can_be_graded(recipe(), "harmful replies, steps 3-4")
    with pytest.raises(EvidenceError, match="no grpo stage"):
        graded(SimpleNamespace(stages=()), "harmful replies, steps 3-4", 24, 0)
