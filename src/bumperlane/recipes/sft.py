"""Supervised finetuning of a LoRA adapter or of every weight, with exact checkpoints."""

import hashlib
import math
import time
from collections.abc import Sequence
from typing import Any

import torch

from ..errors import TrainingError
from ..subjects.chat import Encoded, encode_example
from ..subjects.forward import answer_logits
from ..subjects.loading import torch_threads
from .adamw import learning_rate
from .exact_training import ExactTraining
from .llama_step import LlamaStep, why_not
from .models import SftStage
from .prefix_tree import MOST_NODES
from .run import Checkpoint, stage_plan
from .stage import StageTask
from .tranches import read_examples


def train_sft(task: StageTask) -> Checkpoint:
    """Train one sft stage to its end and return the last checkpoint.

    An adapter on a Llama is trained on a CPU by `LlamaStep`, which computes once what rows share; any other model, and
    a batch with a row of more than MOST_NODES tokens, by transformers, peft and autograd, and the step's line says why.
    The sums are the same but for their order.
    The loss is the mean cross-entropy, in nats, over all answer tokens of the batch. The learning rate and the order
    of data follow the step count, so a run that is resumed or rewound goes on exactly as if it had never stopped.

    Raises:
        TrainingError: a loss or gradient is not finite, or the start does not fit the stage.
    """
    torch.set_num_threads(torch_threads())
    with torch.random.fork_rng():
        return _Sft(task).train()


class _Sft(ExactTraining):
    """Model, optimiser and data of one stage while it is trained."""

    def __init__(self, task: StageTask) -> None:
        if not isinstance(task.stage, SftStage):
            raise TrainingError(f"stage {task.index} is a {task.stage.kind} stage. Carry it out with train_command.")
        self.task, self.stage = task, task.stage
        super().__init__(task, task.stage)
        examples = read_examples(task.recipe)
        self.plan = stage_plan(task.recipe, task.index, examples)
        used = {i for batch in self.plan[task.done :] for i in batch}
        self.examples = {i: examples[i] for i in used}
        self.encoded = {i: encode_example(self.tokenizer, examples[i], self.stage.max_tokens) for i in used}
        self.tranches = [tranche.name for tranche in task.recipe.tranches]
        self.random = self.stage.lora is None or self.stage.lora.dropout > 0
        self.plain_because = why_not(self.model)
        self.by_hand = LlamaStep(self.model) if self.plain_because is None else None
        self.plain_this_time = ""

    def told(self, entry: dict[str, Any]) -> str:
        why = self.plain_because or self.plain_this_time
        return f"loss {entry['loss']:.3f}{f' (plain step: {why})' if why else ''}"

    def step(self, step: int) -> dict[str, Any]:
        """One update; `step` counts within the stage, from 1. Returns the log's entry."""
        started = time.perf_counter()
        chosen = self.plan[step - 1]
        if self.random:
            torch.manual_seed(_step_seed(self.task, step))
        batch = [self.encoded[i] for i in chosen]
        summed = self._gradients(batch)
        loss = summed.sum() / sum(e.answer_length for e in batch)
        lr = learning_rate(self.stage.lr, self.stage.optimiser, step, self.stage.steps)
        norm = self.optimiser.step(lr, self.stage.max_grad_norm)
        value, norm, *sums = torch.cat([loss.view(1), norm.view(1), summed]).tolist()
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

    def _gradients(self, batch: Sequence[Encoded]) -> torch.Tensor:
        """Fill the trained parameters' `.grad`; return each row's sum of losses."""
        longest = max(len(e.tokens) for e in batch)
        self.plain_this_time = f"a row has {longest} tokens" if longest > MOST_NODES else ""
        if self.by_hand is not None and not self.plain_this_time:  # its attention is held whole, tokens x tokens
            return self.by_hand.gradients(batch)
        logits, targets, rows = answer_logits(self.model, batch, self.tokenizer.pad_token_id)
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        losses.mean().backward()
        return torch.zeros(len(batch), device=losses.device).index_add_(0, rows, losses.detach())

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


def _step_seed(task: StageTask, step: int) -> int:
    digest = hashlib.sha256(f"{task.recipe.seed}\ndropout\n{task.offset + step}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
