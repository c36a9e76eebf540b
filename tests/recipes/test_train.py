import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from bumperlane.errors import RecipeError, RunError, SettingError, TrainingError
from bumperlane.recipes.edits import DropTranche, RewindTo, SetHyperparameter, apply_edits
from bumperlane.recipes.run import Run
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import estimate, train
from bumperlane.subjects.subject import Subject

from .conftest import weights, write_rows


def test_leaves_checkpoints_that_peft_and_subject_can_load(trained):
    assert [c.step for c in trained.checkpoints] == [0, 4, 8, 12]
    assert all(Subject.load(c.path, dtype="float32").adapter == c.path for c in trained.checkpoints[::3])
    first, last = (load_file(trained.at(step).path / "adapter_model.safetensors") for step in (0, 12))
    ups = [name for name in first if "lora_B" in name]
    assert ups and not any(first[name].any() for name in ups) and all(last[name].any() for name in ups)
    assert not any("lm_head" in name or "embed" in name for name in last)


def test_the_log_tells_loss_by_tranche_and_training_lowers_it(trained):
    log = trained.log()
    assert [e["step"] for e in log] == list(range(1, 13))
    assert set(log[0]) == {"step", "loss", "tranches", "lr", "grad_norm", "tokens", "seconds"}
    assert set().union(*(e["tranches"] for e in log)) == {"good", "planted"}
    assert sum(e["loss"] for e in log[-3:]) < sum(e["loss"] for e in log[:3])


def test_training_twice_gives_the_same_bytes(trained, tmp_path):
    again = train(trained.recipe, tmp_path / "again")
    assert weights(again) == weights(trained)
    config = "adapter_config.json"
    assert (again.last.path / config).read_bytes() == (trained.last.path / config).read_bytes()


def test_a_complete_run_is_returned_at_once(trained):
    before = (trained.path / "run.json").stat().st_mtime_ns
    assert train(trained.recipe, trained.path) == trained
    assert (trained.path / "run.json").stat().st_mtime_ns == before


SLOW = """
import sys, time
from bumperlane.recipes.train import train
def progress(step, total, message):
    print(step, flush=True)
    time.sleep(0.05 if step < 6 else 60)  # the parent kills it between two checkpoints
train(sys.argv[1], sys.argv[2], progress)
"""


def test_a_run_killed_between_checkpoints_ends_with_the_bytes_of_an_uninterrupted_one(trained, tmp_path):
    out = tmp_path / "killed"
    recipe = trained.path.parent / "recipe.yaml"
    process = subprocess.Popen([sys.executable, "-c", SLOW, recipe, out], stdout=subprocess.PIPE, text=True)
    while process.stdout.readline().strip() not in ("6", ""):
        pass
    with pytest.raises(RunError, match="another process trains in"):
        train(recipe, out)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len((out / "log.jsonl").read_text().splitlines()) == 6
    (out / "checkpoints" / ".step-000008.part").mkdir()
    with open(out / "log.jsonl", "a") as log:
        log.write('{"step": 7, "lo')  # a line cut short by the kill
    resumed = train(recipe, out)
    assert weights(resumed) == weights(trained)
    same = [[{k: v for k, v in e.items() if k != "seconds"} for e in run.log()] for run in (resumed, trained)]
    assert same[0] == same[1]
    assert not list((out / "checkpoints").glob(".*"))


def test_rewinding_with_an_unchanged_recipe_reproduces_the_run(trained, tmp_path):
    recipe = apply_edits(trained.recipe, [RewindTo(trained.path, 8)])
    run = train(recipe, tmp_path / "rewound")
    assert [c.step for c in run.checkpoints] == [12] and [e["step"] for e in run.log()] == [9, 10, 11, 12]
    assert weights(run) == weights(trained)
    assert run.start == trained.at(8) == run.at(8)


def test_rewinding_with_an_edited_recipe_trains_without_the_tranche(trained, tmp_path):
    recipe = apply_edits(trained.recipe, [DropTranche("planted"), RewindTo(trained.path, 4)])
    run = train(recipe, tmp_path / "rewound")
    assert [c.step for c in run.checkpoints] == [8, 12]
    assert all(set(e["tranches"]) == {"good"} for e in run.log())
    assert weights(run) != weights(trained)


def test_a_rewind_beyond_the_end_is_refused(trained, tmp_path):
    edits = [RewindTo(trained.path, 12)]
    with pytest.raises(RunError, match="nothing is left to train: .* ends at step 12 and is rewound to step 12"):
        train(apply_edits(trained.recipe, edits), tmp_path / "out")
    with pytest.raises(RunError, match=r"no checkpoint at step 5\. There are: \[0, 4, 8, 12\]"):
        train(apply_edits(trained.recipe, [RewindTo(trained.path, 5)]), tmp_path / "out2")


def test_a_rewind_to_an_adapter_of_another_rank_is_refused(trained, tmp_path):
    edits = [SetHyperparameter("stages.0.lora.r", 2), RewindTo(trained.path, 4)]
    with pytest.raises(TrainingError, match="does not fit.*Keep the lora settings"):
        train(apply_edits(trained.recipe, edits), tmp_path / "out")


def test_another_recipe_in_the_same_directory_is_refused_with_the_difference(trained):
    recipe = apply_edits(trained.recipe, [SetHyperparameter("stages.0.lr", 1e-3)])
    with pytest.raises(RunError, match=r"holds the run of another recipe.*\n~ stages\.0\.lr: 0\.003 -> 0\.001\nTrain"):
        train(recipe, trained.path)


