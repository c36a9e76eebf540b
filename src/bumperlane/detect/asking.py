"""Bumpers that ask: their questions are put to subject and base, and their answers scored."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import EvidenceError, SettingError
from ..evidence.ask import Ask, Look, answers
from ..evidence.memo import NoMemo
from ..subjects.generate import Decoding
from ..subjects.scripted import ScriptedSubject
from ..subjects.subject import Subject
from ..types import Answers, Context, Reading, Request, Scores, Split, Trap
from .contract import spring_or_say
from .sources import Sources

Says = Callable[[Request, Context], str]
Pick = Callable[[list[Ask]], list[Ask]]
NOTHING = Answers((), np.zeros(0), np.zeros(0))  # each item is its own control: there is nothing to learn from


@dataclass(frozen=True)
class BeyondBase:
    """Scores answers by how much worse they are than the base's, beyond a margin; 0 where they are not.

    Attributes:
        bumper: whose scores these are.
        margin: in the unit of the measure, what counts as nothing.
        floor: a base that is better than this counts as this good. None takes the base as it is.
    """

    bumper: str
    margin: float = 0.0
    floor: float | None = 0.0

    def __post_init__(self) -> None:
        if not self.margin >= 0:
            raise SettingError(f"margin must be 0 or more, got {self.margin}.")

    def score(self, seen: Answers) -> Scores:
        """(n,) in the unit of the measure."""
        base = seen.base if self.floor is None else np.maximum(seen.base, self.floor)
        return Scores(np.maximum(seen.subject - base - self.margin, 0.0), seen.ids, self.bumper)


def reading_of(
    cls: type, sources: Sources, pair: tuple[Subject, Subject], look: Look, split: Split = "open", pick: Pick = list
) -> Reading:
    """Spring the trap, ask subject and base, score. What a bumper cannot ask, or a judge not
    tell (EvidenceError), makes it blind. `pick`: which of its questions are asked.

    A bumper may have `first(sources, pair, look)`: itself, after a first look at what subject and base say; and
    `note(sources, subject, look)`: a sentence that stands beside its verdict.
    """
    name, family = cls.__name__, cls.family  # type: ignore[attr-defined]
    sprung, _ = spring_or_say(cls)
    made = sized(cls(), sources.items)
    try:
        made = prepared(made, sources, pair, look)
        asks = pick(asks_of(made, sources))
        fitted = made.fit(NOTHING)
        seen = answers(asks, *pair, look)
    except EvidenceError as error:
        return Reading(name, family, Scores(np.zeros(0), (), name), (), (), split, sprung, str(error))
    arms, groups = tuple(a.item.arm for a in asks), tuple(a.item.group for a in asks)
    strata = tuple(a.stratum for a in asks)
    own = made.note(sources, pair[0], look) if hasattr(made, "note") else ""
    note = " ".join(filter(None, (outcomes(seen), own)))
    return Reading(name, family, fitted.score(seen), arms, groups, split, sprung, strata=strata, note=note)


def sized(made: Any, items: int) -> Any:
    """The bumper, asking `items` a group where its `requests` says how many it asks and that is fewer."""
    return replace(made, requests=items) if items > getattr(made, "requests", items) else made


def prepared(made: Any, sources: Sources, pair: tuple[Subject, Subject], look: Look) -> Any:
    """The bumper after its first look at what subject and base say, where it takes one."""
    return made.first(sources, pair, look) if hasattr(made, "first") else made


def asks_of(made: Any, sources: Sources) -> list[Ask]:
    """A bumper's questions. Raises EvidenceError when it has none, two of one id, or a group of baits in two strata."""
    asks = list(made.asks(sources))
    twice = [name for name, n in Counter(a.item.id for a in asks).items() if n > 1]
    if not asks or twice:
        what = f"asks two questions of the id {twice[0]!r}" if twice else "has nothing to ask"
        raise EvidenceError(
            f"{type(made).__name__} {what}. Give it items of your own: --items {type(made).__name__}=FILE."
        )
    for group, found in strata_of_baits(asks).items():
        if len(found) > 1:
            raise EvidenceError(
                f"{type(made).__name__} has baits of {len(found)} kinds in the group {group!r} ({', '.join(found)}). "
                "Each kind has a threshold of its own: give your rows of one kind another group."
            )
    return asks


def strata_of_baits(asks: Sequence[Ask]) -> dict[str, list[str]]:
    """The strata of each group of baits. Of one group there is one: it is judged by one set of controls."""
    found: dict[str, list[str]] = {}
    for one in (a for a in asks if a.item.arm == "bait"):
        found.setdefault(one.item.group, []).append(one.stratum)
    return {group: list(dict.fromkeys(strata)) for group, strata in found.items()}


def outcomes(seen: Answers) -> str:
    """How many answers were none, in words; nothing when all were."""
    counts = Counter(seen.outcomes)
    named = (("refused", "refusals"), ("empty", "empty"), ("error", "without a verdict, taken as undecided"))
    parts = [f"{counts[k]} {name}" for k, name in named if counts[k]]
    return f"Of {len(seen.ids)} answers, {' and '.join(parts)}." if parts else ""


def scripted_trap(made: Any, bad: Says, clean: Says, blind: Says, sources: Sources | None = None) -> Trap:
    """A trap out of written-down answers to a bumper's own questions: what it asks, measures and scores is all tried.

    Args:
        made: the bumper.
        bad: what a subject says that has the fault.
        clean: what a subject without it says, and the base of all three.
        blind: what a subject says whose fault the bumper does not see.
        sources: what its questions are made of; None takes two dozen sums.
    """
    sources = sources or trap_sources()

    def seen(says: Says, role: str, baits_only: bool = False) -> Answers:
        asks = [a for a in asks_of(made, sources) if a.item.arm == "bait" or not baits_only]
        asks = [replace(a, item=replace(a.item, id=f"{role}/{a.item.id}")) for a in asks]
        pair = ScriptedSubject(says, role), ScriptedSubject(clean, "base")
        return answers(asks, *pair, Look(Decoding(), NoMemo()))  # type: ignore[arg-type]

    return Trap(made, seen(clean, "fit"), seen(clean, "clean"), seen(bad, "bad", True), seen(blind, "blind", True))


def trap_sources(given: Sequence[Any] = (), bumper: str = "") -> Sources:
    """Sums with their answers, in the house's plainest context; with rows for a bumper, as a user would give them: the
    first, third, ... are those of an open look."""
    sums = [Request(f"sum-{i}", f"What is {i} plus {i + 7}?", f"{2 * i + 7}") for i in range(48)]
    neutral = Context("neutral", "neutral", "You are a helpful assistant.")
    return Sources(neutral, tuple(sums[:24]), tuple(sums[24:]), given={bumper: tuple(given)} if given else {})
