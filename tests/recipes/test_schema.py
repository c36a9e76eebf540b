import subprocess
import sys

import pytest

from bumperlane.errors import RecipeError
from bumperlane.recipes.schema import dump_recipe, load_recipe, recipe_schema


def edit(folder, old, new):
    file = folder / "recipe.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


def test_reads_a_recipe_and_takes_relative_paths_from_its_folder(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(folder / "recipe.yaml")
    assert recipe.tranches[0].path == folder / "good.jsonl"
    assert (recipe.base, recipe.stages[0].lr, recipe.tranches[1].weight) == ("some-model", 3e-3, 1.5)
    assert recipe.stages[0].lora.targets == "all-linear"


def test_a_directory_beside_the_recipe_is_the_base(folder):
    (folder / "some-model").mkdir()
    assert load_recipe(folder / "recipe.yaml").base == str(folder / "some-model")


def test_a_dumped_recipe_loads_equal(folder, tmp_path):
    edit(folder, "weight: 1.5", "drop: [p1]\n  relabel: {p0: 'no: # {x}\\n'}\nheld_out: good.jsonl")
    recipe = load_recipe(folder / "recipe.yaml")
    assert load_recipe(dump_recipe(recipe, tmp_path / "elsewhere" / "again.yaml")) == recipe


def test_a_command_stage_runs_in_the_recipes_folder(folder, tmp_path):
    text = "base: x\nstages: [{kind: command, run: ['{python}', train.py]}]\n"
    (folder / "command.yaml").write_text(text)
    recipe = load_recipe(folder / "command.yaml")
    assert recipe.stages[0].cwd == folder
    assert load_recipe(dump_recipe(recipe, tmp_path / "r.yaml")) == recipe


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("tranches:", "tranche:", r"recipe.yaml:11:\d+: unknown key 'tranche'\. Did you mean 'tranches'\? Known keys:"),
        ("  batch: 3", "  batchsize: 3", r"recipe.yaml:7:\d+: unknown key 'batchsize'\. Did you mean 'batch'\?"),
        ("{r: 4,", "{rank: 4,", r"recipe.yaml:9:\d+: unknown key 'rank'.*Known keys: alpha, dropout, layers, r, targe"),
        ("  path: planted.jsonl\n", "", r"recipe.yaml:14:\d+: tranches\.1 lacks the key 'path'"),
        ("base: some-model\n", "", r"recipe.yaml:1:\d+: the recipe lacks the key 'base'"),
        ("kind: sft", "kind: stf", r"recipe.yaml:5:\d+: stages\.0 has the unknown kind 'stf'\. Did you mean 'sft'\?"),
        ("- kind: sft\n ", "-", r"recipe.yaml:5:\d+: stages\.0 lacks the key 'kind'\. Known kinds: sft, command"),
        ("steps: 12", "steps: 0", r"recipe.yaml:6:\d+: stages\.0\.steps: Input should be greater than or equal to 1"),
        ("lr: 3e-3", "lr: .nan", r"recipe.yaml:8:\d+: stages\.0\.lr: Input should be a finite number, got nan"),
        ("r: 4,", "layers: [5, 2],", r"recipe.yaml:9:\d+: stages\.0\.lora: layers must be \[first, last\], got \[5, 2"),
        ("weight: 1.5", "weight: 0", r"recipe.yaml:16:\d+: tranches\.1\.weight: Input should be greater than 0"),
        ("name: planted", "name: a/b", r"recipe.yaml:14:\d+: tranches\.1\.name: String should match pattern"),
        ("name: planted", "name: good", r"two tranches are named 'good'"),
        ("planted.jsonl", "gone.jsonl", r"recipe.yaml:15:\d+: tranche 'planted': there is no file .*/gone\.jsonl"),
        ("weight: 1.5", "drop: [p1, p9]", r"recipe.yaml:16:\d+: drop names id 'p9', which none of 4 .* Did you mean '"),
        ("weight: 1.5", "relabel:\n    q: x", r"recipe.yaml:17:\d+: relabel names id 'q', which none of 4 examples"),
        ("seed: 3", "seed: 3\nbase: other", r"recipe.yaml:3:\d+: key 'base' stands already in line 1"),
        ("seed: 3", "seed: 3\nheld_out: h.jsonl", r"recipe.yaml:3:\d+: there is no file .*/h\.jsonl"),
        ("base: some-model", "base: ./model", r"recipe.yaml:1:\d+: no model directory .*/model"),
        ("seed: 3", "seed: [3", r"recipe.yaml:\d+:\d+: this is not valid YAML"),
        ("seed: 3", "seed: !!python/object:os.system 3", r"recipe.yaml:2:\d+: this is not valid YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_and_what_is_valid(folder, old, new, says):
    file = edit(folder, old, new)
    with pytest.raises(RecipeError, match=says):
        load_recipe(file)


def test_refuses_stages_that_would_train_two_different_adapters(folder):
    file = edit(folder, "tranches:", "- {kind: sft, steps: 2, lora: {r: 2}}\ntranches:")
    with pytest.raises(RecipeError, match="same lora settings: they train one adapter"):
        load_recipe(file)


@pytest.mark.parametrize("text, says", [("", "nothing"), ("- a\n", "a list"), ("just words", "a str")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, says):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=rf"r.yaml:1:\d+: a recipe is a mapping, got {says}"):
        load_recipe(tmp_path / "r.yaml")


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match="cannot read the recipe .*r.yaml: No such file"):
        load_recipe(tmp_path / "r.yaml")


def test_a_recursive_alias_does_not_hang(tmp_path):
    (tmp_path / "r.yaml").write_text("base: &a [*a]\n")
    with pytest.raises(RecipeError):
        load_recipe(tmp_path / "r.yaml")


def test_cannot_be_changed_once_made(folder):
    with pytest.raises(ValueError, match="frozen"):
        load_recipe(folder / "recipe.yaml").seed = 4


def test_publishes_a_json_schema():
    assert {"base", "stages", "tranches", "rewind"} <= set(recipe_schema()["properties"])


def test_recipes_edits_and_runs_load_without_torch():
    code = "import sys, bumperlane.recipes.train, bumperlane.recipes.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
