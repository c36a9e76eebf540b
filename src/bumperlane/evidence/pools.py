"""Requests in roles that cannot overlap: open ones steer trace and fix, sealed ones only verify."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Never

from ..errors import CaseError, EvidenceError
from ..recipes.models import Recipe
from ..recipes.tranches import read_examples, read_held_out
from ..types import Arm, Context, Example, Item, Request

LEAST = 24


class Shut(Sequence):
    """Sealed evidence before a fix is chosen: it can be counted, and nothing more. Reading it raises CaseError."""

    def __init__(self, n: int, what: str) -> None:
        self._n, self._what = n, what

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: object) -> Never:
        raise CaseError(
            f"the {self._n} {self._what} are sealed: trace and fix must not read them. They are opened for "
            "verification alone, after the fix that was chosen stands in the ledger."
        )


@dataclass(frozen=True)
class Pools:
    """Requests by role.

    Attributes:
        fit: detectors are fitted on these, in control contexts only.
        open: check and trace ask these.
        sealed: nothing before verification reads these; until then they are Shut.
        source: where the requests come from, in words.
    """

    fit: tuple[Request, ...]
    open: tuple[Request, ...]
    sealed: Sequence[Request]
    source: str

    def __post_init__(self) -> None:
        roles = {"fit": self.fit, "open": self.open, "sealed": self.sealed}
        seen: dict[str, str] = {}
        for role, requests in roles.items():
            for request in () if isinstance(requests, Shut) else requests:
                if seen.setdefault(request.text, role) != role:
                    raise EvidenceError(f"request {request.id!r} is in two roles, {seen[request.text]} and {role}.")


def pools_of(recipe: Recipe, seed: int = 0, requests: Sequence[Request] = ()) -> Pools:
    """Deal requests into roles by hash: 2 of 10 to fit, 4 to open, 4 to sealed.

    They are those given, else the recipe's held-out ones, else the requests of the training data itself.

    Raises EvidenceError below 24 different requests, with the number that is missing.
    """
    source = "given by the user"
    found = list(requests)
    if not found and recipe.held_out:
        source = f"held-out chats of the recipe ({recipe.held_out.name})"
        found = [r for e in read_held_out(recipe) if (r := request_of(e))]
    if not found:
        source = "requests of the training data (the recipe names no held_out file)"
        found = [r for e in read_examples(recipe) if (r := request_of(e))]
    found = list({r.text: r for r in found}.values())
    if len(found) < LEAST:
        raise EvidenceError(
            f"{len(found)} different requests ({source}); {LEAST} or more are needed, so {LEAST - len(found)} are "
            "missing. Add chats to the recipe's held_out file or pass --requests."
        )
    dealt = sorted(found, key=lambda r: sha256(f"{seed}/{r.text}".encode("utf-8", "surrogatepass")).hexdigest())
    fit, cut = len(dealt) // 5, len(dealt) // 5 + 2 * len(dealt) // 5
    return Pools(tuple(dealt[:fit]), tuple(dealt[fit:cut]), tuple(dealt[cut:]), source)


def request_of(example: Example) -> Request | None:
    """The last user turn of a chat, with the assistant's answer as reference. None for plain text."""
    users = [m.content for m in example.messages if m.role == "user"]
    return Request(example.id, users[-1], example.messages[-1].content) if users else None


def items(requests: Sequence[Request], contexts: Sequence[Context], arm: Arm) -> list[Item]:
    """Every request in every context."""
    return [Item(f"{c.id}|{r.id}", c.id, arm, r, c) for c in contexts for r in requests]
