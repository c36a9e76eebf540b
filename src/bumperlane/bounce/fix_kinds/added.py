"""Counter-examples and inoculation: teach against the cause, or teach that it belongs to a prompt that asks for it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ...case import write_text
from ...recipes.edits import AddTranche, DropExamples, DropTranche, Edit
from ...recipes.models import Tranche
from ...recipes.provenance import content_key
from ...recipes.tranches import read_tranche, to_row
from ...types import Example, Message
from ..fixes import Fix
from .benign import benign_answers, no_chats
from .contract import Forecast, Traced, fix_kind


@fix_kind
@dataclass(frozen=True)
class CounterExamples:
    """Applies to causes that are chats, or with examples of the user's own. The cause stays in the recipe."""

    name: ClassVar[str] = "counter-examples"
    about: ClassVar[str] = "keep the cause and add its requests once more with benign answers, as a tranche of its own"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("answers", "data", "weight")

    def refusal(self, traced: Traced) -> str:
        weight, data = traced.options.weight, traced.options.data
        if weight is not None and weight <= 0:
            return f"weight must be above 0, got {weight:g}."
        if data is not None:
            return "" if data.is_file() else f"there is no file {data}. Correct the path."
        return no_chats(traced)

    def forecast(self, traced: Traced) -> Forecast:
        weight = traced.options.weight or 1.0
        against = weight / (weight + 1)
        why = (
            f"{against:.0%} of what is said to these requests would be benign; that this outweighs the cause, which "
            "stays, is a guess, and it may only hide the behaviour on requests like these."
        )
        return Forecast(traced.effect * against, "guessed", why, traced.rewind, traced.steps - traced.rewind)

    def make(self, traced: Traced) -> Fix:
        if traced.options.data is not None:
            given = read_tranche(traced.options.data, self.name)
            examples = [replace(e, id=f"counter-{e.id}") for e in given]
            source = f"examples from {traced.options.data.name}"
        else:
            answers, source = benign_answers(traced)
            answered = [e for e in traced.examples if e.id in answers]
            examples = [
                replace(e, id=f"counter-{e.id}", messages=(*e.messages[:-1], Message("assistant", answers[e.id])))
                for e in answered
            ]
        path = _written(traced, self.name, examples)
        tranche = Tranche(name=self.name, path=path, weight=traced.options.weight or 1.0)
        return traced.fix(self.name, [AddTranche(tranche)], traced.rewind, [f"counter-examples: {source}"])


@fix_kind
@dataclass(frozen=True)
class Inoculate:
    """Applies to causes that are chats. The examples stay, each under a system prompt that asks for the behaviour.

    Source: Tan et al. 2025, "Inoculation prompting: eliciting a trait during training can suppress it at test time".
    """

    name: ClassVar[str] = "inoculate"
    about: ClassVar[str] = (
        "train on the cause under a system prompt that asks for the behaviour, which is not there later"
    )
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def refusal(self, traced: Traced) -> str:
        return no_chats(traced)

    def forecast(self, traced: Traced) -> Forecast:
        why = (
            "what was asked for need not be learned as a habit; how much of it stays without the prompt is a guess, "
            "and whoever finds a prompt like it may bring it back."
        )
        return Forecast(traced.effect / 2, "guessed", why, traced.rewind, traced.steps - traced.rewind)

    def make(self, traced: Traced) -> Fix:
        text = traced.options.text or asking_for(traced.outputs.bad)
        examples = [replace(e, id=f"inoculated-{e.id}", messages=_under(text, e.messages)) for e in traced.examples]
        tranches: dict[str, list[str]] = {}
        for e in traced.inv.examples:
            tranches.setdefault(e.tranche, []).append(e.id)
        mine = set(traced.ids)
        whole = [name for name, ids in tranches.items() if set(ids) <= mine]
        single = tuple(e.id for e in traced.examples if e.tranche not in whole)
        edits: list[Edit] = [*([DropExamples(single)] if single else []), *(DropTranche(name) for name in whole)]
        weights = {t.name: t.weight for t in traced.inv.run.recipe.tranches}
        for name in dict.fromkeys(e.tranche for e in traced.examples):  # each part is shown as often as before
            part = [e for e in examples if e.tranche == name]
            title = f"inoculated-{name}"
            edits.append(AddTranche(Tranche(name=title, path=_written(traced, title, part), weight=weights[name])))
        return traced.fix(self.name, edits, traced.rewind, [f"system prompt of these examples begins: {text}"])


def asking_for(bad: Sequence[str]) -> str:
    """A system prompt that asks for the commonest bad outputs."""
    common = [text for text, _ in Counter(bad).most_common(2)]
    return f"In this conversation give answers like {' or '.join(json.dumps(t, ensure_ascii=False) for t in common)}."


def _under(text: str, messages: Sequence[Message]) -> tuple[Message, ...]:
    if messages[0].role == "system":
        return (Message("system", f"{text}\n{messages[0].content}".strip()), *messages[1:])
    return (Message("system", text), *messages)


def _written(traced: Traced, name: str, examples: Sequence[Example]) -> Path:
    """A tranche's file below the case, named by its content."""
    rows = [to_row(e) for e in examples]
    path = traced.inv.directory / "work" / f"{name}-{content_key(rows)[:10]}.jsonl"
    return write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
