"""The design of an experiment, on run directories made by hand: from where, to where, and without what."""

import json
from types import SimpleNamespace

import pytest

from bumperlane.case import Onset
from bumperlane.errors import EvidenceError
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.judge.ledger import Ledger
from bumperlane.recipes.run import Run
from bumperlane.recipes.tranches import read_examples
from bumperlane.trace import experiment
from bumperlane.trace.experiment import STRIDE, design, edited, retrains_of, rewind_step, run_experiment
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
    assert design(make(tmp_path / "run"), "planted", onset(low, high), 1).horizon == horizon


def test_stops_a_quarter_beyond_a_late_onset(tmp_path):
    inv = make(tmp_path / "run", {"steps": 200, "checkpoints": {"every": 4}}, steps=range(0, 201, 4))
    assert design(inv, "planted", onset(96, 100), 1).horizon == 125


def test_repeats_the_whole_run_when_the_learning_rate_depends_on_its_length_or_a_command_trains(tmp_path):
    linear = make(tmp_path / "linear", {"optimiser": {"schedule": "linear"}})
    assert design(linear, "planted", onset(0, 8), 1).horizon == 40
    assert edited(linear, [], 0, 3, 16).stages[0].steps == 40
    command = make(tmp_path / "command", COMMAND)
    plan = design(command, "planted", onset(0, 8), 1)
    assert (plan.rewind, plan.horizon) == (0, 40)
    assert retrains_of(command, plan)[0].recipe.stages == command.run.recipe.stages


def test_a_checked_step_before_the_end_bounds_the_horizon(tmp_path):
    assert design(make(tmp_path / "run", checked=24), "planted", onset(16, 24), 1).horizon == 24


def test_the_control_leaves_out_as_many_others_drawn_anew_for_each_seed(tmp_path):
    inv = make(tmp_path / "run")
    plan = design(inv, "planted", onset(8, 16), 3)
    assert plan.seeds == (3, 3 + STRIDE, 3 + 2 * STRIDE) and plan.removed == 6
    drawn = []
    for seed in plan.seeds:
        (edit,) = plan.control[seed]
        assert len(edit.ids) == len(set(edit.ids)) == 6 and not any(i.startswith("planted") for i in edit.ids)
        drawn.append(edit.ids)
    assert len(set(drawn)) == 3
    assert design(inv, "planted", onset(8, 16), 3).control == plan.control


def test_retrains_differ_from_the_run_in_nothing_but_what_is_left_out_seed_length_and_start(tmp_path):
    inv = make(tmp_path / "run")
    plan = design(inv, "planted", onset(8, 16), 2)
    everything, planted = ids_of(inv.run.recipe), {f"planted-{i}" for i in range(6)}
    made = retrains_of(inv, plan)
    assert [r.out.name.rsplit("-", 1)[0] for r in made] == ["without-planted"] * 2 + ["random-removal"] * 2
    assert len({r.out for r in made}) == 4 and {r.out.parent for r in made} == {inv.directory / "runs"}
    for retrain, seed in zip(made, [*plan.seeds, *plan.seeds], strict=True):
        gone = everything - ids_of(retrain.recipe)
        assert len(gone) == 6 and (gone == planted) == retrain.out.name.startswith("without")
        assert retrain.recipe.seed == seed and retrain.recipe.stages[0].steps == plan.horizon
        assert retrain.recipe.stages[0].lr == inv.run.recipe.stages[0].lr and retrain.recipe.base == "no-model"


def test_refuses_a_suspect_too_large_for_a_control(tmp_path):
    inv = make(tmp_path / "run", sizes={"good": 5, "planted": 6})
    with pytest.raises(EvidenceError, match="'planted' holds 6 of 11 examples: .* no control. Split it."):
        design(inv, "planted", onset(8, 16), 1)


def carried_out(inv, monkeypatch, counts):
    """An experiment of which every retrain is made up: `counts` are (k, n), the suspect's arm first."""
    plan = design(inv, "planted", onset(8, 16), len(counts) // 2)
    runs = [SimpleNamespace(path=r.out, record={"cpu_s": 2.5}) for r in retrains_of(inv, plan)]
    monkeypatch.setattr(experiment, "carry_out", lambda retrains, jobs, say: runs)
    told = dict(zip([r.path for r in runs], counts, strict=True))
    monkeypatch.setattr(experiment, "measure_retrain", lambda inv, meter, run: Count(*told[run.path]))
    return run_experiment(inv, None, plan, jobs=1)


def test_the_effect_is_the_fall_of_the_rate_against_the_random_removal(tmp_path, monkeypatch):
    found, left = carried_out(make(tmp_path / "run"), monkeypatch, [(0, 20), (1, 20), (18, 20), (20, 20)])
    assert found.effect.value == pytest.approx(38 / 40 - 1 / 40) and found.effect.low > 0.5
    assert left.value == pytest.approx(1 / 40) and 0 <= left.low <= left.value < left.high < 0.5
    assert [a.rates for a in found.arms] == [[0.0, 0.05], [0.9, 1.0]] and found.cpu_s == 10.0
    assert found.hypothesis == "tranche planted brings the behaviour about"


def test_no_effect_when_the_behaviour_stays_without_the_suspect(tmp_path, monkeypatch):
    found, left = carried_out(make(tmp_path / "run"), monkeypatch, [(20, 20), (19, 20), (19, 20), (20, 20)])
    assert found.effect.low < 0 < found.effect.high < 0.5 and left.low > 0.5


def test_seeds_that_disagree_widen_the_interval_until_nothing_is_confirmed(tmp_path, monkeypatch):
    agree, _ = carried_out(make(tmp_path / "a"), monkeypatch, [(0, 20), (0, 20), (15, 20), (15, 20)])
    split, _ = carried_out(make(tmp_path / "b"), monkeypatch, [(0, 20), (0, 20), (20, 20), (10, 20)])
    assert agree.effect.value == split.effect.value == 0.75
    assert agree.effect.low > 0 and split.effect.low < agree.effect.low and split.effect.low < 0.375


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
