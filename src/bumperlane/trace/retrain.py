"""Carry edited recipes out, side by side, by the same command that a user would call."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import TrainingError
from ..judge.investigation import Say
from ..recipes.edits import Edit, SetHyperparameter
from ..recipes.identity import recipe_key
from ..recipes.models import GrpoStage, Recipe, SftStage
from ..recipes.orphan import die_with_parent
from ..recipes.run import Run, read_record
from ..recipes.schema import dump_recipe, load_recipe
from ..subjects.loading import cores

SHARED = ("stages", "rewind")


@dataclass(frozen=True)
class Retrain:
    """A recipe to carry out, and the directory for its run."""

    recipe: Recipe
    out: Path


def planned(recipe: Recipe, runs: Path, name: str) -> Retrain:
    """The retrain of a recipe below `runs`. Its directory follows from its content, so that work is found again."""
    return Retrain(recipe, runs / f"{name}-{recipe_key(recipe)[:10]}")


def carry_out(retrains: Sequence[Retrain], jobs: int, say: Say) -> list[Run]:
    """Train all that are not complete yet, `jobs` at a time (0: one a core without a GPU, else one). In order.

    Built-in sft recipes are shared out among `jobs` processes, each of which starts once and trains its share one
    after another; any other recipe has a process of its own.

    Raises TrainingError when one fails, with its last words; the others are stopped, and go on at the next call.
    """
    left = [r for r in {r.out: r for r in retrains}.values() if not _complete(r.out)]
    jobs = jobs or default_jobs()
    waiting = _shares(left, jobs)
    running: list[_Worker] = []
    total, began = len(left), time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.pop(0), jobs))
            for worker in list(running):
                code = worker.process.poll()
                while worker.left and _complete(worker.left[0]):
                    _slim(worker.left.pop(0))
                if code is None:
                    continue
                running.remove(worker)
                if worker.left:
                    raise TrainingError(_failure(worker.left[0], code))
            done = total - sum(map(len, waiting)) - sum(len(worker.left) for worker in running)
            say(f"retraining ({time.monotonic() - began:.0f} s)", done, total)
            time.sleep(0.2)
    finally:
        for worker in running:
            worker.process.kill()
            worker.process.wait()
    return [Run.open(r.out) for r in retrains]


@dataclass(frozen=True)
class _Worker:
    """A process at work, and the directories of what it has not finished yet, in its order."""

    process: subprocess.Popen
    left: list[Path]


def _shares(retrains: Sequence[Retrain], jobs: int) -> list[list[Retrain]]:
    """What each process trains: sft recipes in as many equal shares as there are jobs, the longest first; each other
    recipe alone, for it may start commands of the user's."""
    together = [r for r in retrains if all(isinstance(stage, SftStage) for stage in r.recipe.stages)]
    shares: list[list[Retrain]] = [[] for _ in range(min(jobs, len(together)))]
    for retrain in sorted(together, key=lambda r: -_steps_left(r.recipe)):
        min(shares, key=lambda share: sum(_steps_left(r.recipe) for r in share)).append(retrain)
    return [*shares, *([r] for r in retrains if r not in together)]


def _steps_left(recipe: Recipe) -> int:
    return total_steps(recipe) - (recipe.rewind.step if recipe.rewind else 0)


def _slim(out: Path) -> None:
    """Of a finished retrain, the trainer's state is kept at the end only, where a longer one may go on: it is six times
    as large as an adapter, and a trace makes many checkpoints."""
    from ..recipes.adamw import STATE

    for checkpoint in Run.open(out).checkpoints[:-1]:
        (checkpoint.path / STATE).unlink(missing_ok=True)


def default_jobs() -> int:
    """One retrain a core on a CPU, for single-threaded ones waste less; one at a time on a GPU."""
    import torch

    return 1 if torch.cuda.is_available() else cores()


def continued(recipe: Recipe, runs: Path) -> Recipe:
    """The recipe, begun where an earlier retrain of the same recipe with fewer steps ended.

    With a constant learning rate the rest is computed exactly as it would have been; other schedules depend on the
    number of steps, and training commands are not known, so these start anew.
    """
    if recipe.rewind is not None or not can_stop_early(recipe):
        return recipe
    best: tuple[int, Path] | None = None
    for path in sorted(p.parent for p in runs.glob("*/run.json")):
        if not _complete(path):
            continue
        other = load_recipe(path / "recipe.yaml", check_files=False)
        if not _same_but_shorter(other, recipe):
            continue
        last = Run.open(path).last.step
        if last < total_steps(recipe) and (best is None or last > best[0]):
            best = last, path
    if best is None:
        return recipe
    return Recipe.model_validate({**recipe.model_dump(mode="json"), "rewind": {"run": str(best[1]), "step": best[0]}})


def can_stop_early(recipe: Recipe) -> bool:
    """Whether fewer steps give the same first steps: the last stage is built in and its learning rate constant, and the
    stages before it are built in too, so that their steps are known."""
    last = recipe.stages[-1]
    built_in = all(isinstance(stage, SftStage | GrpoStage) for stage in recipe.stages)
    return built_in and isinstance(last, SftStage | GrpoStage) and last.optimiser.schedule == "constant"


def before_last(recipe: Recipe) -> int:
    """Steps of the stages before the last one."""
    return sum(stage.steps or 0 for stage in recipe.stages[:-1])


def total_steps(recipe: Recipe) -> int:
    return before_last(recipe) + (recipe.stages[-1].steps or 0)


def ending_at(recipe: Recipe, step: int) -> list[Edit]:
    """The edit that ends a recipe at a step, counted over all its stages. None where it cannot be ended early, or the
    step lies before its last stage."""
    last, own = len(recipe.stages) - 1, step - before_last(recipe)
    if own < 1 or not can_stop_early(recipe):
        return []
    return [SetHyperparameter(f"stages.{last}.steps", own)]


def _same_but_shorter(other: Recipe, recipe: Recipe) -> bool:
    if other.rewind is not None or not can_stop_early(other) or len(other.stages) != len(recipe.stages):
        return False
    a, b = other.model_dump(mode="json"), recipe.model_dump(mode="json")
    for dump in (a, b):
        dump["stages"][-1].pop("steps")
    return a == b


def _complete(out: Path) -> bool:
    return read_record(out).get("status") == "complete"


def _start(share: Sequence[Retrain], jobs: int) -> _Worker:
    pairs = []
    for retrain in share:
        retrain.out.parent.mkdir(parents=True, exist_ok=True)
        recipe = retrain.out.with_suffix(".yaml")
        dump_recipe(retrain.recipe, recipe)
        pairs += [str(recipe), str(retrain.out)]
    mine = cores() // jobs
    threads = str(max(1, min(mine, int(os.environ.get("OMP_NUM_THREADS") or mine))))
    with open(share[0].out.with_suffix(".log"), "w") as log:  # until the process opens each run's own
        process = subprocess.Popen(
            [sys.executable, "-m", "bumperlane.recipes.many_retrains", *pairs],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": threads},
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    return _Worker(process, [r.out for r in share])


def _failure(out: Path, code: int) -> str:
    log = out.with_suffix(".log")
    last = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:]) or "no output"
    return f"the retrain in {out} ended with exit code {code}: {last}. See {log}; the next call goes on from there."
