"""What can be retrained: every way to leave suspects out, and the random removals each is compared with.

A condition says what one retrain lacks. Its control leaves out as many examples at random, drawn anew for each seed
from outside all suspects where enough are left, else from outside those it stands against. Suspects of similar size
share one, of the size of the largest: then the smaller ones' falls are understated, never overstated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...errors import EvidenceError, SettingError
from .hypotheses import Hypothesis

SIMILAR = 1.25  # sizes up to this ratio share a control
MOST_REMOVED = 0.5  # of all examples; beyond it the rest is another training set, and no control can be drawn
LEAST_LEFT = 0.2  # of all examples, in a clean recipe to which a suspect is added
MOST_PAIRED = 8  # suspects, from the most suspect, whose pairs are considered


@dataclass(frozen=True)
class Condition:
    """What a retrain lacks.

    Attributes:
        kind: leave-one-out, leave-two-out, leave-many-out, add-one-in, half dose, random removal, or unchanged.
        out: indices of the hypotheses that are left out.
        part: share of `out` that is left out; 1 but for a dose.
        removed: examples that are left out.
        rewind: the step it is started from.
        draw: for a random removal, which of the layout's draws it is; -1 for others.
    """

    kind: str
    out: tuple[int, ...] = ()
    part: float = 1.0
    removed: int = 0
    rewind: int = 0
    draw: int = -1


@dataclass(frozen=True)
class Draw:
    """What a random removal is drawn from, and the ids whose number and lengths it follows."""

    pool: tuple[str, ...]
    like: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """All conditions of an investigation.

    Attributes:
        hypotheses: the K suspects, the most suspect first.
        conditions: the C conditions.
        control: condition -> what it is compared with; those without one cannot be proved, only inform.
        draws: what random removals are drawn from.
        presence: (C, K) share of each suspect's examples that a condition trains on.
    """

    hypotheses: tuple[Hypothesis, ...]
    conditions: tuple[Condition, ...]
    control: Mapping[Condition, Condition]
    draws: tuple[Draw, ...]
    presence: np.ndarray

    def present(self, condition: Condition) -> np.ndarray:
        """(K,) share of each suspect that a condition trains on."""
        return self.presence[self.conditions.index(condition)]

    def without(self, *out: int) -> Condition | None:
        """The condition that leaves exactly these out; None when it cannot be carried out."""
        return next((c for c in self.conditions if c.out == tuple(sorted(out)) and c.part == 1 and c.out), None)

    def only(self, *kept: int) -> Condition | None:
        """The condition that leaves all suspects but these out."""
        return self.without(*(i for i in range(len(self.hypotheses)) if i not in kept))

    def title(self, condition: Condition) -> str:
        """One line for people."""
        names = " and ".join(self.hypotheses[i].title for i in condition.out)
        if condition.kind == "random removal":
            return f"without {condition.removed} at random"
        if condition.kind == "unchanged":
            return "nothing left out"
        if condition.kind == "half dose":
            return f"with half of {names}"
        if condition.kind == "add-one-in":
            kept = [h.title for i, h in enumerate(self.hypotheses) if i not in condition.out]
            return f"with {' and '.join(kept)} and no other suspect"
        return f"without {names}"


def lay_out(
    hypotheses: Sequence[Hypothesis],
    pools: Sequence[Sequence[str]],
    rewind: Callable[[tuple[str, ...]], int],
    paid_from: int = 0,
) -> Layout:
    """Every condition that can be carried out.

    Args:
        pools: ids of all examples, and of all prompts if there are any: what can be drawn at random.
        rewind: ids -> the last step before the first of them was trained on.
        paid_from: the last step before any reward was paid; where what has no ids is rewound to.

    Raises SettingError for two hypotheses of one name, EvidenceError for ids that no pool holds.
    """
    ordered = tuple(sorted(hypotheses, key=lambda h: -h.weight))
    titles = [h.title for h in ordered]
    if not ordered or len(set(titles)) != len(titles):
        raise SettingError(f"experiments need 1 or more hypotheses of different names, got {titles}.")
    _refuse_unknown(ordered, pools)
    sizes = sum(len(pool) for pool in pools)
    start = [rewind(h.ids) if h.ids else paid_from for h in ordered]
    made: dict[tuple[int, ...], Condition] = {}
    for kind, out in _outs(len(ordered)):
        ids = _union(ordered, out)
        most = 1 - LEAST_LEFT if kind == "add-one-in" else MOST_REMOVED
        if out not in made and len(ids) <= most * sizes:
            made[out] = Condition(kind, out, removed=len(ids), rewind=min(start[i] for i in out))
    control, draws = _controls(ordered, list(made.values()), pools)
    halves = [Condition("half dose", (i,), 0.5, len(h.ids) // 2, start[i]) for i, h in enumerate(ordered)
              if len(h.ids) > 1 and (i,) in made]  # fmt: skip
    conditions = (*made.values(), *halves, *dict.fromkeys(control.values()))
    presence = np.array([[_present(c, h, i, (ordered, draws)) for i, h in enumerate(ordered)] for c in conditions])
    return Layout(ordered, conditions, control, draws, presence)


def _outs(k: int) -> list[tuple[str, tuple[int, ...]]]:
    """(kind, hypotheses left out): the simplest reading of each set comes first."""
    every = tuple(range(k))
    outs: list[tuple[str, tuple[int, ...]]] = [("leave-one-out", (i,)) for i in every]
    outs += [("leave-two-out", pair) for pair in combinations(range(min(k, MOST_PAIRED)), 2)]
    outs += [("leave-many-out", every[:m]) for m in range(3, k + 1)]
    outs += [("leave-many-out", every[m:]) for m in range(2, k - 2)]
    return outs + [("add-one-in", tuple(j for j in every if j != i)) for i in every if k > 2]


def _controls(
    hypotheses: Sequence[Hypothesis], conditions: Sequence[Condition], pools: Sequence[Sequence[str]]
) -> tuple[dict[Condition, Condition], tuple[Draw, ...]]:
    """Condition -> its random removal, and what those are drawn from. The largest of similar sizes sets the number."""
    groups: list[list[Condition]] = []
    for condition in sorted(conditions, key=lambda c: (c.kind != "leave-one-out", -c.removed)):
        if condition.kind == "add-one-in":
            continue
        group = next((g for g in groups if _alike(g[0], condition, hypotheses, pools)), None)
        if group is None:
            groups.append([condition])
        else:
            group.append(condition)
    control: dict[Condition, Condition] = {}
    draws: list[Draw] = []
    for group in groups:
        largest = group[0]
        if largest.removed == 0:
            control |= dict.fromkeys(group, Condition("unchanged", rewind=largest.rewind))
            continue
        drawn = _draw(group, hypotheses, pools) or _draw(group[:1], hypotheses, pools)
        if drawn is None:
            continue
        condition = Condition("random removal", (), 1.0, largest.removed, largest.rewind, len(draws))
        draws.append(drawn)
        barred = set(_union(hypotheses, range(len(hypotheses)))).isdisjoint(drawn.pool)
        served = [c for c in group if barred or set(_union(hypotheses, c.out)).isdisjoint(drawn.pool)]
        control |= dict.fromkeys(served, condition)
    return control, tuple(draws)


def _alike(
    largest: Condition, other: Condition, hypotheses: Sequence[Hypothesis], pools: Sequence[Sequence[str]]
) -> bool:
    similar = other.removed <= largest.removed <= SIMILAR * other.removed
    return similar and largest.rewind == other.rewind and _source(largest, hypotheses, pools) == _source(
        other, hypotheses, pools
    )  # fmt: skip


def _draw(group: Sequence[Condition], hypotheses: Sequence[Hypothesis], pools: Sequence[Sequence[str]]) -> Draw | None:
    """Enough examples from outside all suspects, or from outside those of the group; None when there are too few."""
    source = _source(group[0], hypotheses, pools)
    if source is None:
        return None
    for barred in (range(len(hypotheses)), [i for c in group for i in c.out]):
        gone = _union(hypotheses, barred)
        pool = tuple(sorted(id for id in pools[source] if id not in gone))
        if len(pool) >= group[0].removed:
            return Draw(pool, tuple(_union(hypotheses, group[0].out)))
    return None


def _source(condition: Condition, hypotheses: Sequence[Hypothesis], pools: Sequence[Sequence[str]]) -> int | None:
    """The pool that all of a condition's ids are in; None when they are in several."""
    ids = _union(hypotheses, condition.out)
    return next((i for i, pool in enumerate(pools) if set(ids) <= set(pool)), None)


def _present(condition: Condition, h: Hypothesis, i: int, given: tuple[Sequence[Hypothesis], Sequence[Draw]]) -> float:
    """The share of a hypothesis's examples that a condition trains on."""
    hypotheses, draws = given
    if not h.ids:
        return float(i not in condition.out)
    if condition.draw >= 0:
        pool = set(draws[condition.draw].pool)
        return 1 - sum(id in pool for id in h.ids) / len(h.ids) * condition.removed / len(pool)
    gone = _union(hypotheses, condition.out)
    return 1 - condition.part * sum(id in gone for id in h.ids) / len(h.ids)


def _union(hypotheses: Sequence[Hypothesis], out: Sequence[int] | range) -> dict[str, None]:
    return dict.fromkeys(id for i in out for id in hypotheses[i].ids)


def _refuse_unknown(hypotheses: Sequence[Hypothesis], pools: Sequence[Sequence[str]]) -> None:
    known = {id for pool in pools for id in pool}
    for h in hypotheses:
        wrong = [id for id in h.ids if id not in known]
        if wrong:
            raise EvidenceError(
                f"{h.title} names {len(wrong)} of {len(h.ids)} ids that are not trained on, first {wrong[0]!r}. "
                "Take ids from the run's own recipe."
            )
