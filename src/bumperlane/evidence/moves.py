"""How far a context moves what goes on inside, from where another context has it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..subjects.activations import blocks_of
from ..subjects.subject import Subject
from ..types import Context, Item, Request
from .ask import Look, Read
from .observe import activations

DEPTHS = (0.4, 0.6, 0.8)  # shares of the blocks


@dataclass(frozen=True)
class Moves:
    """Nats: log of the distance between the residual streams of two prompts at the last token, as a share of the length
    of the second; the mean over three depths. Nothing is generated.

    Args:
        elsewhere: the other context.
        asked: what is asked there, where that is not the item's own request.
    """

    elsewhere: Context
    asked: Request | None = None

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["Moves"], look: Look) -> list[Read]:
        there = [
            replace(i, id=f"{i.id}|elsewhere", context=m.elsewhere, request=m.asked or i.request)
            for i, m in zip(items, measures, strict=True)
        ]
        blocks = len(blocks_of(who.model))
        layers = sorted({round(depth * (blocks - 1)) for depth in DEPTHS})
        rows = activations(who, [*items, *there], layers, look.memo)
        values = np.zeros(len(items))
        for layer in layers:
            here, other = np.split(rows[layer].rows.astype(float), 2)
            far = np.linalg.norm(here - other, axis=1) / np.linalg.norm(other, axis=1)
            values += np.log(np.maximum(far, TINY)) / len(layers)
        return [Read(float(v)) for v in values]


TINY = 1e-6  # a distance of rounding
