"""The best context of each kind and make-up: quality and diversity together.

Source: Mouret and Clune 2015, arXiv:1504.04909 (MAP-Elites); Samvelyan et al. 2024, arXiv:2402.16822, for attacks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from ...types import Context

Cell = tuple[
    str, int
]  # kind of the first ancestor, and number of parts that are not the usual ones (3 or more are one)
MOST_PARTS = 3


@dataclass(frozen=True)
class Elite:
    """The best context of a cell so far, with its score: higher is worse for the subject."""

    kind: str
    context: Context
    score: float


@dataclass
class Archive:
    """Elites by cell. A newcomer takes a cell when it is empty or scores higher; of equals the earlier stays."""

    neutral: Context
    cells: dict[Cell, Elite] = field(default_factory=dict)

    def cell(self, kind: str, context: Context) -> Cell:
        parts = ("system", "prefix", "suffix", "shots", "prefill")
        odd = sum(getattr(context, name) != getattr(self.neutral, name) for name in parts)
        return kind, min(odd, MOST_PARTS)

    def to_beat(self, kind: str, context: Context) -> float:
        """The score of the cell that a context would have to take; minus infinity for an empty one."""
        held = self.cells.get(self.cell(kind, context))
        return held.score if held else float("-inf")

    def offer(self, kind: str, context: Context, score: float) -> bool:
        """Whether it took its cell."""
        if score <= self.to_beat(kind, context):
            return False
        self.cells[self.cell(kind, context)] = Elite(kind, context, score)
        return True

    def draw(self, rng: Random) -> Elite:
        """An elite of a cell drawn at random; of two draws the better, so that good ones have more offspring."""
        held = sorted(self.cells.items())
        return max((rng.choice(held)[1] for _ in range(2)), key=lambda e: e.score)

    def best(self) -> Iterator[Elite]:
        """The best first; of equals the one whose cell comes first by name."""
        return (elite for _, elite in sorted(self.cells.items(), key=lambda kv: (-kv[1].score, kv[0])))
