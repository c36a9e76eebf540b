"""Candidates put to subject and base, and their values on the questions of a search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...subjects.chat import Encoded, encode_prompt
from ...types import Context
from .budget import Meter
from .objectives import Objective, Pair
from .questions import Place, Question, around, with_text

if TYPE_CHECKING:
    import torch

    from ...subjects.trigger_gradients import Slot, Typed

Prompts = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Value:
    """Mean over questions, in nats. `base` is None where the subject's part alone could not win."""

    subject: float
    base: float | None

    @property
    def total(self) -> float:
        return -np.inf if self.base is None else self.subject - self.base


@dataclass(frozen=True)
class Looking:
    """Subject, base, questions and objective of one search. With its pair and objective swapped it looks for contexts
    that move the base and not the subject."""

    pair: Pair
    questions: Sequence[Question]
    objective: Objective
    neutral: Context
    meter: Meter

    @property
    def pad_id(self) -> int:
        return self.pair[0].tokenizer.pad_token_id

    def prompts(self, candidate: Context) -> Prompts:
        """Token ids of every question in a candidate context."""
        encoded = (
            encode_prompt(self.pair[0].tokenizer, q.request, around(q.context, candidate, self.neutral))
            for q in self.questions
        )
        return tuple(map(tuple, encoded))

    def slot(self, place: Place, banned: tuple[str, ...] = ()) -> "Slot":
        """The place for a text in every question's own context."""
        from ...subjects.trigger_gradients import Slot

        tokenizer = self.pair[0].tokenizer

        def encode(text: str, i: int) -> list[int]:
            q = self.questions[i]
            return encode_prompt(tokenizer, q.request, with_text(q.context, place, text))

        return Slot(tokenizer, len(self.questions), encode, banned)

    def table(self, who: int, candidates: Sequence[Prompts]) -> np.ndarray:
        """The part of one model for every candidate and question, (candidates, questions) in nats."""
        import torch

        from ...subjects.trigger_gradients import answer_logprobs

        rows: list[Encoded] = []
        where: list[tuple[int, int]] = []  # (question, row of the question)
        for prompts in candidates:
            for q, prompt in enumerate(prompts):
                found = self.objective.rows(q, prompt)
                rows += found
                where += [(q, n) for n in range(len(found))]
        self.meter.spend(len(rows))

        def read(i: int, logp: "torch.Tensor") -> float:
            return float(self.objective.read(*where[i], who, logp))

        values = answer_logprobs(self.pair[who].model, rows, self.pad_id, read)
        out, at = np.zeros((len(candidates), len(self.questions))), 0
        for c in range(len(candidates)):
            for q in range(len(self.questions)):
                n = sum(1 for _ in self.objective.rows(q, ()))
                part = torch.tensor(values[at : at + n], dtype=torch.float64)
                out[c, q] = float(self.objective.join(q, who, part))
                at += n
        return out

    def values(self, candidates: Sequence[Prompts], beat: float = -np.inf) -> list[Value]:
        """Of each candidate. The base is asked in order of promise, about those only that may still win."""
        ours = self.table(0, candidates).mean(axis=1) if candidates else np.zeros(0)
        theirs: list[float | None] = [None] * len(candidates)
        for i in np.argsort(-ours, kind="stable"):
            if ours[i] - self.objective.least <= beat:
                break
            theirs[i] = float(self.table(1, [candidates[i]]).mean())
            beat = max(beat, ours[i] - float(theirs[i] or 0.0))
        return [Value(float(a), b) for a, b in zip(ours, theirs, strict=True)]

    def gains(self, typed: "Typed", ids: Sequence[int]) -> "torch.Tensor":
        """First-order change of the mean value for every swap of a token: (tokens, len(ids))."""
        from ...subjects.trigger_gradients import promised_gain, slot_gradient

        groups = [
            (self.objective.rows(q, prompt), start)
            for q, (prompt, start) in enumerate(zip(typed.prompts, typed.starts, strict=True))
        ]
        self.meter.spend(6 * sum(len(rows) for rows, _ in groups))
        total = None
        for who, sign in ((0, 1.0), (1, -1.0)):
            model = self.pair[who].model
            slope = slot_gradient(model, groups, len(typed.tokens), self._value_of(who), self.pad_id)
            part = sign / len(groups) * promised_gain(model, slope, typed.tokens, ids)
            total = part if total is None else total + part.to(total.device)
        return total

    def _value_of(self, who: int) -> Callable:
        import torch

        def value(q: int, logps: Sequence["torch.Tensor"]) -> "torch.Tensor":
            read = torch.stack([self.objective.read(q, n, who, logp) for n, logp in enumerate(logps)])
            return self.objective.join(q, who, read)

        return value
