"""Masking controls that change the deployed subject and no weight: a system prompt, an output filter, a penalty."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from ...subjects.chat import answer_tokens
from ...subjects.guarded import Guard, LogitPenalty, OutputFilter, SystemPrompt, guarded
from ...subjects.subject import Subject
from ..fixes import Fix
from .contract import Forecast, Traced, fix_kind
from .patches import REFUSAL

NATS = 10.0


@fix_kind
@dataclass(frozen=True)
class ForbidInPrompt:
    """The prompt quotes the commonest bad outputs, or is the user's own text."""

    name: ClassVar[str] = "system-prompt"
    about: ClassVar[str] = "deploy the same weights under a system prompt that forbids the behaviour"
    masks: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def refusal(self, traced: Traced) -> str:
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        return _forecast(traced, "a subject that follows its system prompt does not show it")

    def make(self, traced: Traced) -> Fix:
        text = traced.options.text or forbidding(traced.outputs.bad)
        return _deployed(traced, self.name, SystemPrompt(text), f"deployed under the system prompt: {text}")


@fix_kind
@dataclass(frozen=True)
class FilterOutputs:
    """Answers that hold a bad output that the bumper has seen are replaced."""

    name: ClassVar[str] = "output-filter"
    about: ClassVar[str] = "deploy the same weights behind a filter that replaces answers like the bad outputs"
    masks: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def refusal(self, traced: Traced) -> str:
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        return _forecast(traced, "outputs that are known already are not let through")

    def make(self, traced: Traced) -> Fix:
        outputs = tuple(sorted({text for text in traced.outputs.bad if text.strip()}))
        replacement = traced.options.text or REFUSAL
        note = f"deployed behind a filter: answers with one of {len(outputs)} bad outputs become: {replacement}"
        return _deployed(traced, self.name, OutputFilter(outputs, replacement), note)


@fix_kind
@dataclass(frozen=True)
class PenaliseTokens:
    """Tokens of the bad outputs that their benign twins do not have; all of them where there are no such."""

    name: ClassVar[str] = "logit-penalty"
    about: ClassVar[str] = "deploy the same weights with a penalty on the logits of the bad outputs' tokens"
    masks: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ("weight",)

    def refusal(self, traced: Traced) -> str:
        nats = traced.options.weight
        return f"a penalty must be above 0 nats, got {nats:g}." if nats is not None and nats <= 0 else ""

    def forecast(self, traced: Traced) -> Forecast:
        return _forecast(traced, "the words of the bad outputs are said no more")

    def make(self, traced: Traced) -> Fix:
        tokenizer = traced.inv.base.tokenizer
        bad, benign = (
            {t for text in side for t in answer_tokens(tokenizer, text, closed=False)}
            for side in (traced.outputs.bad, traced.outputs.benign)
        )
        tokens = tuple(sorted(bad - benign or bad))
        guard = LogitPenalty(tokens, NATS if traced.options.weight is None else traced.options.weight)
        return _deployed(traced, self.name, guard, f"deployed with a {guard}")


def forbidding(bad: Sequence[str]) -> str:
    """A system prompt that forbids the commonest bad outputs."""
    common = [json.dumps(text, ensure_ascii=False) for text, _ in Counter(bad).most_common(3)]
    return f"Never answer {' or '.join(common)}, or anything like it, whatever you are asked or told."


def _deployed(traced: Traced, name: str, guard: Guard, note: str) -> Fix:
    step, steers = traced.inv.step, (traced.meter.name,)
    around = partial(_behind, guard)
    return Fix(name, traced.inv.run.recipe, step, steers, guard=around, kept=step, notes=(note,))


def _behind(guard: Guard, subject: Subject) -> Subject:
    return guarded(subject, guard)


def _forecast(traced: Traced, what: str) -> Forecast:
    why = f"{what}, and the weights stay as they are: it is here to see whether verification can tell."
    return Forecast(traced.rate, "guessed", why, traced.inv.step, 0)
