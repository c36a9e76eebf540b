"""When did it come, go, and come again? A sweep over checkpoints, read as a curve of levels with rises and falls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from ..errors import EvidenceError, SettingError
from ..judge.rates import exact_interval
from ..types import Interval
from .bisect import CurveCount, counted, credible_run
from .change_points import Levels
from .rises import Rises

DRAWS = 2000  # curves drawn from the posterior to date the onset
WORTH = 0.02  # probability of an unseen change in a stretch, below which it is not worth a look
Kind = Literal["rise", "fall"]


@dataclass(frozen=True)
class SweepSettings:
    """How sure to be, and how much to spend.

    Args:
        level: posterior probability of each reported interval.
        changes: number of rises and falls expected beforehand. At 0.5 a level curve is called changed in 2 of 100.
        max_evaluations: None looks at every checkpoint once. A smaller budget looks at evenly spaced ones first, and
            then where a change may lie between two of them.
        floor: rate before the onset. The onset is where the rate comes halfway from it to its end value.
        seed: of the curves that are drawn to date the onset.
    """

    level: float = 0.95
    changes: float = 0.5
    max_evaluations: int | None = None
    floor: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 < self.level < 1:
            raise SettingError(f"level must be between 0.5 and 1, got {self.level}. Try 0.95.")
        if not 0 <= self.floor < 1:
            raise SettingError(f"floor must be in [0, 1), got {self.floor}. Try 0.")
        if not self.changes > 0:
            raise SettingError(f"changes must be above 0, got {self.changes}. Try 0.5.")
        if self.max_evaluations is not None and self.max_evaluations < 2:
            raise SettingError(f"max_evaluations must be 2 or more, got {self.max_evaluations}: two show no change.")


@dataclass(frozen=True)
class Segment:
    """A stretch of checkpoints, from step `first` to step `last`, with one rate."""

    first: int
    last: int
    rate: Interval


@dataclass(frozen=True)
class Change:
    """The rate rose or fell after step `low` and by step `high`. `before`, `after`: the rates on both sides."""

    kind: Kind
    low: int
    high: int
    before: float
    after: float


@dataclass(frozen=True)
class Crossing:
    """The rate came halfway up after step `low`, by step `high`.

    `at_first`: it may have been there at the first checkpoint of the curve already; then `low` is that checkpoint.
    """

    low: int
    high: int
    at_first: bool


@dataclass(frozen=True)
class Curve:
    """What a sweep saw, as levels.

    Attributes:
        counts: the checkpoints with what was counted there, in step order.
        segments: levels, each with the exact interval of its rate.
        changes: where the level changes, each within its own interval.
        first_crossing: when the rate first came halfway from the floor to its highest value.
        last_crossing: when it last came halfway from the floor to its end value, and stayed.
        evaluations: calls of `evaluate`.
        full_sweep: checkpoints there are.
        level: probability of the intervals of the changes and of the crossing, each by itself.
    """

    counts: tuple[CurveCount, ...]
    segments: tuple[Segment, ...]
    changes: tuple[Change, ...]
    first_crossing: Crossing
    last_crossing: Crossing
    evaluations: int
    full_sweep: int
    level: float

    @property
    def rises(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.kind == "rise")

    @property
    def falls(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.kind == "fall")

    @property
    def monotone(self) -> bool:
        """Whether it never fell."""
        return not self.falls

    def text(self) -> str:
        """The curve in words."""
        if not self.changes:
            only = self.segments[0]
            return f"the rate is level at {only.rate.value:.2f} from step {only.first} to step {only.last}."
        told = [
            f"{c.kind}s after step {c.low}, by step {c.high}, from {c.before:.2f} to {c.after:.2f}"
            for c in self.changes
        ]
        return f"the rate {'; '.join(told)}."


def sweep(
    steps: Sequence[int],
    evaluate: Callable[[int, int], tuple[int, int]],
    settings: SweepSettings,
    known: Sequence[CurveCount] = (),
) -> Curve:
    """Look at every checkpoint, or at as many as the budget allows, and say where the rate rises and falls.

    Assumes nothing of the curve but that few changes lie in it. Blind to a coming and going between two checkpoints,
    or between two that were looked at where the budget is short.

    Args:
        steps: steps of the checkpoints, ascending.
        evaluate: (step, look) -> (k, n), as for `bisect`.
        known: what was counted at some of them before; these are not looked at again.

    Raises EvidenceError for fewer than 2 or unsorted steps, impossible counts, or `known` at a step there is not.
    """
    if len(steps) < 2 or any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise EvidenceError(
            f"a sweep takes 2 or more checkpoints whose steps ascend without repeats, got {list(steps)[:8]}."
        )
    strange = [c.step for c in known if c.step not in set(steps)]
    if strange:
        raise EvidenceError(f"counts are known at steps {strange[:8]}, where there is no checkpoint.")
    held = {list(steps).index(c.step): (c.k, c.n) for c in known}
    budget = len(steps) if settings.max_evaluations is None else min(settings.max_evaluations, len(steps))
    evaluations = 0
    for i in _spread(len(steps), budget):
        if i not in held and evaluations < budget:
            held[i] = counted(evaluate(steps[i], 0), steps[i])
            evaluations += 1
    while evaluations < budget and len(held) < len(steps):
        i = _next(sorted(held), held, settings)
        held[i] = counted(evaluate(steps[i], 0), steps[i])
        evaluations += 1
    counts = [CurveCount(steps[i], *held[i]) for i in sorted(held)]
    return read_curve(counts, settings, evaluations, len(steps))


def read_curve(
    counts: Sequence[CurveCount], settings: SweepSettings, evaluations: int = 0, full_sweep: int = 0
) -> Curve:
    """Levels and changes of counts that are there already, in step order.

    The rate is piecewise constant, each level with Jeffreys' prior, and each gap holds a change with the same prior
    probability. The number of levels is the most probable one, over all places; given it, each change has its exact
    posterior. A gradual rise is told as two or three steps up.

    Source: exact posterior of multiple change points by recursion (Fearnhead 2006), for binomial counts.
    """
    if len(counts) < 2:
        raise EvidenceError(f"a curve takes counts at 2 or more checkpoints, got {len(counts)}.")
    model = _levels(counts, settings)
    levels = model.most_probable_number()
    cuts = model.best_cuts(levels)
    edges = [0, *cuts, len(counts)]
    segments = tuple(_segment(counts[a:b], settings.level) for a, b in zip(edges, edges[1:], strict=False))
    changes = []
    for m, posterior in enumerate(model.places(levels)):
        first, last = credible_run(posterior, settings.level)
        before, after = segments[m].rate.value, segments[m + 1].rate.value
        kind: Kind = "rise" if after > before else "fall"
        changes.append(Change(kind, counts[first - 1].step, counts[last].step, before, after))
    crossings = _crossings(counts, model, settings)
    return Curve(
        tuple(counts), segments, tuple(changes), *crossings, evaluations, full_sweep or len(counts), settings.level
    )


def _crossings(counts: Sequence[CurveCount], model: Levels, settings: SweepSettings) -> tuple[Crossing, Crossing]:
    """When the rate first came halfway to its highest value, and last to its end value: the shortest intervals that
    hold `level`. A gradual rise is weighed against the levels, as a second account of the counts."""
    rates = model.draw(np.random.default_rng(settings.seed), DRAWS)
    there = rates >= (rates.max(axis=1, keepdims=True) + settings.floor) / 2
    below = rates < (rates[:, -1:] + settings.floor) / 2
    below[:, -1] = False  # an end rate below the floor is not half of itself either, but the last is where it ended
    stayed = np.where(below.any(axis=1), len(counts) - below[:, ::-1].argmax(axis=1), 0)
    rising, onset = _rises(model, rates, settings).posterior(model.k, model.n)
    share = float(expit(model.evidence - rising))
    first, last = (
        share * np.bincount(at, minlength=len(counts)) / DRAWS + (1 - share) * onset
        for at in (there.argmax(axis=1), stayed)
    )
    return _crossing(counts, first, settings.level), _crossing(counts, last, settings.level)


def _rises(model: Levels, rates: np.ndarray, settings: SweepSettings) -> Rises:
    """Gradual rises between the rates that the drawn curves begin and end with."""
    ends = np.quantile(rates[:, -1], [0.1, 0.3, 0.5, 0.7, 0.9])
    return Rises.of(len(model.k), float(np.median(rates[:, 0])), ends, settings.floor)


def _crossing(counts: Sequence[CurveCount], chances: np.ndarray, level: float) -> Crossing:
    first, last = credible_run(chances, level)
    return Crossing(counts[max(first - 1, 0)].step, counts[last].step, first == 0)


def _levels(counts: Sequence[CurveCount], settings: SweepSettings) -> Levels:
    k, n = np.array([c.k for c in counts], float), np.array([c.n for c in counts], float)
    return Levels.of(k, n, settings.changes)


def _segment(counts: Sequence[CurveCount], level: float) -> Segment:
    k, n = sum(c.k for c in counts), sum(c.n for c in counts)
    return Segment(counts[0].step, counts[-1].step, exact_interval(k, n, level))


def _spread(checkpoints: int, budget: int) -> list[int]:
    """Evenly spaced checkpoints, both ends among them: all when the budget allows, else half of it."""
    share = budget if budget >= checkpoints else max(2, (budget + 1) // 2)
    return sorted({round(i * (checkpoints - 1) / (share - 1)) for i in range(share)})


def _next(seen: list[int], held: dict[int, tuple[int, int]], settings: SweepSettings) -> int:
    """The middle of the unseen stretch that a change lies in most probably; the longest where none is probable."""
    model = _levels([CurveCount(i, *held[i]) for i in seen], settings)
    chances = model.change_chances()[1:]
    unseen = np.diff(seen) - 1
    value = np.where(chances > WORTH, chances, 0.0) * np.log1p(unseen)
    gap = int(np.argmax(value if value.max() > 0 else unseen))
    return (seen[gap] + seen[gap + 1]) // 2
