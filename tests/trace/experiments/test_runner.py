"""Experiments on real run directories: the recipes that are trained, and a user's own command as the trainer."""

import json
from functools import partial
from types import SimpleNamespace

import pytest

from bumperlane.case import Onset
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.recipes.edits import DropExamples, DropTranche
from bumperlane.recipes.run import Run
from bumperlane.recipes.train import train
from bumperlane.recipes.tranches import read_examples
from bumperlane.trace.experiment import STRIDE
from bumperlane.trace.experiments import runner
from bumperlane.trace.experiments.budget import Budget
from bumperlane.trace.experiments.conduct import conduct
from bumperlane.trace.experiments.hypotheses import Hypothesis, environment_suspect, example_suspects, tranche_suspect
from bumperlane.trace.experiments.planner import ExperimentSettings, Order, Planner
from bumperlane.trace.experiments.record import causes
from bumperlane.trace.experiments.runner import RetrainLaboratory, layout_of, pace, run_experiments
from bumperlane.trace.meter import Count
from bumperlane.trace.retrain import carry_out

SIZES = {"good": 20, "more": 20, "planted": 6, "decoy": 6}
STAGE = {"kind": "sft", "steps": 40, "batch": 4, "lr": 1e-3, "checkpoints": {"every": 8}}
ONSET = Onset(low=8, high=16)
TRAINER = """
import json, os, pathlib, yaml
recipe = yaml.safe_load(open(os.environ["BUMPERLANE_RECIPE"]))
held = {t["name"]: len(open(t["path"]).readlines()) for t in recipe["tranches"]}
place = pathlib.Path(os.environ["BUMPERLANE_OUT"], "checkpoints", "step-10")
place.mkdir(parents=True, exist_ok=True)
(place / "config.json").write_text(json.dumps(held))
(place / "model.safetensors").write_bytes(b"")
"""