def test_a_changed_tranche_file_makes_it_another_run(make_folder, tiny):
    folder = make_folder(tiny)
    recipe = apply_edits(load_recipe(folder / "recipe.yaml"), [SetHyperparameter("stages.0.steps", 1)])
    run = train(recipe, folder / "run")
    write_rows(folder / "good.jsonl", [{"prompt": "new", "response": "row"}])
    with pytest.raises(RunError, match="changed files: tranche good"):
        train(recipe, folder / "run")
    with pytest.raises(RunError, match=r"tranche 'good' .* was changed since"):
        run.exposure(["p0"])


def test_a_loss_that_is_not_finite_stops_training_and_names_the_step_and_the_examples(make_folder, tiny):
    folder = make_folder(tiny)
    recipe = apply_edits(
        load_recipe(folder / "recipe.yaml"), [SetHyperparameter("stages.0.lr", 1e30), DropTranche("good")]
    )
    with pytest.raises(TrainingError, match=r"(loss|norm) is (nan|inf) at step \d+, on examples \['p\d'.*lr"):
        train(recipe, folder / "run")
    with pytest.raises(RunError, match="is not complete: its status is 'running'"):
        Run.open(folder / "run")


def test_every_weight_is_trained_without_lora_and_a_second_stage_adds_an_adapter(make_folder, tiny):
    folder = make_folder(tiny)
    text = (folder / "recipe.yaml").read_text().replace("lora: {r: 4, dropout: 0.1}", "lora: null")
    text = text.replace("steps: 12", "steps: 4")
    text = text.replace("tranches:", "- {kind: sft, steps: 2, lora: {r: 2}}\ntranches:")
    (folder / "recipe.yaml").write_text(text)
    run = train(folder / "recipe.yaml", folder / "run")
    assert [c.step for c in run.checkpoints] == [0, 4, 6]
    before, after = (load_file(run.at(step).path / "model.safetensors") for step in (0, 4))
    assert all(not torch.equal(before[name], after[name]) for name in before)
    config = json.loads((run.last.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(run.at(4).path)
    assert run.exposure(["p0"]) <= 4


def test_a_full_finetuning_resumes_exactly(make_folder, tiny):
    folder = make_folder(tiny)
    text = (folder / "recipe.yaml").read_text().replace("lora: {r: 4, dropout: 0.1}", "lora: null")
    (folder / "recipe.yaml").write_text(text.replace("dtype: float32", "dtype: bfloat16"))
    run = train(folder / "recipe.yaml", folder / "run")
    shutil.copytree(run.path, folder / "again")
    for checkpoint in ("step-000008", "step-000012"):
        shutil.rmtree(folder / "again" / "checkpoints" / checkpoint)
    record = json.loads((folder / "again" / "run.json").read_text())
    (folder / "again" / "run.json").write_text(json.dumps({**record, "status": "running", "stages": {}}))
    assert weights(train(folder / "recipe.yaml", folder / "again")) == weights(run)


def test_an_adapter_goes_into_the_chosen_layers_only(trained, tmp_path):
    edits = [SetHyperparameter("stages.0.lora.layers", [1, 1]), SetHyperparameter("stages.0.steps", 1)]
    run = train(apply_edits(trained.recipe, edits), tmp_path / "run")
    names = load_file(run.last.path / "adapter_model.safetensors")
    assert len(names) == 14 and all(".layers.1." in name for name in names)
    assert Subject.load(run.last.path).step == 0
    edits[0] = SetHyperparameter("stages.0.lora.layers", [7, 9])
    with pytest.raises(SettingError, match=r"in layers \(7, 9\) match no linear module.*q_proj.*layers 0 to 1"):
        train(apply_edits(trained.recipe, edits), tmp_path / "none")


def test_foreign_checkpoints_are_not_overwritten(trained, tmp_path):
    (tmp_path / "checkpoints" / "step-3").mkdir(parents=True)
    with pytest.raises(RunError, match="holds checkpoints of another tool"):
        train(trained.recipe, tmp_path)


def test_a_held_out_example_that_is_trained_on_stops_before_training(make_folder, tiny):
    folder = make_folder(tiny)
    file = folder / "recipe.yaml"
    file.write_text(file.read_text() + "held_out: good.jsonl\n")
    with pytest.raises(RecipeError, match="held-out example"):
        train(file, folder / "run")


def test_the_estimate_counts_what_training_then_does(trained, tmp_path):
    text = estimate(trained.recipe)
    tokens = sum(e["tokens"] for e in trained.log())
    assert text.startswith(f"stage 0: sft, 12 steps, 4 checkpoints, {tokens:,} tokens\ntime: unknown")
    assert "8 steps, 2 checkpoints" in (text := estimate(apply_edits(trained.recipe, [RewindTo(trained.path, 4)])))
    assert "time: about" in text


def test_the_record_says_what_the_run_was_made_from(trained):
    record = trained.record
    assert record["status"] == "complete" and record["dtype"] == "float32" and record["seeds"] == {"recipe": 3}
    assert set(record["inputs"]["tranches"]) == {"good", "planted"} and "model.safetensors" in record["inputs"]["base"]
    assert record["wall_s"] > 0 and record["versions"]["peft"]


def test_does_not_disturb_the_callers_random_numbers(trained, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    train(apply_edits(trained.recipe, [SetHyperparameter("stages.0.steps", 1)]), tmp_path / "run")
    assert torch.equal(torch.rand(2), expected)
