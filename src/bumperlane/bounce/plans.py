"""When bounces keep failing in one way, another bounce is not the answer: each one also wears the bumpers down."""

from collections.abc import Iterable, Sequence

from ..case import Bounce, Case
from .compared import Margins

BAD = ("untreated", "masked", "damaged")


def way_of_failing(bounce: Bounce) -> tuple[str, frozenset[str]]:
    """The verdict, and the kinds of the checks that failed: their names up to the first colon, comma or bracket."""
    kinds = (c.name for c in bounce.checks if c.passed is False)
    return bounce.verdict, frozenset(_kind(name) for name in kinds)


def alike(first: Bounce, second: Bounce) -> bool:
    """Whether both failed, with one verdict and a kind of failed check in common (or none failed in either)."""
    (verdict, failed), (other, too) = way_of_failing(first), way_of_failing(second)
    return verdict == other and verdict in BAD and (bool(failed & too) or not failed | too)


def with_bounce(earlier: Sequence[Bounce], new: Bounce) -> list[Bounce]:
    """All bounces of a case, in order. The same fix, carried out again with the same result, takes its old one's place:
    it is no other try. With another result, as by other margins or fewer checks, both stay."""
    return [*(b for b in earlier if _seen(b) != _seen(new)), new]


def fixes_before(earlier: Sequence[Bounce], fix: str, diff: str, rewind: int) -> int:
    """How many other fixes were verified before this one was for the first time."""
    tried = list(dict.fromkeys((b.fix, b.diff, b.rewind) for b in earlier))
    mine = (fix, diff, rewind)
    return tried.index(mine) if mine in tried else len(tried)


def selected(earlier: Sequence[Bounce], new: Bounce, margins: Margins) -> str:
    """What a verdict says of earlier ones, which told somebody how sealed evidence answers; "" where there are none."""
    same = [b for b in earlier if _fix(b) == _fix(new) and _seen(b) != _seen(new)]
    told = f"The same fix was verified before, and called {_and(b.verdict for b in same)}." if same else ""
    if margins.tries > 1:
        told = (
            f"{told} Sealed evidence had been read for {margins.tries - 1} other fix{'es' * (margins.tries > 2)} of "
            f"this case, so equality is held to {margins.interval}s instead of 90%."
        ).strip()
    return told


def _fix(bounce: Bounce) -> tuple:
    return bounce.fix, bounce.diff, bounce.rewind


def _seen(bounce: Bounce) -> tuple:
    return *_fix(bounce), [(c.name, c.passed, c.detail) for c in bounce.checks]


def _and(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words))


def earlier_bounces(case: Case) -> list[Bounce]:
    """The bounces that a case holds. One that was made before cases kept a list has its last one only."""
    return list(case.bounces) or ([case.bounce] if case.bounce else [])


def change_plans(bounces: Sequence[Bounce], most: int = 2) -> str:
    """What to say when the last `most` or more bounces of a case failed in the same way. Empty when they did not."""
    last = bounces[-1] if bounces else None
    run: list[Bounce] = []
    for bounce in reversed(bounces):
        if last is None or not alike(bounce, last):
            break
        run.insert(0, bounce)
    if len(run) < most:
        return ""
    tried = "; ".join(f"({n}) {b.fix}, from step {b.rewind}: {b.verdict}" for n, b in enumerate(run, start=1))
    shared = frozenset.intersection(*(way_of_failing(b)[1] for b in run))
    failed = f" ({', '.join(sorted(shared))} failed each time)" if shared else ""
    return (
        f"Change plans: {len(run)} bounces failed in the same way{failed}. Another bounce is not the answer, for each "
        f"one also selects against the bumpers. Tried: {tried}. Look for a cause that was missed: trace again with "
        "more suspects, seeds and interactions, or change what is trained for."
    )


def _kind(name: str) -> str:
    for mark in (":", ",", " ("):
        name = name.partition(mark)[0]
    return name
