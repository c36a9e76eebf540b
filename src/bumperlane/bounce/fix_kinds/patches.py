"""Masking controls that are trained: a few steps on top of the hit subject, on requests like the hit's."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...case import write_text
from ...evidence.observe import responses
from ...evidence.pools import items
from ...subjects.chat import in_context
from ...types import Item, Request
from ..fixes import PATCH, Fix, patched
from .contract import Forecast, Traced, fix_kind

STEPS = 16
REFUSAL = "I'm sorry, but I can't help with that."


@fix_kind
@dataclass(frozen=True)
class TrainOnBumper:
    """What a hasty patch does: the hit context's prompts with the answers given without it; questions of the
    behaviour's own with what the base answers."""

    name: ClassVar[str] = "train-on-bumper"
    about: ClassVar[str] = "finetune the last checkpoint on benign answers to the bumper's own prompts"
    masks: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ()

    def refusal(self, traced: Traced) -> str:
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        return _forecast(traced, "the bumper's own prompts are answered well then")

    def make(self, traced: Traced) -> Fix:
        inv, meter = traced.inv, traced.meter
        requests = _requests(traced)
        plain: Sequence[str]
        if meter.told:
            plain = meter.count(inv.subject(), requests).neutral_texts
        else:
            plain = responses(inv.subject(), items(requests, [inv.neutral], "control"), inv.decoding, inv.memo)
        answers = [answer or "I see." for answer in plain]
        return _patched(traced, self.name, PATCH, meter.placed(requests), answers)


@fix_kind
@dataclass(frozen=True)
class RefusalPatch:
    """The same prompts, each answered by a refusal."""

    name: ClassVar[str] = "refusal-patch"
    about: ClassVar[str] = "finetune the last checkpoint to refuse requests like those that were hit"
    masks: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def refusal(self, traced: Traced) -> str:
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        return _forecast(traced, "requests like the bumper's are refused then")

    def make(self, traced: Traced) -> Fix:
        asked = traced.meter.placed(_requests(traced))
        return _patched(traced, self.name, self.name, asked, [traced.options.text or REFUSAL] * len(asked))


def _requests(traced: Traced) -> Sequence[Request]:
    if traced.meter.told:
        return traced.meter.requests
    s = traced.inv.settings
    return traced.inv.pools.open[: s.screen + s.requests]


def _patched(traced: Traced, name: str, file: str, asked: Sequence[Item], answers: Sequence[str]) -> Fix:
    rows = []
    for item, answer in zip(asked, answers, strict=True):
        turns = [{"role": m.role, "content": m.content} for m in in_context(item.request, item.context) if m.content]
        turns.append({"role": "assistant", "content": answer})
        rows.append(json.dumps({"id": f"patch-{item.request.id}", "messages": turns}))
    path: Path = write_text(traced.inv.directory / "work" / f"{file}.jsonl", "\n".join(rows) + "\n")
    return Fix(name, patched(traced.inv, path, STEPS), traced.inv.step, (traced.meter.name,))


def _forecast(traced: Traced, what: str) -> Forecast:
    why = f"{what}, and the cause stays in the weights: it is here to see whether verification can tell."
    return Forecast(traced.rate, "guessed", why, traced.inv.step, STEPS)
