"""When bounces keep failing in one way, another bounce is not the answer: each one also wears the bumpers down."""

from collections.abc import Sequence

from ..case import Bounce, Case

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
    """All bounces of a case, in order. The same fix carried out again takes its old one's place: it is no other try."""
    return [*(b for b in earlier if (b.fix, b.diff, b.rewind) != (new.fix, new.diff, new.rewind)), new]


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
