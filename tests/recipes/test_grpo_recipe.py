import json

import pytest

from bumperlane.errors import RecipeError, SettingError, TrainingError
from bumperlane.recipes import edits as e
from bumperlane.recipes.command import materialise
from bumperlane.recipes.grpo_prompts import prompt_plan, read_environment, read_prompts
from bumperlane.recipes.identity import inputs_of, recipe_key
from bumperlane.recipes.models import Recipe
from bumperlane.recipes.schema import dump_recipe, load_recipe
from bumperlane.recipes.sft import train_sft
from bumperlane.recipes.stage import StageTask

from .conftest import write_rows
from .grpo_recipe import REWARDS, write_grpo_recipe

COMMAND = """\
- kind: command
  run: ['{{python}}', train.py]
  environments:
  - {{name: first, path: first.jsonl, drop: [f1]}}
  rewards:
  - {{name: plain, function: whatever the command calls it}}
"""


@pytest.fixture
def file(tmp_path):
    return write_grpo_recipe(tmp_path, "some-model")


@pytest.fixture
def recipe(file):
    return load_recipe(file)


def test_reads_a_stage_and_takes_relative_paths_from_the_recipes_folder(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (stage,) = recipe.stages
    assert stage.environments[1].path == tmp_path / "second.jsonl" and stage.environments[1].weight == 0.5
    assert stage.rewards[0].function == f"{tmp_path}/rewards.py:ascii_share" and stage.rewards[0].weight == 1
    assert (stage.kl, stage.divide_by_std, stage.epochs, stage.average) == (0, True, 1, "responses")
    assert load_recipe(dump_recipe(recipe, tmp_path / "elsewhere" / "again.yaml")) == recipe


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  group: 4", "  groups: 4", r"recipe.yaml:8:\d+: unknown key 'groups'\. Did you mean 'group'\?"),
        ("group: 4", "group: 1", r"recipe.yaml:8:\d+: stages\.0\.group: Input should be greater than or equal to 2, g"),
        ("kind: grpo", "kind: gpro", r"recipe.yaml:5:\d+: stages\.0 has the unknown kind 'gpro'\. Did you mean 'grpo'"),
        ("weight: 0.5", "wieght: 0.5", r"recipe.yaml:15:\d+: unknown key 'wieght'\. Did you mean 'weight'\?"),
        ("weight: 0.5", "drop: [s7]", r"recipe.yaml:15:\d+: drop names id 's7', which none of 2 prompts in second.jso"),
        ("second.jsonl", "gone.jsonl", r"recipe.yaml:15:\d+: environment 'second': there is no file .*/gone\.jsonl"),
        ("name: second", "name: first", r"two environments are named 'first'; names must be unique"),
        ("name: twice", "name: long", r"two rewards and checks are named 'long'; names must be unique"),
        ("py:length", "py:lenght", r"recipe.yaml:18:\d+: reward function .* defines no 'lenght'. It has: ascii_share,"),
        ("rewards.py:asked_twice", "wods", r"recipe.yaml:20:\d+: unknown reward function 'wods'. Built in are"),
        ("weight: 0.01", "weight: .inf", r"recipe.yaml:18:\d+: stages\.0\.rewards\.1\.weight: Input should be a finit"),
        ("name: long", "nam: long", r"recipe.yaml:18:\d+: (unknown key 'nam'|stages\.0\.rewards\.1 lacks the key)"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_and_what_is_valid(file, old, new, says):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError, match=says):
        load_recipe(file)


def test_refuses_an_adapter_other_than_that_of_the_sft_stage_before(tmp_path):
    before = "- {kind: sft, steps: 2, lora: {r: 2}}\n"
    file = write_grpo_recipe(tmp_path, "x", before=before)
    write_rows(tmp_path / "t.jsonl", [{"text": "a"}])
    file.write_text(file.read_text() + "tranches: [{name: t, path: t.jsonl}]\n")
    with pytest.raises(RecipeError, match="all sft and grpo stages with lora must have the same lora settings"):
        load_recipe(file)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"text": "x"}, r"a row needs 'messages' or 'prompt'; its keys are text"),
        ({"prompt": "x", "data": [1]}, "data must be a JSON object, got list"),
        ({"prompt": "x", "id": 3}, "id must be a non-empty string, got 3"),
        ({"messages": [{"role": "user"}]}, "message 1 needs the strings 'role' and 'content'"),
        ({"messages": [{"role": "user", "content": " "}]}, r"message 1 \(user\) has empty content"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "the last message is from 'assistant'"),
        ({"prompt": "y", "id": "a"}, "id 'a' stands already in line 1"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_named_with_file_and_line(tmp_path, row, says):
    path = write_rows(tmp_path / "e.jsonl", [{"prompt": "first", "id": "a"}, row])
    with pytest.raises(RecipeError, match=rf"e\.jsonl:2:\d+: {says}"):
        read_environment(path, "e")


def test_default_ids_follow_the_content_and_tell_repeats_apart(tmp_path):
    rows = [{"prompt": "x"}, {"prompt": "x"}, {"prompt": "x", "data": {"a": 1}}]
    one, two, three = read_environment(write_rows(tmp_path / "e.jsonl", rows), "e")
    assert one.id.startswith("e/") and two.id == f"{one.id}-2" and three.id[:12] != one.id[:12]
    assert (three.data, one.text, one.messages[0].role) == ({"a": 1}, "x", "user")


def test_the_order_of_prompts_does_not_depend_on_the_others(recipe):
    def order(recipe):
        prompts = read_prompts(recipe.stages[0])
        return [prompts[i].id for step in prompt_plan(recipe, 0, prompts) for i in step]

    recipe = e.SetHyperparameter("stages.0.steps", 60).apply(recipe)
    every = order(recipe)
    fewer = order(e.DropPrompts(("f2",)).apply(recipe))
    kept = [id for id in every if id != "f2"]
    assert (
        fewer[: len(kept)] == kept
        and 0.3 < sum(id[0] == "s" for id in every) / sum(id[0] == "f" for id in every) * 2 < 0.8
    )


EDITS = [
    (e.SetRewardWeight("long", 0), "~ stages.0 reward long: weight 0.01 -> 0.0", "weight reward long 0"),
    (e.DropReward("plain"), "- stages.0 reward plain", "drop reward plain"),
    (e.DropEnvironment("second"), "- stages.0 environment second", "drop environment second"),
    (
        e.DropPrompts(("f1", "s0")),
        "~ stages.0 environment first: dropped 1 prompt: f1\n~ stages.0 environment second: dropped 1 prompt: s0",
        "drop 2 prompts: f1, s0",
    ),
    (e.SetHyperparameter("stages.0.kl", 0.2), "~ stages.0.kl: 0.0 -> 0.2", "set stages.0.kl to 0.2"),
]


@pytest.mark.parametrize(("edit", "shown", "described"), EDITS)
def test_an_edit_shows_in_the_difference_changes_the_key_and_survives_json(recipe, edit, shown, described):
    before = recipe.model_dump_json()
    after = edit.apply(recipe)
    assert recipe.model_dump_json() == before
    assert e.diff(recipe, after) == shown and e.diff(recipe, recipe) == ""
    assert e.describe(edit) == described
    assert e.edit_from_dict(json.loads(json.dumps(e.edit_to_dict(edit)))) == edit
    assert recipe_key(after) != recipe_key(recipe)


def test_edits_do_what_they_say(recipe):
    after = e.apply_edits(recipe, [e.DropPrompts(("f1",)), e.DropPrompts(("f1", "f2")), e.SetRewardWeight("long", -2)])
    assert after.stages[0].environments[0].drop == ("f1", "f2") and after.stages[0].rewards[1].weight == -2
    assert {p.id for p in read_prompts(after.stages[0])} == {"f0", "f3", "s0", "s1"}
    assert [r.name for r in e.DropReward("long").apply(recipe).stages[0].rewards] == ["plain"]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (e.SetRewardWeight("logn", 0), r"unknown reward 'logn'\. Did you mean 'long'\? Known rewards: long, plain"),
        (e.DropReward("x"), "unknown reward 'x'. Known rewards"),
        (e.DropEnvironment("firts"), r"unknown environment 'firts'\. Did you mean 'first'\?"),
        (e.DropPrompts(("f9",)), r"1 unknown prompt ids, first 'f9'\. Did you mean 'f\d'\?"),
        (e.SetRewardWeight("long", float("inf")), "not allowed: stages.0.grpo.rewards.1.weight: Input should be a fin"),
        (e.SetHyperparameter("stages.0.klx", 1), r"unknown hyperparameter 'stages\.0\.klx'\. Did you mean 'stages"),
    ],
)  # fmt: skip
def test_what_the_recipe_does_not_have_is_refused(recipe, edit, says):
    with pytest.raises(SettingError, match=says):
        edit.apply(recipe)


