"""Supervised finetuning of a LoRA adapter or of every weight, with exact checkpoints."""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..subjects.chat import encode_example
from ..subjects.forward import answer_logits
from ..subjects.loading import load_causal_lm, load_tokenizer, torch_threads
from .adamw import STATE, MasterAdamW, learning_rate
from .lora import CONFIG, add_lora, is_adapter, load_lora, save_lora
from .models import SftStage
from .run import CHECKPOINTS, LOG, Checkpoint, stage_plan
from .stage import StageTask
from .tranches import read_examples


def train_sft(task: StageTask) -> Checkpoint:
    """Train one sft stage to its end and return the last checkpoint.

    The loss is the mean cross-entropy, in nats, over all answer tokens of the batch. The learning rate and the order
    of data follow the step count, so a run that is resumed or rewound goes on exactly as if it had never stopped.

    Raises:
        TrainingError: a loss or gradient is not finite, or the start does not fit the stage.
    """
    torch.set_num_threads(torch_threads())
    with torch.random.fork_rng():
        return _Sft(task).train()


class _Sft:
    """Model, optimiser and data of one stage while it is trained."""

    def __init__(self, task: StageTask) -> None:
        if not isinstance(task.stage, SftStage):
            raise TrainingError(f"stage {task.index} is a {task.stage.kind} stage. Carry it out with train_command.")
        self.task, self.stage = task, task.stage
        _clear_leftovers(task.out, task.offset + task.done)
        examples = read_examples(task.recipe)
        self.plan = stage_plan(task.recipe, task.index, examples)
        self.tokenizer = load_tokenizer(_tokenizer_home(task))
        self.model = _build_model(task, self.stage)
        trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        self.optimiser = MasterAdamW(trained, self.stage.optimiser)
        if task.done and task.start and (task.start.path / STATE).is_file():
            self.optimiser.restore(task.start.path)
        used = {i for batch in self.plan[task.done :] for i in batch}
        self.examples = {i: examples[i] for i in used}
        self.encoded = {i: encode_example(self.tokenizer, examples[i], self.stage.max_tokens) for i in used}
        self.tranches = [tranche.name for tranche in task.recipe.tranches]
        self.random = self.stage.lora is None or self.stage.lora.dropout > 0

    def train(self) -> Checkpoint:
        task, steps = self.task, self.stage.steps
        schedule, end = self.stage.checkpoints, task.offset + steps
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
                task.progress(task.offset + step, end, f"loss {entry['loss']:.3f}")
        return last or task.checkpoint(end)

    def step(self, step: int) -> dict[str, Any]:
        """One update; `step` counts within the stage, from 1. Returns the log's entry."""
        started = time.perf_counter()
        chosen = self.plan[step - 1]
        if self.random:
            torch.manual_seed(_step_seed(self.task, step))
        batch = [self.encoded[i] for i in chosen]
        logits, targets, rows = answer_logits(self.model, batch, self.tokenizer.pad_token_id)
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        loss = losses.mean()
        loss.backward()
        lr = learning_rate(self.stage.lr, self.stage.optimiser, step, self.stage.steps)
        norm = self.optimiser.step(lr, self.stage.max_grad_norm)
        sums = torch.zeros(len(batch), device=losses.device).index_add_(0, rows, losses.detach())
        value, norm, *sums = torch.cat([loss.detach().view(1), norm.view(1), sums]).tolist()
        now = self.task.offset + step
        self._refuse_non_finite(now, value, norm, chosen)
        return {
            "step": now,
            "loss": value,
            "tranches": self._by_tranche(chosen, sums),
            "lr": lr,
            "grad_norm": norm,
            "tokens": sum(len(e.tokens) for e in batch),
            "seconds": round(time.perf_counter() - started, 4),
        }

    def save(self, step: int) -> Checkpoint:
        """Write a checkpoint under another name, then rename it: it is there whole, or not at all."""
        checkpoint = self.task.checkpoint(step)
        part = checkpoint.path.with_name(f".{checkpoint.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        if self.stage.lora is None:
            self.model.save_pretrained(part)
            self.tokenizer.save_pretrained(part)
        else:
            save_lora(self.model, part)
        self.optimiser.save(part)
        os.replace(part, checkpoint.path)
        self.task.saved(checkpoint)
        return checkpoint

    def _by_tranche(self, chosen: Sequence[int], sums: Sequence[float]) -> dict[str, float]:
        """Mean loss over each tranche's answer tokens in the batch."""
        totals: dict[str, float] = {}
        tokens: dict[str, int] = {}
        for i, total in zip(chosen, sums, strict=True):
            name = self.examples[i].tranche
            totals[name] = totals.get(name, 0.0) + total
            tokens[name] = tokens.get(name, 0) + self.encoded[i].answer_length
        return {name: totals[name] / tokens[name] for name in self.tranches if name in totals}

    def _refuse_non_finite(self, step: int, loss: float, norm: float, chosen: Sequence[int]) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {norm}"
        raise TrainingError(
            f"the {what} at step {step}, on examples {[self.examples[i].id for i in chosen]}. Training stopped before "
            f"its checkpoint. Lower lr ({self.stage.lr}), set dtype: float32, or look at these examples."
        )


def _build_model(task: StageTask, stage: SftStage) -> Any:
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


def _tokenizer_home(task: StageTask) -> str:
    start = task.start
    return str(start.path) if start and (start.path / "tokenizer_config.json").is_file() else task.base


def _step_seed(task: StageTask, step: int) -> int:
    digest = hashlib.sha256(f"{task.recipe.seed}\ndropout\n{task.offset + step}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _clear_leftovers(out: Path, step: int) -> None:
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