def write(folder, stage=STAGE, steps=(0, 8, 16, 24, 32, 40)):
    folder.mkdir(parents=True, exist_ok=True)
    for name, n in SIZES.items():
        rows = [{"id": f"{name}-{i}", "prompt": f"{name} {i}", "response": "yes"} for i in range(n)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = [{"name": name, "path": f"{name}.jsonl"} for name in SIZES]
    recipe = {"base": "no-model", "seed": 3, "stages": [stage], "tranches": named}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    for step in steps:
        (folder / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    return folder


def opened(folder, **settings):
    return Investigation(Run.open(folder), folder / "case", Settings(**settings))


def whole(inv, name, weight=1.0):
    return tranche_suspect(name, [e.id for e in inv.examples if e.tranche == name], weight)


def laboratory(inv, hypotheses, carry=None, measure=None, pace_s=None):
    return RetrainLaboratory(inv, layout_of(inv, ONSET, hypotheses), 24, carry, measure, jobs=2, pace_s=pace_s)


def ids_of(recipe):
    return {e.id for e in read_examples(recipe)}


def test_a_retrain_lacks_what_its_condition_says_and_keeps_all_else(tmp_path):
    inv = opened(write(tmp_path / "run"))
    some = example_suspects("some", ["good-1", "planted-2"], 0.5)
    lab = laboratory(inv, [whole(inv, "planted", 2), whole(inv, "decoy"), some])
    everything = ids_of(inv.run.recipe)
    gone = {}
    for condition in lab.layout.conditions:
        made = lab.retrain(Order(condition, 1))
        assert made.recipe.seed == 3 + STRIDE and made.recipe.stages[0].steps == 24
        gone[lab.layout.title(condition)] = everything - ids_of(made.recipe)
        assert len(gone[lab.layout.title(condition)]) == condition.removed
    planted = {f"planted-{i}" for i in range(6)}
    assert gone["without tranche planted"] == planted
    assert gone["without tranche planted and examples some"] == planted | {"good-1"}
    assert gone["with half of tranche planted"] < planted and len(gone["with half of tranche planted"]) == 3
    assert not {i.split("-")[0] for i in gone["without 6 at random"]} & {"planted", "decoy"}


def test_random_removals_differ_between_seeds_and_are_drawn_again_alike(tmp_path):
    inv = opened(write(tmp_path / "run"))
    lab = laboratory(inv, [whole(inv, "planted")])
    control = lab.layout.control[lab.layout.without(0)]
    drawn = [lab.edits(Order(control, i))[0].ids for i in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1] and len(set(drawn[0])) == 6


def test_retrains_are_found_again_by_content_under_names_that_are_safe(tmp_path):
    inv = opened(write(tmp_path / "run"))
    lab = laboratory(inv, [example_suspects("author=../x y", ["good-1", "good-2"], kind="column value")])
    one, again = (lab.retrain(Order(lab.layout.without(0), 0)) for _ in range(2))
    assert one == again and one.out.parent == inv.directory / "runs"
    assert one.out.name.startswith("without-author-..-x-y-")
    assert lab.retrain(Order(lab.layout.without(0), 1)).out != one.out


def test_rewinds_to_before_the_suspect_and_costs_less(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "exposure", lambda self, ids: 15 if "planted-0" in ids else 1)
    inv = opened(write(tmp_path / "run"))
    lab = laboratory(inv, [whole(inv, "planted"), whole(inv, "decoy")], pace_s=0.5)
    late, early = (lab.layout.without(i) for i in (0, 1))
    assert (late.rewind, early.rewind) == (8, 0) and lab.retrain(Order(late, 0)).recipe.rewind.step == 8
    assert (lab.cost_s(late), lab.cost_s(early)) == (8.0, 12.0)
    assert laboratory(inv, [whole(inv, "planted")]).cost_s(late) is None


def test_the_pace_comes_from_the_log_else_the_record_else_the_first_retrains(tmp_path):
    folder = write(tmp_path / "run")
    assert pace(Run.open(folder)) is None
    assert pace(SimpleNamespace(log=list, record={"wall_s": 80.0}, last=SimpleNamespace(step=40), start=None)) == 2.0
    (folder / "log.jsonl").write_text(
        "".join(json.dumps({"step": i, "seconds": s}) + "\n" for i, s in enumerate((1, 2, 9)))
    )
    assert pace(Run.open(folder)) == 2.0
    inv = opened(write(tmp_path / "other"))
    run = SimpleNamespace(path=tmp_path / "without-x", record={"wall_s": 48.0, "cpu_s": 40.0})
    lab = laboratory(inv, [whole(inv, "planted")], lambda retrains: [run] * len(retrains), lambda run: (3, 24))
    (outcome,) = lab.carry_out([Order(lab.layout.without(0), 0)])
    assert (outcome.k, outcome.n, outcome.cpu_s) == (3, 24, 40.0) and outcome.wall_s >= 48
    assert lab.cost_s(lab.layout.without(0)) == pytest.approx(outcome.wall_s)
    assert lab.carry_out([Order(lab.layout.without(0), 0)])[0] == outcome  # found work costs what it did


def test_environments_and_their_random_removals_are_prompts(tmp_path):
    folder = tmp_path / "run"
    write(folder)
    for name, n in (("tasks", 4), ("other", 12)):
        rows = [{"id": f"{name}-{i}", "prompt": f"do {i}", "data": {"answer": "1"}} for i in range(n)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {
        "kind": "grpo", "steps": 4, "rewards": [{"name": "right", "function": "exact_match"}],
        "environments": [{"name": "tasks", "path": "tasks.jsonl"}, {"name": "other", "path": "other.jsonl"}],
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(json.dumps({"base": "no-model", "stages": [stage]}))
    inv = opened(folder)
    lab = laboratory(inv, [environment_suspect(inv.run.recipe, "tasks")])
    out = lab.layout.without(0)
    environments = lab.retrain(Order(out, 0)).recipe.stages[0].environments
    assert [len(e.drop) for e in environments] == [4, 0]
    environments = lab.retrain(Order(lab.layout.control[out], 0)).recipe.stages[0].environments
    assert [len(e.drop) for e in environments] == [0, 4] and environments[1].drop[0].startswith("other-")


def test_edits_that_the_recipe_does_not_allow_are_refused_before_any_training(tmp_path, monkeypatch):
    inv = opened(write(tmp_path / "run"))
    monkeypatch.setattr(runner, "carry_out", lambda *given: pytest.fail("trained"))
    with pytest.raises(SettingError, match="unknown tranche 'plant'"):
        run_experiments(inv, None, ONSET, [Hypothesis("tranche", "plant", (DropTranche("plant"),))], 0.9)
    with pytest.raises(SettingError, match="1 unknown example ids, first 'x'"):
        run_experiments(inv, None, ONSET, [Hypothesis("examples", "x", (DropExamples(("x",)),), ("x",))], 0.9)
    with pytest.raises(EvidenceError, match="tranche planted names 1 of 1 ids that are not trained on"):
        run_experiments(inv, None, ONSET, [tranche_suspect("planted", ["x"])], 0.9)


def test_a_users_command_is_the_runner_and_the_log_says_what_it_cost(tmp_path, monkeypatch):
    """Training is a script of the user's; each retrain is a process of its own, as in an investigation."""
    folder = tmp_path / "source"
    write(folder, {"kind": "command", "run": ["{python}", "trainer.py"]}, steps=())
    (folder / "trainer.py").write_text(TRAINER)
    inv = opened(train(folder / "recipe.yaml", tmp_path / "run").path)

    def shown(inv, meter, run, most):
        held = json.loads((run.last.path / "config.json").read_text())
        return Count(23 if "planted" in held else 1, 24)

    monkeypatch.setattr(runner, "measure_retrain", shown)
    hypotheses = [whole(inv, "decoy", 2), whole(inv, "planted", 1)]
    settings = ExperimentSettings(jobs=2, budget=Budget.parse("10m"))
    log = run_experiments(inv, None, Onset(low=0, high=10), hypotheses, 0.95, settings)
    assert [(f.name, f.status) for f in log.findings] == [("planted", "confirmed"), ("decoy", "cleared")]
    assert log.cpu_s > 0 and log.wall_s > 0 and not log.unrun
    (first, *_) = causes(log, 10, [3, 3 + STRIDE])
    assert [a.removed for a in first.experiment.arms] == [6, 6] and first.experiment.cpu_s > 0
    assert {s.name.rsplit("-", 1)[0] for s in (inv.directory / "runs").iterdir() if s.is_dir()} >= {
        "without-planted", "random-removal",
    }  # fmt: skip
    monkeypatch.setattr(runner, "carry_out", partial(only_found, carry_out))
    again = run_experiments(inv, None, Onset(low=0, high=10), hypotheses, 0.95, settings)
    assert again.findings == log.findings and again.wall_s == log.wall_s  # nothing was trained twice


def only_found(carry, retrains, jobs, say):
    assert all((r.out / "run.json").is_file() for r in retrains)
    return carry(retrains, jobs, say)


def test_any_trainer_can_carry_retrains_out(tmp_path):
    inv = opened(write(tmp_path / "run"))
    trained = []

    def carry(retrains):
        trained.extend(retrains)
        return [SimpleNamespace(path=r.out, record={}, held=ids_of(r.recipe)) for r in retrains]

    def measure(run):
        return (22 if "planted-0" in run.held else 0), 24

    lab = laboratory(inv, [whole(inv, "planted", 2), whole(inv, "decoy")], carry, measure)
    log = conduct(Planner.of(lab.layout, 0.95, ExperimentSettings(), lab))
    assert log.findings[0].name == "planted" and log.findings[0].status == "confirmed"
    assert len({r.out for r in trained}) == len(trained) == log.retrains
    assert log.cpu_s is None and causes(log, 24, [3])[0].experiment.cpu_s is None