def test_the_last_reward_and_the_last_environment_stay(recipe):
    one = e.apply_edits(recipe, [e.DropReward("plain"), e.DropEnvironment("first")])
    with pytest.raises(SettingError, match="'long' is the only one of the rewards of a grpo stage.*weight to 0"):
        e.DropReward("long").apply(one)
    with pytest.raises(SettingError, match="'second' is the only one of the environments.*Drop single prompts"):
        e.DropEnvironment("second").apply(one)


def test_the_key_follows_the_bytes_of_environments_and_reward_files_not_their_place(file, tmp_path):
    key = recipe_key(load_recipe(file))
    moved = write_grpo_recipe(tmp_path / "moved", "some-model")
    assert recipe_key(load_recipe(moved)) == key
    (tmp_path / "moved" / "rewards.py").write_text(REWARDS + "# changed\n")
    assert recipe_key(load_recipe(moved)) != key
    other = write_grpo_recipe(tmp_path / "other", "some-model")
    write_rows(tmp_path / "other" / "second.jsonl", [{"id": "s0", "prompt": "new"}])
    assert recipe_key(load_recipe(other)) != key
    assert set(inputs_of(load_recipe(file))["rewards"]) == {"0/plain", "0/long", "0/twice"}


def test_a_recipe_without_environments_has_the_key_it_had_before_there_were_any(tmp_path):
    recipe = Recipe.model_validate({"base": "x", "stages": [{"kind": "command", "run": ["true"], "cwd": "/"}]})
    assert recipe_key(recipe) == "ada45d8b07fd4f5c5df6a3a86ca4ffc53efd2396d7043700dc2ef00d4c710412"


def test_a_command_gets_environments_without_their_dropped_prompts(tmp_path, file):
    (tmp_path / "command.yaml").write_text("base: x\nstages:\n" + COMMAND.format())
    recipe = load_recipe(tmp_path / "command.yaml")
    (stage,) = materialise(recipe, tmp_path / "out").stages
    (environment,) = stage.environments
    assert environment.drop == () and [p.id for p in read_environment(environment.path, "first")] == ["f0", "f2", "f3"]
    assert read_environment(environment.path, "first")[1].data == {"twice": 2}
    assert e.SetRewardWeight("plain", 0.5).apply(recipe).stages[0].rewards[0].weight == 0.5


def test_another_trainer_refuses_a_grpo_stage(recipe, tmp_path):
    with pytest.raises(TrainingError, match="stage 0 is a grpo stage"):
        train_sft(StageTask(recipe, 0, 0, None, "x", tmp_path))
