"""Reinforcement learning by GRPO, with every rollout and every reward term logged and exact checkpoints.

Why not TRL's trainer: a run that is killed or rewound must end with the same bytes and the same rollouts as one that
was not, an arm of an experiment must see the same random numbers as its control, and each term must be logged for each
rollout.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import TrainingError
from ..subjects.chat import render_prompt
from ..subjects.loading import torch_threads
from .adamw import learning_rate
from .exact_training import ExactTraining
from .grpo_advantages import group_advantages, total_rewards
from .grpo_forward import Group, parts_of, response_logprobs
from .grpo_log import ROLLOUTS, Rollout, append_rollouts, cut_rollouts
from .grpo_loss import policy_loss, token_weights, with_divergence
from .grpo_prompts import Prompt, prompt_plan, read_prompts
from .grpo_reference import Reference
from .grpo_sampling import rollout_noise, sample_responses
from .models import GrpoStage
from .rewards import load_reward, score_rollouts
from .run import Checkpoint
from .stage import StageTask

TOKEN_BUDGET = {"cpu": 2048, "cuda": 16_384}  # prompt and response tokens in one forward and backward pass


def train_grpo(task: StageTask) -> Checkpoint:
    """Train one grpo stage to its end and return the last checkpoint.

    Each step draws prompts, samples a group of rollouts for each, scores them, logs them to rollouts.jsonl, and updates
    the policy `epochs` times. Sampling depends on seed, step, prompt and the rollout's number alone.

    Raises:
        TrainingError: a loss or gradient is not finite, a reward function fails or gives no finite number (names the
            term and the rollout), or the start does not fit the stage.
    """
    torch.set_num_threads(torch_threads())
    with torch.random.fork_rng():
        return _Grpo(task).train()


@dataclass(frozen=True)
class _Batch:
    """One step's rollouts. Lists are in the rollouts' order."""

    prompts: list[Prompt]  # one a rollout
    asked: list[tuple[int, ...]]
    answers: list[tuple[int, ...]]
    values: Mapping[str, list[float]]
    checks: Mapping[str, list[float]]
    rewards: np.ndarray
    advantages: np.ndarray

    def groups(self, rows: Sequence[int]) -> list[Group]:
        """These rollouts by prompt."""
        by_prompt: dict[str, list[int]] = {}
        for i in rows:
            by_prompt.setdefault(self.prompts[i].id, []).append(i)
        return [Group(self.asked[of[0]], tuple(self.answers[i] for i in of), tuple(of)) for of in by_prompt.values()]


class _Grpo(ExactTraining):
    """Policy, optimiser and prompts of one stage while it is trained."""

    def __init__(self, task: StageTask) -> None:
        if not isinstance(task.stage, GrpoStage):
            raise TrainingError(f"stage {task.index} is a {task.stage.kind} stage. Carry it out with its own trainer.")
        self.task, self.stage = task, task.stage
        super().__init__(task, task.stage)
        self.model = self.model.eval()  # dropout would change the ratio of probabilities
        cut_rollouts(task.out, task.offset + task.done)
        self.prompts = read_prompts(self.stage)
        self.plan = prompt_plan(task.recipe, task.index, self.prompts)
        self.terms = {reward.name: load_reward(reward.function) for reward in self.stage.rewards}
        self.checks = {check.name: load_reward(check.function) for check in self.stage.checks}
        self.weights = {reward.name: reward.weight for reward in self.stage.rewards}
        self.reference = Reference(task, self.stage, self.model, self.optimiser) if self.stage.kl else None
        device = next(self.model.parameters()).device.type
        self.token_budget = TOKEN_BUDGET.get(device, TOKEN_BUDGET["cuda"])

    def save_beside(self, part: Path, home: Path) -> None:
        if self.reference:
            self.reference.save(part, home)

    def told(self, entry: dict[str, Any]) -> str:
        return f"reward {entry['reward']:.3f}"

    def step(self, step: int) -> dict[str, Any]:
        """Sample, score, log and learn; `step` counts within the stage, from 1. Returns the log's entry."""
        started = time.perf_counter()
        now = self.task.offset + step
        batch = self.sample(step)
        sampling_s = time.perf_counter() - started
        lr = learning_rate(self.stage.lr, self.stage.optimiser, step, self.stage.steps)
        learnt = self.learn(batch, lr)
        self._refuse_non_finite(now, learnt["loss"], learnt["grad_norm"])
        return {
            "step": now,
            **learnt,
            "reward": float(batch.rewards.mean()),
            "rewards": {name: float(np.mean(values)) for name, values in batch.values.items()},
            "checks": {name: float(np.mean(values)) for name, values in batch.checks.items()},
            "without_advantage": float(np.mean(batch.advantages == 0)),
            "lr": lr,
            "tokens": sum(map(len, batch.answers)),
            "sampling_s": round(sampling_s, 4),
            "seconds": round(time.perf_counter() - started, 4),
        }

    def sample(self, step: int) -> _Batch:
        """The rollouts of one step, scored and logged."""
        now, stage = self.task.offset + step, self.stage
        drawn: dict[int, int] = {}
        for i in self.plan[step - 1]:
            drawn[i] = drawn.get(i, 0) + stage.group  # a prompt that comes twice has one group, twice as large
        asked = [self._encode(self.prompts[i]) for i in drawn]
        noise = [
            np.stack([self._noise(now, self.prompts[i], number) for number in range(count)])
            for i, count in drawn.items()
        ]
        answers = sample_responses(self.model, self.tokenizer, asked, noise, stage.temperature)
        owners = [(place, number) for place, count in enumerate(drawn.values()) for number in range(count)]
        prompts = [self.prompts[list(drawn)[place]] for place, _ in owners]
        ids = [f"{now}/{prompt.id}/{number}" for prompt, (_, number) in zip(prompts, owners, strict=True)]
        texts = [self.tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
        scored = ([p.text for p in prompts], texts, [dict(p.data) for p in prompts])
        values = {name: score_rollouts(name, term, ids, scored) for name, term in self.terms.items()}
        checks = {name: score_rollouts(name, check, ids, scored) for name, check in self.checks.items()}
        rewards = total_rewards(values, self.weights)
        advantages = group_advantages(rewards, [p.id for p in prompts], stage.divide_by_std)
        tokens = [asked[place] for place, _ in owners]
        batch = _Batch(prompts, tokens, [tuple(a) for a in answers], values, checks, rewards, advantages)
        append_rollouts(self.task.out, self._rows(now, batch, ids, texts))
        return batch

    def learn(self, batch: _Batch, lr: float) -> dict[str, float]:
        """Update the policy on one step's rollouts; a rollout without advantage moves nothing and is not computed."""
        rows = [i for i in range(len(batch.answers)) if self.reference or batch.advantages[i]]
        parts = list(parts_of(batch.groups(rows), self.token_budget))
        lengths = [len(answer) for answer in batch.answers]
        weights = torch.tensor(token_weights(lengths, self.stage.average, self.stage.max_new_tokens))
        advantages = torch.from_numpy(batch.advantages).float()
        before: dict[int, torch.Tensor] = {}
        references = self._reference_logprobs(parts)
        epochs: list[dict[str, float]] = []
        for _ in range(self.stage.epochs):
            sums = {"loss": 0.0, "kl": 0.0, "clipped": 0.0}
            for p, part in enumerate(parts):
                logprobs, of = self._logprobs(part)
                before.setdefault(p, logprobs.detach())  # the first pass is made by the policy that sampled
                each = weights.to(of.device)[of]
                loss = policy_loss(logprobs, before[p], advantages.to(of.device)[of], each, self.stage.clip)
                if references:
                    loss = with_divergence(loss, logprobs, references[p], each, self.stage.kl)
                loss.total.backward()
                sums["loss"] += loss.total.item()
                sums["kl"] += loss.divergence.item()
                sums["clipped"] += loss.clipped.item() / sum(lengths)
            norm = float(self.optimiser.step(lr, self.stage.max_grad_norm))
            epochs.append({**sums, "grad_norm": norm})
        return {name: float(np.mean([epoch[name] for epoch in epochs])) for name in epochs[0]}

    def _encode(self, prompt: Prompt) -> tuple[int, ...]:
        text = render_prompt(self.tokenizer, prompt.messages)
        return tuple(self.tokenizer(text, add_special_tokens=not self.tokenizer.chat_template)["input_ids"])

    def _noise(self, step: int, prompt: Prompt, number: int) -> np.ndarray:
        return rollout_noise(self.task.recipe.seed, step, prompt.id, number, self.stage.max_new_tokens)

    def _logprobs(self, part: Sequence[Group]) -> tuple[torch.Tensor, torch.Tensor]:
        return response_logprobs(self.model, part, self.stage.temperature, self.tokenizer.pad_token_id)

    def _reference_logprobs(self, parts: Sequence[Sequence[Group]]) -> list[torch.Tensor]:
        """Of each part's response tokens; empty without a reference."""
        if self.reference is None:
            return []
        with self.reference.worn(), torch.no_grad():
            return [self._logprobs(part)[0] for part in parts]

    def _rows(self, step: int, batch: _Batch, ids: Sequence[str], texts: Sequence[str]) -> list[Rollout]:
        return [
            Rollout(
                id, step, prompt.id, prompt.environment, prompt.text, texts[i],
                {name: values[i] for name, values in batch.values.items()}, self.weights,
                float(batch.rewards[i]), float(batch.advantages[i]),
                {name: values[i] for name, values in batch.checks.items()}, len(batch.answers[i]),
            )
            for i, (id, prompt) in enumerate(zip(ids, batch.prompts, strict=True))
        ]  # fmt: skip

    def _refuse_non_finite(self, step: int, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {norm}"
        raise TrainingError(
            f"the {what} at step {step}. Training stopped before its checkpoint. Lower lr ({self.stage.lr}), set "
            f"dtype: float32, or look at the rollouts of this step in {self.task.out / ROLLOUTS}."
        )
