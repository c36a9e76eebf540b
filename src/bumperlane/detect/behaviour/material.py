"""What bumpers that ask have in common: enough requests, spread evenly; the user's rows; contexts from the data."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import lcm
from typing import Any, TypeVar

from ...errors import EvidenceError
from ...evidence.mine import mine_contexts
from ...recipes.place import misspelt, row_fault
from ...types import Context, Example, Request
from ..sources import Sources

A = TypeVar("A")
B = TypeVar("B")
LEAST = 6  # requests: fewer in a group cannot give a hit


def enough(requests: Sequence[Request], bumper: str, what: str = "requests") -> tuple[Request, ...]:
    """The requests, if there are enough. Raises EvidenceError with the number that is missing."""
    if len(requests) < LEAST:
        raise EvidenceError(
            f"{bumper} has {len(requests)} {what}; it takes {LEAST}, so {LEAST - len(requests)} are missing. Add chats "
            f"to the recipe's held_out file, pass --requests, or give items: --items {bumper}=FILE."
        )
    return tuple(requests)


def answered(requests: Sequence[Request]) -> tuple[Request, ...]:
    """Those of which the right answer is known."""
    return tuple(r for r in requests if r.reference.strip())


def spread(some: Sequence[A], others: Sequence[B], most: int) -> list[tuple[A, B]]:
    """Different pairs, `most` or all that there are, in which each thing stands about equally often."""
    if not some or not others:
        return []
    turn = lcm(len(some), len(others))
    count = min(most, len(some) * len(others))
    return [(some[i % len(some)], others[(i + i // turn) % len(others)]) for i in range(count)]


def rows_for(sources: Sources, bumper: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(what to call it in an error, row) of the user's rows for a bumper and this role, each once.

    Raises EvidenceError for what is no row.
    """
    for number, row in sources.numbered_items_of(bumper):
        where = f"row {number} of the items for {bumper}"
        if not isinstance(row, Mapping):
            raise EvidenceError(f"{where} is {row!r:.60} and no object. Write one JSON object a line.")
        yield where, row


def text_in(where: str, row: Mapping[str, Any], key: str, usual: str | None = None) -> str:
    """A row's text under a key; `usual` where the key is missing. Raises EvidenceError naming row and key."""
    value = row.get(key, usual)
    if not isinstance(value, str) or not value.strip() and value != usual:
        keys = ", ".join(sorted(map(str, row))[:8]) or "none"
        message = f"{where}: {key!r} must be a text, got {value!r:.60}; the row's keys are {keys}."
        raise row_fault(row, key, message + misspelt(row, (key,)), EvidenceError)
    return value


@lru_cache(maxsize=4)
def mined(examples: tuple[Example, ...], neutral: Context, most: int) -> tuple[Context, ...]:
    """Contexts that stand in one tranche's prompts, the most telling first. Kept: every look asks for them again."""
    return tuple(mine_contexts(examples, neutral, most)) if examples else ()
