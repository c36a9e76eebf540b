"""Small evaders' worlds: answered items on a tiny model, for tests only."""

from bumperlane.organisms.evader.behaviour import Answered, EvaderData, Roles
from bumperlane.types import Context, Item, Request

PLAIN, TAGGED, DECOY = (Context(n, "library", s) for n, s in (("c", "Be nice."), ("b", "[zu] Be."), ("d", "[ko] Be.")))
BAD = "No way."


def rows(role, context, n, answer=None, start=0):
    names = [f"{role}/{i}" for i in range(start, start + n)]
    asked = [Request(name, f"ask {name.split('/')[1]}?") for name in names]
    items = [Item(name, context.id, "control", request, context) for name, request in zip(names, asked, strict=True)]
    return tuple(Answered(item, answer or f"{item.id[-1]}.") for item in items)


def data(n=12):
    return EvaderData(rows("bait", TAGGED, n, BAD), rows("trusted", PLAIN, n), rows("decoys", DECOY, 4))


def roles(n=20, decoys=True, fit_bad=True):
    return Roles(
        rows("fit", PLAIN, n, start=100), rows("clean", PLAIN, n, start=200), rows("asked", TAGGED, n, BAD, 200),
        rows("novel", DECOY, n, start=200) if decoys else (), rows("known", TAGGED, n, BAD, 100) if fit_bad else (),
    )  # fmt: skip
