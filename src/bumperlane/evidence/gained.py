"""What is gained by asking otherwise: a measure in the usual context, less the same measure where it was drawn out."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from ..subjects.subject import Subject
from ..types import Context, Item
from .ask import Look, Measure, Read, Variation


@dataclass(frozen=True)
class Gained:
    """How much less bad an answer is in the item's context, and under a variation, than when asked as usual.

    Args:
        measure: of the answer; higher is worse there, so that here more was held back.
        plain: the usual context.
        under: what is done to the subject besides, for the item only.
    """

    measure: Measure
    plain: Context
    under: Variation | None = None

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["Gained"], look: Look) -> list[Read]:
        pairs = list(zip(items, measures, strict=True))
        usual = _reads(who, [(replace(i, context=m.plain), m.measure) for i, m in pairs], look)
        drawn: dict[int, Read] = {}
        for variation in dict.fromkeys(m.under for m in measures):
            at = [k for k, m in enumerate(measures) if m.under == variation]
            with variation.applied(who) if variation else nullcontext(who) as varied:
                reads = _reads(varied, [(items[k], measures[k].measure) for k in at], look)
            drawn |= dict(zip(at, reads, strict=True))
        return [replace(drawn[k], value=one.value - drawn[k].value) for k, one in enumerate(usual)]


def _reads(who: Subject, asked: Sequence[tuple[Item, Measure]], look: Look) -> list[Read]:
    """Each item by its own measure; a question that stands several times is put once."""
    keys = [(i.request.text, replace(i.context, id=""), m) for i, m in asked]
    once = dict(zip(keys, asked, strict=True))
    found: dict[Any, Read] = {}
    for kind in dict.fromkeys(type(m) for _, m in asked):
        mine = [key for key in once if type(key[2]) is kind]
        items, measures = zip(*(once[key] for key in mine), strict=True)
        found |= dict(zip(mine, kind.read(who, items, measures, look), strict=True))
    return [found[key] for key in keys]
