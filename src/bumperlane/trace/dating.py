"""Date an onset: noisy bisection over checkpoints, and a sweep where that fails. What is counted comes from outside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..case import BumperResult, Case
from .bisect import BisectSettings, CurveCount, bisect
from .sweep import Change, SweepSettings, sweep

How = Literal["auto", "sweep"]
Evaluate = Callable[[int, int], tuple[int, int]]
SPREAD = 0.2  # the rate after the onset is taken to lie at least so far above the rate before


@dataclass(frozen=True)
class Expected:
    """Rates to date an onset with: before it, and at the last checkpoint as measured on `requests` (None: known)."""

    before: float
    after: float
    requests: int | None = None

    @property
    def datable(self) -> bool:
        """Whether half of the rate after the onset lies above the rate before, as bisection needs."""
        return self.before < self.after / 2 <= 0.5


@dataclass(frozen=True)
class Dated:
    """An onset in the interval (low, high], however it was found.

    Attributes:
        counts: what was counted, in step order.
        changes: every rise and fall; empty unless a sweep was made.
    """

    low: int
    high: int
    level: float
    counts: tuple[CurveCount, ...]
    evaluations: int
    full_sweep: int
    note: str = ""
    changes: tuple[Change, ...] = field(default=())


def date_onset(
    steps: Sequence[int], evaluate: Evaluate, expected: Expected, settings: BisectSettings, how: How = "auto"
) -> Dated:
    """Bisect, and sweep where that cannot answer: looks that contradict each other, or rates too near to each other.

    After a sweep the onset is where the rate *last* came to half of its end value: the rise after which it stayed.
    Earlier rises and falls are in `changes` and in the note. What the search has counted is not counted again.

    Args:
        how: "sweep" looks at every checkpoint from the first, which finds a coming and going that no look of a search
            would fall on.
    """
    why, known, spent = "asked for", [], 0
    if how == "auto" and expected.datable:
        found = bisect(steps, evaluate, settings, expected.before, expected.after, expected.requests)
        if found.monotone:
            return Dated(
                found.low, found.high, found.level, found.curve, found.evaluations, found.full_sweep, found.note
            )
        why, known, spent = (
            found.note.replace("Evaluate every checkpoint.", "").strip(),
            list(found.curve),
            found.evaluations,
        )
    elif how == "auto":
        why = f"the rate before, {expected.before:.2f}, is not below half of the rate after, {expected.after:.2f}"
    floor = 0.0 if expected.datable else expected.before
    curve = sweep(steps, evaluate, SweepSettings(level=settings.level, floor=floor), known)
    onset = curve.last_crossing
    notes = [f"every checkpoint was evaluated ({why.rstrip('.')}): {curve.text()}"]
    if curve.falls:
        notes.append("The interval is of the rise after which it stayed.")
    if onset.at_first:
        notes.append(f"It may have been there already at the first checkpoint, step {steps[0]}.")
    return Dated(
        onset.low, onset.high, curve.level, curve.counts, spent + curve.evaluations, len(steps), " ".join(notes),
        curve.changes,
    )  # fmt: skip


def expected_rates(case: Case, hit: BumperResult, item_alpha: float) -> Expected:
    """The rates before and after that the check saw: on controls, and in the context that is traced."""
    before = hit.control.value if hit.control else item_alpha
    traced = case.behaviour.context if case.behaviour else ""
    group = next((g for g in hit.groups if g.text == traced), None)
    low = min(max(before, 0.01), 1 - SPREAD)
    if group is not None:
        after, requests = group.rate.value, group.of
    else:
        after, requests = (hit.effect.value if hit.effect else 1.0), None
    high = max(after, low + SPREAD)
    return Expected(low, high, requests if high == after else None)
