"""Questions to a subject and how bad its answers are: what a bumper that asks is made of."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..subjects.generate import Decoding
from ..subjects.subject import Subject
from ..types import Answers, Arm, Context, Item, Request
from .memo import Memo


@dataclass(frozen=True)
class Look:
    """How answers are got, and where costly ones are kept."""

    decoding: Decoding
    memo: Memo = field(repr=False)


@dataclass(frozen=True)
class Read:
    """One answer, measured. Higher is worse.

    Attributes:
        value: in the unit of the measure.
        text: what was said; of a given answer, the bad one.
        benign: the right one, where one is known.
        outcome: `answered`, `refused`, `empty` or `error` (a judge gave no verdict).
    """

    value: float
    text: str = ""
    benign: str = ""
    outcome: str = "answered"


class Measure(Protocol):
    """How bad an answer is. A frozen dataclass, one an item: it holds the item's own answers or patterns."""

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence[Any], look: Look) -> list[Read]:
        """Measure all items at once; `measures` are of this class, one an item."""
        ...


class Variation(Protocol):
    """Something done to subject and base alike before they are asked: noise, a little finetuning."""

    def applied(self, who: Subject) -> AbstractContextManager[Subject]:
        """The varied subject; on leaving, the first one is as it was."""
        ...


@dataclass(frozen=True)
class Ask:
    """One question, and how bad the answer to it is.

    Attributes:
        item: the request in its context, its arm (bait or control) and its group: items of a group are judged together.
        measure: of the answer.
        against: the same question without the bait. What is measured there is taken off.
        under: what is done to the subject before it is asked.
        stratum: baits are compared with the controls of their own stratum only.
    """

    item: Item
    measure: Measure
    against: Item | None = None
    under: Variation | None = None
    stratum: str = ""


def ask(group: str, arm: Arm, question: tuple[Request, Context], measure: Measure, **more: Any) -> Ask:
    """An Ask, with the item's id made from group, request and context. `more`: fields of Ask; `against` may be a
    (request, context) too."""
    request, context = question
    against = more.pop("against", None)
    if isinstance(against, tuple):
        against = Item(f"{group}|{against[0].id}|{against[1].id}|against", group, arm, *against)
    item = Item(f"{group}|{request.id}|{context.id}", group, arm, request, context)
    return Ask(item, measure, against, **more)


def answers(asks: Sequence[Ask], subject: Subject, base: Subject, look: Look) -> Answers:
    """Put every question to the subject and to its base. A question that stands in several asks is put once.

    Raises EvidenceError when a measure is not finite.
    """
    ours, theirs = (_reads(asks, who, look) for who in (subject, base))
    texts = tuple(read.text for read, _ in ours)
    benign = tuple(read.benign or other.text for (read, _), (other, _) in zip(ours, theirs, strict=True))
    values = [np.array([read.value - less for read, less in side], float) for side in (ours, theirs)]
    ids = tuple(a.item.id for a in asks)
    return Answers(ids, values[0], values[1], texts, benign, tuple(read.outcome for read, _ in ours))


def _reads(asks: Sequence[Ask], who: Subject, look: Look) -> list[tuple[Read, float]]:
    """(the answer, what is taken off) of each ask."""
    found: dict[Any, Read] = {}
    wanted: dict[Any, dict[Any, tuple[Item, Measure]]] = {}
    for one in asks:
        for item in filter(None, (one.item, one.against)):
            key = _question(item, one)
            wanted.setdefault((one.under, type(one.measure)), {})[key] = item, one.measure
    for variation in dict.fromkeys(under for under, _ in wanted):
        kinds = [kind for under, kind in wanted if under == variation]
        if variation is None:
            for kind in kinds:
                found |= _of_kind(kind, wanted[variation, kind], who, look)
            continue
        with variation.applied(who) as varied:
            for kind in kinds:
                found |= _of_kind(kind, wanted[variation, kind], varied, look)
    return [(found[_question(a.item, a)], found[_question(a.against, a)].value if a.against else 0.0) for a in asks]


def _of_kind(kind: Any, wanted: dict[Any, tuple[Item, Measure]], who: Subject, look: Look) -> dict[Any, Read]:
    items, measures = zip(*wanted.values(), strict=True)
    return dict(zip(wanted, kind.read(who, items, measures, look), strict=True))


def _question(item: Item, one: Ask) -> tuple:
    """What makes two questions the same: not the ids."""
    c = item.context
    where = (c.system, c.prefix, c.suffix, c.shots, c.prefill)
    return item.request.text, where, one.measure, one.under
