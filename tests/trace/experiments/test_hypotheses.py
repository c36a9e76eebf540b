import json

import pytest

from bumperlane.errors import SettingError
from bumperlane.recipes.edits import DropExamples, DropTranche, SetHyperparameter, apply_edits
from bumperlane.recipes.schema import load_recipe
from bumperlane.trace.experiments.hypotheses import (
    Hypothesis,
    environment_suspect,
    example_suspects,
    reward_suspect,
    tranche_suspect,
)

TASKS = [{"id": f"t{i}", "prompt": f"do {i}", "data": {"answer": str(i)}} for i in range(5)]


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TASKS))
    (tmp_path / "more.jsonl").write_text(json.dumps({"id": "m0", "prompt": "do more"}) + "\n")

    def make(kind="grpo", rewards=(("right", 1.0), ("words", 0.5)), environments=True):
        stage = {"kind": kind, "steps": 4}
        if kind == "command":
            stage["run"] = ["true", "--reward=words"]
        if rewards:
            stage["rewards"] = [{"name": n, "function": "words", "weight": w} for n, w in rewards]
        if environments:
            stage["environments"] = [
                {"name": "tasks", "path": "tasks.jsonl", "drop": ["t4"]}, {"name": "more", "path": "more.jsonl"},
            ]  # fmt: skip
        file = tmp_path / "recipe.yaml"
        file.write_text(json.dumps({"base": "no-model", "stages": [stage]}))
        return load_recipe(file)

    return make


@pytest.mark.parametrize("kind", ["grpo", "command"])
def test_a_reward_term_is_left_out_by_a_weight_of_0_whoever_trains(recipe, kind):
    given = recipe(kind)
    suspect = reward_suspect(given, "words", weight=2)
    after = apply_edits(given, suspect.edits)
    assert [(r.name, r.weight) for r in after.stages[0].rewards] == [("right", 1.0), ("words", 0.0)]
    assert (suspect.title, suspect.removed, suspect.weight) == ("reward words", 0, 2)


def test_a_command_that_lists_no_rewards_is_told_how_to_leave_one_out(recipe):
    given = recipe("command", rewards=(), environments=False)
    with pytest.raises(
        SettingError, match=r"'words' cannot be left out: no stage of the recipe \(command\) lists .*`run`"
    ):
        reward_suspect(given, "words")
    own = Hypothesis("reward", "words", (SetHyperparameter("stages.0.run", ["true", "--reward=none"]),))
    assert apply_edits(given, own.edits).stages[0].run == ("true", "--reward=none")


def test_the_only_reward_and_unknown_ones_are_refused(recipe):
    with pytest.raises(SettingError, match="'right' is the only one that stage 0 pays for"):
        reward_suspect(recipe(rewards=(("right", 1.0), ("logged", 0.0))), "right")
    with pytest.raises(SettingError, match="unknown reward term 'word'.*words"):
        reward_suspect(recipe(), "word")


def test_an_environment_is_left_out_with_all_of_its_prompts(recipe):
    given = recipe()
    suspect = environment_suspect(given, "tasks")
    assert suspect.ids == ("t0", "t1", "t2", "t3")  # t4 was dropped before
    assert apply_edits(given, suspect.edits).stages[0].environments[0].drop == ("t0", "t1", "t2", "t3", "t4")
    with pytest.raises(SettingError, match="unknown environment 'task'.*tasks"):
        environment_suspect(given, "task")


def test_data_is_left_out_by_tranche_or_by_id():
    assert tranche_suspect("news", ["a", "b"]).edits == (DropTranche("news"),)
    column = example_suspects("author=x", ["a"], kind="column value")
    assert column.edits == (DropExamples(("a",)),) and column.title == "column value author=x"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: example_suspects("none", []), "hypothesis 'none' has no edits"),
        (lambda: tranche_suspect("a", ["x"], weight=0.0), "weight 0.0; it must be above 0"),
        (lambda: tranche_suspect("a", ["x"], weight=float("nan")), "weight nan"),
        (lambda: tranche_suspect("a", ["x", "x"]), "names an id twice"),
    ],
)
def test_refuses_hypotheses_that_cannot_be_tested(make, text):
    with pytest.raises(SettingError, match=text):
        make()
