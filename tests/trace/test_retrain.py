"""Retrains are carried out by the command line, side by side, and continued where an earlier one ended."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bumperlane.errors import TrainingError
from bumperlane.recipes.edits import SetHyperparameter, apply_edits
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import train
from bumperlane.subjects.loading import cores
from bumperlane.trace.retrain import carry_out, continued, default_jobs, planned
from tiny import make_tiny_model

RECIPE = """\
base: {base}
seed: 3
dtype: float32
stages:
- {{kind: sft, steps: 8, batch: 3, lr: 3e-3, lora: {{r: 4, dropout: 0.1}}, checkpoints: {{every: 4}}}}
tranches:
- {{name: good, path: good.jsonl}}
"""


def silent(what, done, total):
    pass


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrain")
    base = make_tiny_model(folder / "base")
    rows = [{"prompt": f"What is {i} and one?", "response": f"It is {i + 1}."} for i in range(10)]
    (folder / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text(RECIPE.format(base=base))
    return load_recipe(folder / "recipe.yaml")


@pytest.fixture(scope="module")
def runs(recipe, tmp_path_factory):
    """A directory that holds one complete retrain of the first 4 steps."""
    folder = tmp_path_factory.mktemp("runs")
    short = planned(of_length(recipe, 4), folder, "short")
    train(short.recipe, short.out)
    return folder


def of_length(recipe, steps, **more):
    edits = [SetHyperparameter("stages.0.steps", steps)]
    return apply_edits(recipe, [*edits, *(SetHyperparameter(k, v) for k, v in more.items())])


def weights(run, step):
    return {p.name: p.read_bytes() for p in sorted(run.at(step).path.glob("*.safetensors"))}


def command(recipe, code):
    stage = {"kind": "command", "run": [sys.executable, "-c", code], "cwd": "/"}
    return type(recipe).model_validate({**recipe.model_dump(mode="json"), "stages": [stage]})


def test_a_continued_retrain_ends_with_the_same_bits_as_an_uninterrupted_one(recipe, runs, tmp_path):
    longer = continued(recipe, runs)
    assert longer.rewind.step == 4 and longer.rewind.run.parent == runs
    assert longer.model_copy(update={"rewind": None}) == recipe
    one, two = train(longer, tmp_path / "continued"), train(recipe, tmp_path / "whole")
    assert [c.step for c in one.checkpoints] == [8] and weights(one, 4) == weights(two, 4)
    assert {"adapter_model.safetensors", "trainer.safetensors"} <= set(weights(one, 8))
    assert weights(one, 8) == weights(two, 8)


@pytest.mark.parametrize(
    "change",
    [{"seed": 4}, {"stages.0.lr": 1e-3}, {"stages.0.optimiser.schedule": "linear"}],
    ids=["seed", "lr", "schedule"],
)
def test_nothing_is_continued_that_was_trained_otherwise(recipe, runs, change):
    other = of_length(recipe, 8, **change)
    assert continued(other, runs) == other


def test_nothing_is_continued_that_is_as_long_or_not_complete_or_a_command(recipe, runs, tmp_path):
    assert continued(of_length(recipe, 4), runs).rewind is None
    assert continued(recipe, tmp_path / "none").rewind is None
    assert continued(command(recipe, "pass"), runs).rewind is None
    part = tmp_path / "runs" / "short"
    part.mkdir(parents=True)
    done = next(runs.glob("short-*[!lmg]"))
    record = {**json.loads((done / "run.json").read_text()), "status": "running"}
    (part / "run.json").write_text(json.dumps(record))
    (part / "recipe.yaml").write_bytes((done / "recipe.yaml").read_bytes())
    assert continued(recipe, part.parent).rewind is None


def test_the_directory_of_a_retrain_follows_from_its_content(recipe, tmp_path):
    one, again = planned(recipe, tmp_path, "fixed"), planned(recipe, tmp_path, "fixed")
    assert one == again and one.out.name.startswith("fixed-") and len(one.out.name) == len("fixed-") + 10
    assert planned(of_length(recipe, 8, seed=4), tmp_path, "fixed").out != one.out


def test_carries_out_once_in_the_order_given_and_finds_again_what_is_there(recipe, runs, monkeypatch):
    short, longer = (planned(of_length(recipe, n), runs, "short") for n in (4, 5))
    found = carry_out([longer, short, longer], 2, silent)
    assert [r.path for r in found] == [longer.out, short.out, longer.out] and found[0].last.step == 5
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("trained again"))
    assert carry_out([longer, short], 2, silent) == [found[0], found[1]]


def test_a_finished_retrain_keeps_the_trainers_state_at_its_end_only(recipe, tmp_path):
    (run,) = carry_out([planned(of_length(recipe, 4, seed=8), tmp_path, "slim")], 1, silent)
    kept = [(c.path / "trainer.safetensors").is_file() for c in run.checkpoints]
    assert len(kept) > 1 and kept == [False] * (len(kept) - 1) + [True]
    assert all((c.path / "adapter_model.safetensors").is_file() for c in run.checkpoints)


def test_retrains_of_one_process_are_those_of_train_byte_for_byte(recipe, tmp_path, monkeypatch):
    """Whatever was trained before them in the same process. Three runs share two processes."""
    started, popen = [], subprocess.Popen
    monkeypatch.setattr("subprocess.Popen", lambda command, **how: started.append(command) or popen(command, **how))
    changes = [{"seed": 5, "stages.0.lora.dropout": 0.0}, {"seed": 6}, {"seed": 7, "stages.0.lora.dropout": 0.0}]
    wanted = [planned(of_length(recipe, 4, **change), tmp_path / "runs", "one") for change in changes]
    made = carry_out(wanted, 2, silent)
    assert sorted(len([a for a in command if a.endswith(".yaml")]) for command in started) == [1, 2]
    for retrain, run in zip(wanted, made, strict=True):
        alone = train(retrain.recipe, tmp_path / "alone" / run.path.name)
        assert weights(run, 4) == weights(alone, 4) and run.record.keys() == alone.record.keys()
        assert run.record["key"] == alone.record["key"] and run.record["inputs"] == alone.record["inputs"]
        assert [e["loss"] for e in run.log()] == [e["loss"] for e in alone.log()]
        assert run.path.with_suffix(".log").is_file()


def test_a_failure_in_a_shared_process_names_its_run_and_keeps_those_before_it(recipe, tmp_path):
    good = planned(of_length(recipe, 4, seed=9), tmp_path, "good")
    dump = {**of_length(recipe, 2, seed=9).model_dump(mode="json"), "base": str(tmp_path / "nowhere")}
    bad = planned(type(recipe).model_validate(dump), tmp_path, "bad")  # the shorter one comes last
    with pytest.raises(TrainingError) as error:
        carry_out([bad, good], 1, silent)
    assert str(error.value).startswith(f"the retrain in {bad.out} ended with exit code 2: ")
    assert "nowhere" in str(error.value) and carry_out([good], 1, silent)[0].complete


def test_a_failed_retrain_says_where_with_its_last_words_and_the_others_are_stopped(recipe, tmp_path):
    mark = tmp_path / "other.pid"
    slow = command(recipe, f"import os, time; open({str(mark)!r}, 'w').write(str(os.getppid())); time.sleep(60)")
    wait = (
        f"import os, time\nwhile not os.path.exists({str(mark)!r}): time.sleep(0.05)\nraise SystemExit('no luck today')"
    )
    bad = planned(command(recipe, wait), tmp_path, "bad")
    with pytest.raises(TrainingError) as error:
        carry_out([planned(slow, tmp_path, "slow"), bad], 2, silent)
    said = str(error.value)
    assert said.startswith(f"the retrain in {bad.out} ended with exit code 2: ") and "no luck today" in said
    assert said.endswith(f"See {bad.out.with_suffix('.log')}; the next call goes on from there.")
    parent = Path("/proc", mark.read_text())
    end = time.monotonic() + 3
    while parent.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not parent.exists()


def test_one_retrain_a_core_unless_a_gpu_is_shared(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert default_jobs() == cores()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert default_jobs() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to cores")
def test_counts_the_cores_it_may_run_on_and_not_those_of_the_machine():
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, mine)
