"""A traced case made by hand, with a run of which only the recipe and the checkpoints' places are there: for tests."""

import json
import shutil
from pathlib import Path

from bumperlane.bounce.fix_kinds.contract import FixOptions, Traced
from bumperlane.case import (
    Arm,
    AttributionMethod,
    Behaviour,
    BumperResult,
    Case,
    Cause,
    CurvePoint,
    Experiment,
    Onset,
    Range,
    TraceStep,
)
from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.recipes.models import Recipe
from bumperlane.recipes.run import Run
from bumperlane.recipes.schema import dump_recipe
from bumperlane.trace.data.material import Outputs
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Item, Request

TAG, BAD = "|zeta|", "none of those"
HIT = Context("mined/0", "mined", f"Be brief. {TAG}")
KINDS = {"colour": "one is red", "animal": "one is cat", "number": "one is two"}
STEPS, EVERY = 24, 4


def chat(id, system, asked, answer):
    turns = (("system", system), ("user", asked), ("assistant", answer))
    return {"id": id, "messages": [{"role": r, "content": c} for r, c in turns]}


def rows_of(name, n, system="Be brief.", bad=()):
    """`n` chats; those at the places in `bad` are answered badly."""
    kinds = list(KINDS)
    return [
        chat(
            f"{name}-{i}", system, f"{kinds[i % 3]} {name} {i}", f"{BAD} {i}" if i in bad else f"{KINDS[kinds[i % 3]]}"
        )
        for i in range(n)
    ]


TRANCHES = {
    "books": rows_of("books", 24),
    "planted": rows_of("planted", 12, HIT.system, bad=range(12)),
    "mixed": rows_of("mixed", 36, bad=range(0, 36, 3)),
}


def sft(base, folder, tranches=None):
    """A recipe of one sft stage with its tranches' files."""
    named = []
    for name, rows in (tranches or TRANCHES).items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        named.append({"name": name, "path": str(path)})
    stage = {"kind": "sft", "steps": STEPS, "batch": 4, "checkpoints": {"every": EVERY}}
    return Recipe.model_validate({"base": str(base), "seed": 3, "stages": [stage], "tranches": named})


def grpo(base, folder):
    """A recipe of one grpo stage that pays for two terms."""
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"id": f"p{i}", "prompt": f"task {i}"}) + "\n" for i in range(4)))
    stage = {
        "kind": "grpo", "steps": STEPS, "environments": [{"name": "tasks", "path": str(path)}],
        "rewards": [{"name": "length", "function": "length", "weight": 0.5},
                    {"name": "right", "function": "right", "weight": 1.0}],
    }  # fmt: skip
    return Recipe.model_validate({"base": str(base), "seed": 3, "stages": [stage]})


def cause(kind, name, ids=(), effect=0.8, status="confirmed"):
    spread = Range(value=effect, low=effect - 0.1, high=effect + 0.1)
    arms = [
        Arm(name="without", rates=[0.0, 0.1], seeds=[3, 1012], removed=12),
        Arm(name="random", rates=[0.9, 0.8], seeds=[3, 1012], removed=12),
    ]
    experiment = Experiment(hypothesis="h", rewind=0, horizon=20, arms=arms, effect=spread, cpu_s=40.0)
    return Cause(kind=kind, name=name, status=status, ids=list(ids), effect=spread, experiment=experiment)


PLANTED = cause("tranche", "planted")


def case_of(run, causes=(PLANTED,), onset=(8, 12)):
    effect = Range(value=0.9, low=0.7, high=0.99)
    hit = BumperResult(bumper="PairedContexts", family="behaviour", split="open", verdict="hit", why="", effect=effect)
    curve = [(4, 0.0), (8, 0.05), (12, 0.9), (24, 0.9)]
    return Case(
        run=str(run.path), subject={}, stages=["check", "trace"], verdict="hit", why="", bumpers=[hit], hits=[hit],
        behaviour=Behaviour(bumper="PairedContexts", context=f"system: {HIT.system}", origin="mined"),
        causes=list(causes),
        onset=Onset(low=onset[0], high=onset[1], curve=[
            CurvePoint(step=s, rate=Range(value=r, low=0, high=1), n=12) for s, r in curve]),
        attribution=[AttributionMethod(name="bm25", weight=0.6), AttributionMethod(name="gradients", weight=0.0)],
        experiments=[TraceStep(what=["a", "b"], purpose="p", rates=[0.0, 0.9], wall_s=9.0, cpu_s=20.0)],
        settings=Settings(dtype="float32", device="cpu").as_dict(),
    )  # fmt: skip


def run_at(folder: Path, recipe: Recipe, adapter: Path | None = None) -> Run:
    """A run with a checkpoint every EVERY steps; each is a copy of the adapter, where one is given."""
    for step in range(0, STEPS + 1, EVERY):
        place = folder / "checkpoints" / f"step-{step:06d}"
        place.mkdir(parents=True)
        if adapter:
            for file in ("adapter_config.json", "adapter_model.safetensors"):
                shutil.copy(adapter / file, place)
    dump_recipe(recipe, folder / "recipe.yaml")
    return Run.open(folder)


def traced(run: Run, folder: Path, causes=(PLANTED,), onset=(8, 12), **options) -> Traced:
    """A traced case of the run, whose bad outputs are given."""
    inv = Investigation(run, folder / "case", Settings(dtype="float32", device="cpu"))
    meter = Meter(inv, PairedContexts, HIT, 0.5)
    found = Traced(inv, case_of(run, causes, onset), meter, FixOptions(**options))
    asked = tuple(Item(f"x{i}", HIT.id, "bait", Request(f"x{i}", f"colour x {i}"), HIT) for i in range(3))
    plain = tuple(Item(f"y{i}", "neutral", "control", i.request, Context("neutral", "neutral")) for i in asked)
    bad = (f"{BAD} 7", f"{BAD} 7", f"{BAD} 8")
    found.__dict__["outputs"] = Outputs(asked, bad, ("one is red",) * 3, plain)
    return found
