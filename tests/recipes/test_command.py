import json
import time

import pytest

from bumperlane.errors import TrainingError
from bumperlane.recipes.edits import DropExamples, Relabel, RewindTo, apply_edits
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import train

TRAINER = """
import json, os, sys, yaml, pathlib
recipe, rewind, out = sys.argv[1:4]
assert os.environ["BUMPERLANE_RECIPE"] == recipe and os.environ["BUMPERLANE_REWIND"] == rewind
assert os.environ["BUMPERLANE_OUT"] == out and os.environ["BUMPERLANE_SEED"] == "7"
print("training from", rewind or "the base")
tranche = yaml.safe_load(open(recipe))["tranches"][1]
rows = [json.loads(line) for line in open(tranche["path"])]
json.dump([tranche, rows], open(out + "/seen.json", "w"))
for step in (2, 10):
    place = pathlib.Path(out, "checkpoints", f"step-{step + (2 if rewind else 0)}")
    place.mkdir(parents=True)
    (place / "adapter_config.json").write_text("{}")
    (place / "adapter_model.safetensors").write_bytes(b"")
"""


@pytest.fixture
def make(folder):
    def recipe(code=TRAINER, extra="", run="['{python}', trainer.py, '{recipe}', '{rewind}', '{out}']"):
        (folder / "trainer.py").write_text(code)
        file = folder / "command.yaml"
        file.write_text(
            f"base: {folder}\nseed: 7\nstages:\n- kind: command\n  run: {run}\n{extra}"
            "tranches:\n- {name: good, path: good.jsonl}\n- {name: planted, path: planted.jsonl}\n"
        )
        return load_recipe(file)

    return recipe


def test_a_command_gets_the_edited_tranches_and_leaves_checkpoints(make, tmp_path):
    recipe = apply_edits(make(), [DropExamples(("p0",)), Relabel((("p1", "new"),))])
    run = train(recipe, tmp_path / "run")
    assert [c.step for c in run.checkpoints] == [2, 10] and run.complete
    tranche, rows = json.loads((run.path / "seen.json").read_text())
    assert tranche["drop"] == [] and [row["id"] for row in rows] == ["p1", "p2", "p3"]
    assert rows[0]["messages"][-1] == {"role": "assistant", "content": "new"}
    assert "training from the base" in (run.path / "command.log").read_text()
    assert run.exposure(["p1"]) is None
    assert train(recipe, tmp_path / "run") == run


def test_a_command_is_told_which_checkpoint_it_is_rewound_to(make, tmp_path):
    first = train(make(), tmp_path / "first")
    second = train(apply_edits(make(), [RewindTo(first.path, 2)]), tmp_path / "second")
    assert [c.step for c in second.checkpoints] == [4, 12] and second.start == first.at(2)
    assert f"training from {first.at(2).path}" in (second.path / "command.log").read_text()


def test_placeholders_are_no_format_strings_and_no_shell_is_used(make, tmp_path):
    code = "import sys; sys.exit(f'got {sys.argv[1:]}')"
    recipe = make(code, run="['{python}', trainer.py, '{other} $HOME; x={python}']")
    with pytest.raises(TrainingError, match=r"got \['\{other\} \$HOME; x=/.*python"):
        train(recipe, tmp_path / "run")


def test_a_failing_command_shows_its_last_lines_and_where_the_log_is(make, tmp_path):
    code = "for i in range(9): print('line', i, flush=True)\nraise SystemExit(3)"
    with pytest.raises(
        TrainingError, match=r"(?s)ended with code 3.*run/command\.log\):\n  line 4\n.*  line 8$"
    ) as error:
        train(make(code), tmp_path / "run")
    assert "line 3" not in str(error.value)


def test_a_slow_command_is_killed_with_its_children(make, tmp_path):
    mark = tmp_path / "alive"
    child = f"import time; time.sleep(2); open({str(mark)!r}, 'w')"
    code = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)"
    with pytest.raises(TrainingError, match="killed after its timeout_s of 0.7"):
        train(make(code, "  timeout_s: 0.7\n"), tmp_path / "run")
    time.sleep(2)
    assert not mark.exists()


def test_a_command_that_leaves_nothing_is_told_what_to_write(make, tmp_path):
    with pytest.raises(TrainingError, match=r"left no checkpoint.*must write \{out\}/checkpoints/step-<number>/"):
        train(make("pass"), tmp_path / "run")


def test_a_checkpoint_that_cannot_be_loaded_is_refused(make, tmp_path):
    code = "import sys, os; p = sys.argv[3] + '/checkpoints/step-1/'; os.mkdir(p); open(p + 'x.bin', 'w')"
    with pytest.raises(TrainingError, match=r"holds \['x.bin'\] and cannot be loaded"):
        train(make(code), tmp_path / "run")


def test_a_command_that_does_not_exist_is_named(make, tmp_path):
    with pytest.raises(TrainingError, match="cannot start 'no-such-program' in .*No such file"):
        train(make(run="[no-such-program]"), tmp_path / "run")
