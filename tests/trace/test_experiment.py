"""The design of an experiment, on run directories made by hand: from where, to where, and without what."""

import json
from types import SimpleNamespace

import pytest

from bumperlane.case import Onset
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.judge.ledger import Ledger
from bumperlane.recipes.edits import DropTranche
from bumperlane.recipes.run import Run
from bumperlane.recipes.tranches import read_examples
from bumperlane.trace import experiment
from bumperlane.trace.experiment import edited, horizon_of, rewind_step
from bumperlane.trace.meter import Count

SIZES = {"good": 20, "planted": 6, "late": 10}
STAGE = {"kind": "sft", "steps": 40, "batch": 4, "lr": 1e-3, "checkpoints": {"every": 8}}
COMMAND = {"kind": "command", "run": ["true"]}


def make(folder, stage=None, steps=(0, 8, 16, 24, 32, 40), sizes=SIZES, checked=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, n in sizes.items():
        rows = [{"id": f"{name}-{i}", "prompt": f"{name} {i}", "response": "yes"} for i in range(n)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = [{"name": name, "path": f"{name}.jsonl"} for name in sizes]
    recipe = {"base": "no-model", "seed": 3, "stages": [{**STAGE, **(stage or {})} if stage != COMMAND else COMMAND]}
    (folder / "recipe.yaml").write_text(json.dumps({**recipe, "tranches": named}))
    for step in steps:
        (folder / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    return Investigation(Run.open(folder), folder / "case", Settings(step=checked))


def onset(low, high):
    return Onset(low=low, high=high)


def ids_of(recipe):
    return {e.id for e in read_examples(recipe)}


def test_rewinds_to_the_last_checkpoint_before_the_examples_were_first_seen(tmp_path, monkeypatch):
    run = make(tmp_path / "run").run
    monkeypatch.setattr(Run, "exposure", lambda self, ids: 20)
    assert rewind_step(run, ["x"], onset(32, 40)) == 16
    assert rewind_step(run, ["x"], onset(8, 16)) == 8  # never behind the onset
    monkeypatch.setattr(Run, "exposure", lambda self, ids: 16)
    assert rewind_step(run, ["x"], onset(32, 40)) == 8  # step 16 itself has trained on them
    monkeypatch.setattr(Run, "exposure", lambda self, ids: 1)
    assert rewind_step(run, ["x"], onset(32, 40)) == 0


def test_starts_from_the_base_when_nobody_knows_what_was_trained_on_when(tmp_path):
    inv = make(tmp_path / "run", COMMAND)
    assert inv.run.exposure(["planted-0"]) is None
    assert rewind_step(inv.run, ["planted-0"], onset(32, 40)) == 0


def test_the_exposure_of_a_run_is_where_the_rewind_comes_from(tmp_path):
    inv = make(tmp_path / "run")
    seen = inv.run.exposure(["planted-0"])
    step = rewind_step(inv.run, ["planted-0"], onset(32, 40))
    assert step < seen <= step + 8


@pytest.mark.parametrize(
    ("low", "high", "horizon"),
    [(0, 8, 24), (16, 24, 40), (24, 32, 40), (32, 40, 40)],
)
def test_stops_two_checkpoint_gaps_beyond_the_onset_but_never_behind_the_checked_step(tmp_path, low, high, horizon):
    assert horizon_of(make(tmp_path / "run"), onset(low, high)) == horizon


def test_stops_a_quarter_beyond_a_late_onset(tmp_path):
    inv = make(tmp_path / "run", {"steps": 200, "checkpoints": {"every": 4}}, steps=range(0, 201, 4))
    assert horizon_of(inv, onset(96, 100)) == 125


def test_repeats_the_whole_run_when_the_learning_rate_depends_on_its_length_or_a_command_trains(tmp_path):
    linear = make(tmp_path / "linear", {"optimiser": {"schedule": "linear"}})
    assert horizon_of(linear, onset(0, 8)) == 40
    assert edited(linear, [], 0, 3, 16).stages[0].steps == 40
    command = make(tmp_path / "command", COMMAND)
    assert horizon_of(command, onset(0, 8)) == 40
    assert edited(command, [DropTranche("planted")], 0, 3, 16).stages == command.run.recipe.stages


def test_a_checked_step_before_the_end_bounds_the_horizon(tmp_path):
    assert horizon_of(make(tmp_path / "run", checked=24), onset(16, 24)) == 24


def test_retrains_differ_from_the_run_in_nothing_but_what_is_left_out_seed_length_and_start(tmp_path):
    inv = make(tmp_path / "run")
    recipe = edited(inv, [DropTranche("planted")], 8, 1012, 32)
    ours, theirs = recipe.model_dump(mode="json"), inv.run.recipe.model_dump(mode="json")
    assert [t["name"] for t in ours.pop("tranches")] == ["good", "late"]
    assert ours.pop("rewind") == {"run": str(inv.run.path), "step": 8} and ours.pop("seed") == 1012
    assert ours["stages"][0].pop("steps") == 32 and theirs["stages"][0].pop("steps") == 40
    assert ours == {k: v for k, v in theirs.items() if k in ours}


def test_every_retrain_is_a_look_of_the_ledger_counted_once(tmp_path):
    inv = make(tmp_path / "run")
    object.__setattr__(inv, "subject", lambda run: "its subject")
    asked = []
    meter = SimpleNamespace(
        name="B", requests=tuple(range(50)), count=lambda s, r: asked.append((s, len(r))) or Count(1, 4)
    )
    run = SimpleNamespace(path=tmp_path / "without-planted-0f")
    for _ in range(2):
        assert experiment.measure_retrain(inv, meter, run).rate == 0.25
    assert asked == [("its subject", 24)] * 2
    assert [(e.bumper, e.split, e.what) for e in Ledger(inv.directory / "ledger.jsonl").entries()] == [
        ("B", "open", "retrain without-planted-0f")
    ]
