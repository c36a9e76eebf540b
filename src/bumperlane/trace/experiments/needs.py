"""What else does a confirmed cause need? Attribution may not point at it: an example can be needed and look innocent.

The tranches that no experiment has looked at are left out in groups, as large as leaves half of the examples. Where the
behaviour stays, none of the group is needed, by experiment. Where it goes, the group is split until single tranches are
left; these become suspects, and are decided like all others. Innocent data costs two retrains or so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .designs import MOST_REMOVED
from .hypotheses import Hypothesis
from .planner import Outcome

Tranches = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class NeedStep:
    """Tranches that were left out together, and what was measured."""

    out: tuple[str, ...]
    outcome: Outcome


@dataclass(frozen=True)
class Needs:
    """What was found.

    Attributes:
        steps: in order.
        idle: tranche -> the sentence that clears it: the behaviour stays without it.
        needed: tranches without which the behaviour went, each tried alone.
        untried: tranches for which no retrain was left.
    """

    steps: tuple[NeedStep, ...] = ()
    idle: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()


def candidates(tranches: Tranches, confirmed: Sequence[Hypothesis], tried: Sequence[Hypothesis]) -> dict[str, int]:
    """Sizes of the tranches that hold nothing of a confirmed cause and were not left out by an experiment."""
    gone = {id for h in confirmed for id in h.ids}
    named = {h.name for h in tried if h.kind == "tranche"}
    return {name: len(ids) for name, ids in tranches.items() if ids and name not in named and not gone & set(ids)}


def grouped(sizes: Mapping[str, int], most: int) -> list[tuple[str, ...]]:
    """Few groups of at most `most` examples, the largest tranche first into the fullest group that has room."""
    groups: list[list[str]] = []
    for name in sorted(sizes, key=lambda n: (-sizes[n], n)):
        room = [g for g in groups if sum(sizes[n] for n in g) + sizes[name] <= most]
        if room:
            max(room, key=lambda g: sum(sizes[n] for n in g)).append(name)
        elif sizes[name] <= most:
            groups.append([name])
    return [tuple(g) for g in groups]


def find_needs(
    sizes: Mapping[str, int], total: int, retrain: Callable[[tuple[str, ...]], Outcome | None], line: float
) -> Needs:
    """Leave tranches out in groups.

    Args:
        sizes: of the tranches to try.
        total: examples of the recipe.
        retrain: carries out and measures the run without these; None when the budget is spent.
        line: rate at or below which the behaviour has gone.
    """
    waiting = grouped(sizes, int(MOST_REMOVED * total))
    steps: list[NeedStep] = []
    idle: dict[str, str] = {}
    needed: list[str] = []
    untried: list[str] = [name for name in sizes if not any(name in g for g in waiting)]
    while waiting:
        group = waiting.pop(0)
        outcome = retrain(group)
        if outcome is None:
            untried += [name for g in (group, *waiting) for name in g]
            break
        steps.append(NeedStep(group, outcome))
        rate = outcome.k / outcome.n
        if rate > line:
            more = f" and {len(group) - 1} more" if len(group) > 1 else ""
            idle |= dict.fromkeys(group, f"the behaviour stays without it{more} (rate {rate:.2f}, one retrain).")
        elif len(group) == 1:
            needed += group
        else:
            half = len(group) // 2
            waiting[:0] = [group[:half], group[half:]]
    return Needs(tuple(steps), idle, tuple(needed), tuple(untried))
