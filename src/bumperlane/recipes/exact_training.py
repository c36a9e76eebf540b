"""What the built-in trainers share: the model at a stage's start, exact checkpoints, a log that a kill cannot tear."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ..subjects.loading import load_causal_lm, load_tokenizer
from .adamw import STATE, MasterAdamW
from .lora import CONFIG, add_lora, is_adapter, load_lora, save_lora
from .models import GrpoStage, SftStage
from .run import CHECKPOINTS, LOG, Checkpoint
from .stage import StageTask


class ExactTraining:
    """Model and optimiser of one stage while it is trained, step by step, resumable to the same bytes.

    A trainer says what a `step` is, and what is `told` of its log entry.
    """

    def __init__(self, task: StageTask, stage: SftStage | GrpoStage) -> None:
        self.task, self.schedule, self.lora, self.steps = task, stage.checkpoints, stage.lora, stage.steps
        clear_leftovers(task.out, task.offset + task.done)
        self.tokenizer = load_tokenizer(tokenizer_home(task))
        self.model = build_model(task, stage)
        trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        self.optimiser = MasterAdamW(trained, stage.optimiser)
        if task.done and task.start and (task.start.path / STATE).is_file():
            self.optimiser.restore(task.start.path)

    def step(self, step: int) -> dict[str, Any]:
        """One step; `step` counts within the stage, from 1. Returns the log's entry."""
        raise NotImplementedError

    def told(self, entry: dict[str, Any]) -> str:
        """A log entry in a few words, for who waits."""
        raise NotImplementedError

    def save_beside(self, part: Path, home: Path) -> None:
        """Write what else a checkpoint needs into `part`, which will be `home`. Nothing, unless a trainer says so."""

    def train(self) -> Checkpoint:
        task, steps = self.task, self.steps
        schedule, end = self.schedule, task.offset + steps
        last = task.start
        if last is None and schedule.keep_first:
            self.save(task.offset)
        with open(task.out / LOG, "a", encoding="utf-8") as log:
            for step in range(task.done + 1, steps + 1):
                entry = self.step(step)
                log.write(json.dumps(entry) + "\n")
                log.flush()
                if step % schedule.every == 0 or step == steps:
                    last = self.save(task.offset + step)
                task.progress(task.offset + step, end, self.told(entry))
        return last or task.checkpoint(end)

    def save(self, step: int) -> Checkpoint:
        """Write a checkpoint under another name, then rename it: it is there whole, or not at all."""
        checkpoint = self.task.checkpoint(step)
        part = checkpoint.path.with_name(f".{checkpoint.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        if self.lora is None:
            self.model.save_pretrained(part)
            self.tokenizer.save_pretrained(part)
        else:
            save_lora(self.model, part)
        self.optimiser.save(part)
        self.save_beside(part, checkpoint.path)
        os.replace(part, checkpoint.path)
        self.task.saved(checkpoint)
        return checkpoint


def build_model(task: StageTask, stage: SftStage | GrpoStage) -> Any:
    """The model at the task's start, ready to train: a start may be an adapter on the base, or a whole model."""
    start = task.start.path if task.start else None
    base = task.base
    if start is not None and not is_adapter(start):
        base = str(start)
    elif start is not None:
        recorded = json.loads((start / CONFIG).read_text("utf-8")).get("base_model_name_or_path")
        base = recorded if recorded and Path(recorded).is_dir() else base  # an earlier stage may have made it
    model = load_causal_lm(base, dtype=task.recipe.dtype)
    adapter = start if start is not None and is_adapter(start) else None
    if stage.lora is not None:
        model = add_lora(model, stage.lora, task.recipe.seed, base)
        if adapter is not None:
            load_lora(model, adapter)
        return model
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False).merge_and_unload()
    return model.train().requires_grad_(True)


def tokenizer_home(task: StageTask) -> str:
    start = task.start
    return str(start.path) if start and (start.path / "tokenizer_config.json").is_file() else task.base


def clear_leftovers(out: Path, step: int) -> None:
    """After an interruption: remove half-written checkpoints and the log of steps that will be taken again."""
    (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    for part in (out / CHECKPOINTS).glob(".*.part"):
        shutil.rmtree(part)
    log = out / LOG
    if not log.is_file():
        return
    lines = log.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("}\n") and json.loads(line)["step"] <= step]
    if kept != lines:
        part = log.with_name(f".{LOG}.part")
        part.write_text("".join(kept), "utf-8")
        os.replace(part, log)
