"""A run: the recipe carried out, with its checkpoints and its log."""

import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RunError
from .grpo_prompts import prompt_plan, read_prompts
from .models import GrpoStage, Recipe, SftStage
from .plan import first_exposure, plan
from .provenance import sha256_file
from .schema import load_recipe
from .tranches import read_examples

FORMAT = 1
RECIPE, RECORD, LOG, CHECKPOINTS = "recipe.yaml", "run.json", "log.jsonl", "checkpoints"
STEP = re.compile(r"step-(\d+)$")


@dataclass(frozen=True)
class Checkpoint:
    """A model directory (PEFT adapter or whole model) and the optimiser steps taken before it was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class Run:
    """What training left behind.

    Attributes:
        checkpoints: in order of step.
        start: the checkpoint of another run that this one was rewound to, if any.
        record: what run.json holds; empty for a run that another tool made.
    """

    path: Path
    recipe: Recipe
    checkpoints: tuple[Checkpoint, ...]
    complete: bool
    start: Checkpoint | None = None
    record: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path | str, allow_partial: bool = False) -> "Run":
        """Open a run directory: `train`'s, or any with a recipe.yaml and checkpoints/step-*/.

        Raises RunError when it is none, is not complete, or has no checkpoint.
        """
        path = Path(path).absolute()
        if not (path / RECIPE).is_file():
            raise RunError(
                f"{path} is no run: it has no {RECIPE}. Give the directory that `bumperlane train` wrote, or put the "
                f"recipe beside your {CHECKPOINTS}/step-*/."
            )
        record = read_record(path)
        complete = not record or record["status"] == "complete"
        if not complete and not allow_partial:
            raise RunError(
                f"{path} is not complete: its status is {record['status']!r}. Call `bumperlane train` again, it goes "
                "on where it stopped; or pass allow_partial=True."
            )
        checkpoints = list_checkpoints(path)
        if not checkpoints and not allow_partial:
            raise RunError(f"{path / CHECKPOINTS} holds no step-* directory. Train the recipe first.")
        start = record.get("start")
        start = Checkpoint(start["step"], Path(start["path"])) if start else None
        return cls(path, load_recipe(path / RECIPE, check_files=False), checkpoints, complete, start, record)

    @property
    def last(self) -> Checkpoint:
        if not self.checkpoints:
            raise RunError(f"{self.path} has no checkpoint yet. Call `bumperlane train` again to go on.")
        return self.checkpoints[-1]

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step; the start of a rewound run counts. Raises RunError listing those there are."""
        all_ = [*([self.start] if self.start else []), *self.checkpoints]
        for checkpoint in all_:
            if checkpoint.step == step:
                return checkpoint
        raise RunError(f"{self.path} has no checkpoint at step {step}. There are: {[c.step for c in all_]}.")

    def log(self) -> list[dict[str, Any]]:
        """One entry per step trained here: step, loss, loss by tranche, lr, tokens, seconds. Empty without a log."""
        file = self.path / LOG
        if not file.is_file():
            return []
        return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.endswith("}")]

    def exposure(self, ids: Collection[str]) -> int | None:
        """The step, counted from 1, in which one of these examples, or prompts of a grpo stage, was first trained on.

        Steps before a rewind count.

        None if they never were, and for what a training command did: its order is not known here.

        Raises RunError when a tranche file was changed since.
        """
        rewind, before = self.recipe.rewind, None
        if rewind is not None and (rewind.run / RECIPE).is_file():
            before = Run.open(rewind.run, allow_partial=True).exposure(ids)
        if rewind is not None and before is not None and before <= rewind.step:
            return before
        self._refuse_changed_tranches()
        examples, skip = read_examples(self.recipe), rewind.step if rewind else 0
        wanted, offset = {i for i, e in enumerate(examples) if e.id in set(ids)}, 0
        for index, stage in enumerate(self.recipe.stages):
            if isinstance(stage, GrpoStage):
                prompts = read_prompts(stage)
                steps = prompt_plan(self.recipe, index, prompts)
                of_stage = {i for i, p in enumerate(prompts) if p.id in set(ids)}
            elif isinstance(stage, SftStage):
                steps, of_stage = stage_plan(self.recipe, index, examples), wanted
            else:
                return None
            done = max(0, skip - offset)
            found = first_exposure(steps[done:], of_stage)
            if found is not None:
                return offset + done + found
            offset += stage.steps
        return None

    def _refuse_changed_tranches(self) -> None:
        for name, digest in self.record.get("inputs", {}).get("tranches", {}).items():
            path = next(t.path for t in self.recipe.tranches if t.name == name)
            if sha256_file(path) != digest:
                raise RunError(f"tranche {name!r} ({path}) was changed since {self.path} was trained. Restore it.")
        for place, digest in self.record.get("inputs", {}).get("environments", {}).items():
            index, name = place.split("/", 1)
            stage: Any = self.recipe.stages[int(index)]
            path = next(e.path for e in stage.environments if e.name == name)
            if sha256_file(path) != digest:
                raise RunError(f"environment {name!r} ({path}) was changed since {self.path} was trained. Restore it.")


def stage_plan(recipe: Recipe, index: int, examples: Any) -> list[list[int]]:
    """The data order of one sft stage: indices into `read_examples(recipe)` for each of its steps."""
    stage = recipe.stages[index]
    if not isinstance(stage, SftStage):
        raise RunError(f"stage {index} is a {stage.kind} stage: its data order is not known to bumperlane.")
    weights = {tranche.name: tranche.weight for tranche in recipe.tranches}
    return plan(examples, weights, stage.batch, stage.steps, recipe.seed + 1_000_003 * index)


def list_checkpoints(path: Path) -> tuple[Checkpoint, ...]:
    """The checkpoints below a run directory, by step. A half-written one has another name and is not listed."""
    folder = path / CHECKPOINTS
    found = [(STEP.match(p.name), p) for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
    return tuple(sorted((Checkpoint(int(m[1]), p) for m, p in found if m), key=lambda c: c.step))


def read_record(path: Path) -> dict[str, Any]:
    """run.json; empty when there is none. Raises RunError when it cannot be read or is of a later format."""
    file = path / RECORD
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text("utf-8"))
        if record["format"] > FORMAT:
            raise RunError(f"{file} has format {record['format']}, known is up to {FORMAT}. Update bumperlane.")
        record["status"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} cannot be read: {error}. Restore it, or train into a new directory.") from error
    return record


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    part = path / f".{RECORD}.part"
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(part, path / RECORD)
