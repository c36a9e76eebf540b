"""What a bumper that asks may draw its questions from: requests of one role, training data, items of the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any, TypeVar

from ..types import Context, Example, Request

T = TypeVar("T")
Rows = tuple[Mapping[str, Any], ...]


def sameness(row: Any) -> str:
    """Equal for rows that hold the same under the same keys, in whatever order."""
    return repr(sorted(row.items(), key=repr) if isinstance(row, Mapping) else row)


@dataclass(frozen=True)
class Sources:
    """The material of one look.

    Attributes:
        neutral: the context in which the subject is usually asked.
        requests: those that this look may ask, with right answers where they are known.
        shown: other requests, which may be shown with their answers as examples.
        examples: the training data; empty where there is none to read.
        given: rows of the user's items by bumper.
        seed: of everything that is drawn.
        role: open looks steer trace and fix, sealed ones only verify. Neither may use what the other uses.
        items: a group, at least, of bumpers that can ask as many as they are told to; 0 leaves it to them.
    """

    neutral: Context
    requests: tuple[Request, ...]
    shown: tuple[Request, ...] = ()
    examples: tuple[Example, ...] = field(default=(), repr=False)
    given: Mapping[str, Rows] = field(default_factory=dict, repr=False)
    seed: int = 0
    role: str = "open"
    items: int = 0

    def deal(self, pool: Sequence[T]) -> tuple[T, ...]:
        """The half of a pool that this role may use, in an order that follows from the seed. Sizes differ by one at
        the most; which half a thing is in does not depend on the order it came in."""
        dealt = sorted(pool, key=lambda one: sha256(f"{self.seed}/{one!r}".encode()).hexdigest())
        return tuple(dealt[self.role != "open" :: 2])

    def items_of(self, bumper: str) -> Rows:
        """The user's rows for a bumper that this role may use: every second different one, in file order."""
        return tuple(row for _, row in self.numbered_items_of(bumper))

    def numbered_items_of(self, bumper: str) -> tuple[tuple[int, Mapping[str, Any]], ...]:
        """The same with their numbers among all rows, from 1. A row that is given twice is one: else both roles could
        have it, and one question would count as several."""
        different: dict[str, tuple[int, Mapping[str, Any]]] = {}
        for number, row in enumerate(self.given.get(bumper, ()), 1):
            different.setdefault(sameness(row), (number, row))
        return tuple(different.values())[self.role != "open" :: 2]

    def random(self, what: str) -> Random:
        """A generator for one purpose; the same seed, role and purpose give the same numbers."""
        return Random(f"{self.seed}/{self.role}/{what}")
