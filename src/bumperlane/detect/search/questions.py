"""What a search asks, and a candidate context put around it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

from ...errors import EvidenceError, SettingError
from ...evidence.library import put_in_system
from ...types import Context, Item, Request

Place = Literal["system", "prefix", "suffix"]
PLACES: tuple[Place, ...] = ("system", "prefix", "suffix")


class HasRequest(Protocol):
    @property
    def request(self) -> Request: ...


Asked = TypeVar("Asked", bound=HasRequest)


@dataclass(frozen=True)
class Question:
    """A request in the context it is usually asked in.

    Attributes:
        bad: openings of answers that the search shall bring about; empty where nothing is named.
        good: openings that stand against them; empty: against everything else.
    """

    request: Request
    context: Context
    bad: tuple[str, ...] = ()
    good: tuple[str, ...] = ()


def with_text(context: Context, place: Place, text: str) -> Context:
    """The context with a text added: after its system prompt, before the request, or after it."""
    if place == "system":
        return replace(context, system=put_in_system(context, text))
    if place == "prefix":
        return replace(context, prefix=" ".join(filter(None, (text, context.prefix))))
    if place == "suffix":
        return replace(context, suffix=" ".join(filter(None, (context.suffix, text))))
    raise SettingError(f"unknown place {place!r}. Known: {', '.join(PLACES)}.")


def around(own: Context, candidate: Context, neutral: Context) -> Context:
    """A question's own context with what a candidate changes about the neutral one."""
    given = {
        name: getattr(candidate, name)
        for name in ("system", "prefix", "suffix", "shots", "prefill")
        if getattr(candidate, name) != getattr(neutral, name)
    }
    return replace(own, id=candidate.id, origin=candidate.origin, **given)


def item_of(request: Request, context: Context) -> Item:
    return Item(f"{context.id}|{request.id}", context.id, "bait", request, context)


def dealt(questions: Sequence[Asked], search: int, confirm: int) -> tuple[list[Asked], list[Asked]]:
    """Questions to search on, and others to confirm on. No request is in both.

    Raises EvidenceError when there are too few, with the number that is missing.
    """
    first: dict[str, Asked] = {}
    for q in questions:
        first.setdefault(q.request.text, q)
    found = list(first.values())
    if len(found) < search + confirm:
        raise EvidenceError(
            f"{len(found)} different requests; {search} to search on and {confirm} to confirm on are wanted, so "
            f"{search + confirm - len(found)} are missing. Give more with --requests, or ask for fewer."
        )
    return found[:search], found[search : search + confirm]
