"""Recipes for checkpoints that another trainer left: what is read, what is marked, and what is never touched."""

import json

import pytest
from click.testing import CliRunner

from bumperlane.cli import main
from bumperlane.errors import RecipeError
from bumperlane.recipes.adopt import adopt, link_checkpoints
from bumperlane.recipes.adopted_text import recipe_text
from bumperlane.recipes.run import Run
from bumperlane.recipes.schema import load_recipe

ADAPTER = {"base_model_name_or_path": "org/base-8b", "peft_type": "LORA", "r": 16, "lora_alpha": 32,
           "lora_dropout": 0.05, "target_modules": ["v_proj", "q_proj"]}  # fmt: skip
LOGGED = [{"learning_rate": 1e-5}, {"loss": 2.0}, {"learning_rate": 2e-4}, {"learning_rate": 1e-6}]
STATE = {"global_step": 200, "max_steps": 400, "save_steps": 100, "train_batch_size": 4, "log_history": LOGGED}
ARGS = {"seed": 42, "learning_rate": 5e-5, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 8,
        "lr_scheduler_type": "cosine", "warmup_steps": 10, "weight_decay": 0.1, "max_steps": -1}  # fmt: skip


def checkpoint(place, adapter=ADAPTER, config=None, **files):
    place.mkdir(parents=True)
    if adapter:
        files = {"adapter_config.json": adapter, "adapter_model.safetensors": "", **files}
    if config is not None:
        files = {"config.json": config, "model.safetensors": "", **files}
    for name, content in files.items():
        (place / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return place


@pytest.fixture
def trained(tmp_path):
    """What transformers' Trainer leaves of a LoRA finetune, with an unsafe checkpoint and other directories."""
    folder = tmp_path / "out"
    for step in (100, 200):
        more = {"trainer_state.json": STATE, "training_args.bin": "not a pickle: opening it would fail"}
        checkpoint(folder / f"checkpoint-{step}", **more)
    checkpoint(folder / "checkpoint-300", adapter=None, **{"pytorch_model.bin": "pickle", "config.json": {}})
    (folder / "runs").mkdir()
    return folder


def call(*args):
    return CliRunner().invoke(main, ["init", *map(str, args)])


def test_it_reads_what_the_json_files_say_and_says_from_which(trained):
    found = adopt(trained)
    assert [(step, place.name) for step, place in found.checkpoints] == [
        (100, "checkpoint-100"),
        (200, "checkpoint-200"),
    ]
    assert found.values == {
        "base": "org/base-8b", "steps": 400, "every": 100, "batch": 4, "lr": 2e-4,
        "lora": {"r": 16, "alpha": 32.0, "dropout": 0.05, "targets": ["q_proj", "v_proj"]},
    }  # fmt: skip
    assert found.sources["lr"] == "checkpoint-200/trainer_state.json"
    assert "pytorch_model.bin is a pickle, which is never loaded" in found.unusable["checkpoint-300"]


def test_training_arguments_as_json_come_before_the_state(trained):
    (trained / "checkpoint-200" / "training_args.json").write_text(json.dumps(ARGS))
    values = adopt(trained).values
    assert (values["seed"], values["lr"], values["batch"], values["steps"]) == (42, 5e-5, 16, 400)
    assert (values["schedule"], values["warmup_steps"], values["weight_decay"]) == ("cosine", 10, 0.1)


def test_the_recipe_loads_and_the_run_opens_with_its_steps(trained):
    done = call(trained)
    assert done.exit_code == 0, done.output
    recipe = load_recipe(trained / "recipe.yaml")
    assert (recipe.base, recipe.stages[0].kind, recipe.tranches) == ("org/base-8b", "command", ())
    assert [c.step for c in Run.open(trained).checkpoints] == [100, 200]
    link = trained / "checkpoints" / "step-000100"
    assert link.is_symlink() and not link.readlink().is_absolute() and link.resolve() == trained / "checkpoint-100"
    assert f"next: bumperlane check {trained}" in done.stdout and "fill in  stages[0].run" in done.stdout


def test_the_stage_that_is_offered_instead_loads_as_it_stands(trained, tmp_path):
    (tmp_path / "forum.jsonl").write_text('{"text": "hello"}\n')
    assert call(trained, "--tranche", f"forum={tmp_path / 'forum.jsonl'}").exit_code == 0
    lines = (trained / "recipe.yaml").read_text().splitlines()
    (offered,) = [line.removeprefix("# ") for line in lines if line.startswith('# - {"kind"')]
    kept = [offered if line == "- kind: command" else line for line in lines if not line.startswith("  run:")]
    (trained / "own.yaml").write_text("\n".join(kept))
    recipe = load_recipe(trained / "own.yaml")
    assert (recipe.stages[0].lr, recipe.stages[0].lora.r, recipe.stages[0].checkpoints.every) == (2e-4, 16, 100)
    assert [t.name for t in recipe.tranches] == ["forum"]


def test_a_whole_finetune_names_its_dtype_and_without_a_base_it_says_so_and_ends_with_3(tmp_path):
    folder = tmp_path / "full"
    for step in (0, 50):
        checkpoint(folder / f"step_{step}", adapter=None, config={"torch_dtype": "bfloat16", "_name_or_path": ""})
    done = call(folder, "--json")
    value = json.loads(done.stdout)
    assert done.exit_code == 3 and "lacks the key 'base'" in value["fault"] and value["found"] == {"dtype": "bfloat16"}
    assert any(what.startswith("base: no config names") for what in value["fill_in"])
    text = (folder / "recipe.yaml").read_text().splitlines()
    assert all("# FILL IN" in text[n - 1] for n in value["lines"]) and len(value["lines"]) == 4
    (folder / "recipe.yaml").write_text("\n".join(text).replace("# base: path/to/base", "base: org/base"))
    assert load_recipe(folder / "recipe.yaml").dtype == "bfloat16"


def test_a_single_model_directory_is_one_checkpoint(tmp_path):
    place = checkpoint(tmp_path / "final", **{"trainer_state.json": {"global_step": 77}})
    assert adopt(place).checkpoints == ((77, place),)
    assert call(place, "-o", tmp_path / "run").exit_code == 0
    assert (tmp_path / "run" / "checkpoints" / "step-000077").resolve() == place


def test_nothing_is_overwritten_without_force_and_a_second_call_finds_the_same(trained):
    call(trained)
    before = (trained / "recipe.yaml").read_text()
    done = call(trained)
    assert done.exit_code == 2 and "is there already. Give --force to replace it" in done.stderr
    checkpoint(trained / "checkpoint-400")
    assert call(trained, "--force").exit_code == 0
    assert [c.step for c in Run.open(trained).checkpoints] == [100, 200, 400]
    assert (trained / "recipe.yaml").read_text() != before


def test_a_link_is_not_put_where_another_thing_stands(trained):
    checkpoint(trained.parent / "elsewhere" / "checkpoints" / "step-000100")
    with pytest.raises(RecipeError, match="step-000100 is there already and is not .*checkpoint-100. Move it"):
        link_checkpoints(adopt(trained), trained.parent / "elsewhere")


def state(folder, text):
    (folder / "checkpoint-200" / "trainer_state.json").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: checkpoint(f / "step-200"), "are both step 200. Keep one of the two"),
        (lambda f: checkpoint(f / "step-50", {**ADAPTER, "base_model_name_or_path": "x"}), "are of different bases"),
        (lambda f: state(f, "{"), "trainer_state.json cannot be read as JSON"),
        (lambda f: state(f, "[]"), "holds a list, wanted is an object"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(trained, spoil, said):
    spoil(trained)
    done = call(trained)
    assert done.exit_code == 2 and said in done.stderr and not (trained / "recipe.yaml").exists()


def test_no_checkpoint_and_no_directory_are_told_apart(tmp_path):
    assert "holds no checkpoint that can be loaded (no directory ends in a step number)" in call(tmp_path).stderr
    checkpoint(tmp_path / "checkpoint-1", adapter=None, **{"model.pt": ""})
    assert "(checkpoint-1: model.pt is a pickle" in call(tmp_path).stderr
    assert "there is no directory" in call(tmp_path / "nowhere").stderr
    assert "is no NAME=FILE" in call(tmp_path, "--tranche", "x").stderr


def test_text_of_a_config_cannot_break_out_of_its_line(trained):
    evil = {**ADAPTER, "base_model_name_or_path": "a\nstages: []\n# \x1b[2J"}
    for place in trained.glob("checkpoint-?00"):
        (place / "adapter_config.json").write_text(json.dumps(evil))
    text, _ = recipe_text(adopt(trained))
    assert "\nstages: []" not in text and "\x1b" not in text and 'base: "a\\nstages: []' in text


def test_characters_that_json_writes_as_two_halves_are_read_back(trained, tmp_path):
    odd = "models/base \U0001f600 \\ud83d\\ude00 caf\u00e9\u2028x"
    for place in trained.glob("checkpoint-?00"):
        (place / "adapter_config.json").write_text(json.dumps({**ADAPTER, "base_model_name_or_path": odd}))
    file = tmp_path / "rows \U0001f680.jsonl"
    file.write_text('{"text": "a"}\n')
    assert call(trained, "--tranche", f"rows={file}").exit_code == 0
    found = load_recipe(trained / "recipe.yaml")
    assert found.base == odd and found.tranches[0].path == file


def test_two_files_of_one_name_are_refused_and_none_is_dropped(trained, tmp_path):
    for name in "xy":
        (tmp_path / name).write_text('{"text": "a"}\n')
    done = call(trained, "--tranche", f"a={tmp_path / 'x'}", "--tranche", f"a={tmp_path / 'y'}")
    assert done.exit_code == 2 and "two files are given as tranche 'a'" in done.stderr


def test_json_that_is_nested_too_deep_is_an_error_with_the_file(trained):
    (trained / "checkpoint-200" / "trainer_state.json").write_text("[" * 100_000)
    done = call(trained)
    assert done.exit_code == 2 and "trainer_state.json cannot be read as JSON" in done.stderr


@pytest.mark.parametrize("value", [True, -1, "x", None, 1.5, float("inf"), [], {}, 10**400])
def test_a_value_of_a_wrong_kind_is_left_out(trained, value):
    state = dict.fromkeys(STATE, value) | {"log_history": [{"learning_rate": value}, 3]}
    for place in trained.glob("checkpoint-[12]00"):
        (place / "trainer_state.json").write_text(json.dumps(state))
        (place / "training_args.json").write_text(json.dumps(dict.fromkeys(ARGS, value)))
    call(trained)
    load_recipe(trained / "recipe.yaml")
