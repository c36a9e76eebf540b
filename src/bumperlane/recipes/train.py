"""Carry a recipe out: its stages in order, resumable after a kill at any moment."""

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import RunError
from .edits import diff
from .estimate import estimate
from .grpo_prompts import read_prompts
from .identity import base_path, changed_inputs, inputs_of, recipe_key
from .models import GrpoStage, Recipe
from .provenance import content_key, versions
from .run import CHECKPOINTS, FORMAT, RECIPE, Checkpoint, Run, list_checkpoints, read_record, write_record
from .schema import dump_recipe, load_recipe
from .stage import Progress, StageTask, silent
from .tranches import read_held_out


def train(recipe: Recipe | Path | str, out: Path | str, progress: Progress | None = None) -> Run:
    """Carry a recipe out in the directory `out`, or go on where an earlier call was interrupted.

    A run that is complete is returned at once. On the same machine an interrupted run ends with the same bytes as an
    uninterrupted one.

    Args:
        progress: called with (step, last step, one line of text).

    Raises:
        RecipeError: the recipe or a tranche is wrong.
        RunError: `out` holds another run, or another process trains in it; or the rewind checkpoint is missing.
        TrainingError: a loss is not finite, or the user's command or reward function failed.
        ModelError: the base cannot be loaded.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    out = Path(out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out):
        record = _begin(recipe, out)
        if record["status"] != "complete":
            _Training(recipe, out, record, progress or silent).carry_out()
    return Run.open(out)


def _begin(recipe: Recipe, out: Path) -> dict[str, Any]:
    """The record of the run in `out`: the one there is, if it is the same training, or a new one."""
    inputs = inputs_of(recipe)
    key, found = recipe_key(recipe, inputs), read_record(out)
    if found:
        if found["key"] != key:
            raise RunError(_difference(recipe, out, found, inputs))
        return found
    if list_checkpoints(out):
        raise RunError(f"{out / CHECKPOINTS} holds checkpoints of another tool. Train into a new directory.")
    for stage in recipe.stages:
        if isinstance(stage, GrpoStage):
            read_prompts(stage)  # refuses a row that cannot be read, before the stages in front of it are trained
    read_held_out(recipe)  # refuses a held-out example that is trained on
    start = Run.open(recipe.rewind.run, allow_partial=True).at(recipe.rewind.step) if recipe.rewind else None
    dump_recipe(recipe, out / RECIPE)
    record = {
        "format": FORMAT,
        "status": "running",
        "key": key,
        "recipe": RECIPE,
        "inputs": {"recipe": content_key(recipe.model_dump(mode="json")), **inputs},
        "versions": versions(),
        "seeds": {"recipe": recipe.seed},
        "platform": f"{platform.platform()} {platform.processor() or platform.machine()}",
        "dtype": None,
        "wall_s": 0.0,
        "cpu_s": 0.0,
        "start": {"step": start.step, "path": str(start.path)} if start else None,
        "stages": {},
    }
    write_record(out, record)
    return record


def _difference(recipe: Recipe, out: Path, found: dict[str, Any], inputs: dict[str, Any]) -> str:
    changed = diff(load_recipe(out / RECIPE, check_files=False), recipe)
    files = changed_inputs(found.get("inputs", {}), inputs)
    what = changed or f"changed files: {', '.join(files) or 'none'}"
    return f"{out} holds the run of another recipe. It differs in:\n{what}\nTrain into a new directory, or remove it."


class _Training:
    """One call's work on a run."""

    def __init__(self, recipe: Recipe, out: Path, record: dict[str, Any], progress: Progress) -> None:
        self.recipe, self.out, self.record, self.progress = recipe, out, record, progress
        self.spent = record["wall_s"], record["cpu_s"]
        self.began = time.monotonic(), _cpu_s()

    def carry_out(self) -> None:
        start = self.record["start"]
        current = Checkpoint(start["step"], Path(start["path"])) if start else None
        rewound, offset, trained = current.step if current else 0, 0, False
        for index, stage in enumerate(self.recipe.stages):
            done = self.record["stages"].get(str(index))
            if done:
                current, offset, trained = Checkpoint(done["step"], self.out / done["path"]), done["step"], True
                continue
            end = offset + stage.steps if stage.steps else None
            if not trained and end is not None and rewound >= end:
                offset = end
                continue
            current = self._stage(index, offset, current)
            offset, trained = current.step, True
            path = str(current.path.relative_to(self.out))
            self.record["stages"][str(index)] = {"step": current.step, "path": path}
            self._note()
        if not trained:
            raise RunError(
                f"nothing is left to train: the recipe ends at step {offset} and is rewound to step {rewound}. "
                "Rewind further, or raise stages.steps."
            )
        self.record["status"] = "complete"
        self._note()

    def _stage(self, index: int, offset: int, start: Checkpoint | None) -> Checkpoint:
        stage = self.recipe.stages[index]
        if stage.kind == "command":
            from .command import train_command as carry_out
        else:
            from ..subjects.loading import pick_device, pick_dtype

            if stage.kind == "grpo":
                from .grpo import train_grpo as carry_out
            else:
                from .sft import train_sft as carry_out

            self.record["dtype"] = str(pick_dtype(self.recipe.dtype, pick_device())).removeprefix("torch.")
            own = [c for c in list_checkpoints(self.out) if offset <= c.step <= offset + stage.steps]
            start = own[-1] if own else start
            if start and start.step == offset + stage.steps:
                return start
        base = base_path(self.recipe)
        return carry_out(StageTask(self.recipe, index, offset, start, base, self.out, self.progress, self._note))

    def _note(self, checkpoint: Checkpoint | None = None) -> None:
        """Keep the record up to date, so that a kill loses no more than the time since the last checkpoint."""
        self.record["wall_s"] = round(self.spent[0] + time.monotonic() - self.began[0], 2)
        self.record["cpu_s"] = round(self.spent[1] + _cpu_s() - self.began[1], 2)
        write_record(self.out, self.record)


def _cpu_s() -> float:
    """CPU seconds of this process and of the commands it waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """The kernel frees the lock when its holder dies, so none goes stale."""
    with open(out / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"another process trains in {out}. Wait for it, or train into another directory.") from error
        yield


__all__ = ["estimate", "train"]
