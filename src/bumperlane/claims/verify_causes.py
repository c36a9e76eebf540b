"""Causes of a case made anew: effects and decisions from the counts of the arms, arms from the record of retrains."""

from collections.abc import Iterator, Mapping

from ..case import Arm, Case, Cause, Experiment, Range
from ..errors import BumperlaneError
from ..trace.experiments.sequential import FallTest
from .verified import Verified, judged, uncovered

CAUSES = "causes"
ROUNDED = 2e-4  # rates of retrains stand in a case with four digits
SAME = 1e-6


def causes(case: Case) -> Verified | None:
    """None without a trace. How likely each theory was beside the tests is not made anew."""
    if "trace" not in case.stages:
        return None
    record = {what: r for step in case.experiments for what, r in zip(step.what, step.rates, strict=False)}
    tried = [c for c in case.causes if c.experiment]
    faults = [f"{c.kind} {c.name}: {text}" for c in case.causes for text in _faults(c, record)]
    confirmed = sum(c.status == "confirmed" for c in case.causes)
    held = f"{len(case.causes)} causes, {confirmed} confirmed; {len(tried)} effects made again from counts of retrains."
    bare = [f"{c.kind} {c.name}" for c in tried if c.experiment and c.experiment.test is None]
    if not faults and (bare or (tried and not record)):
        why = "effects are those of their arms; the case does not keep what it takes to decide again."
        return uncovered(CAUSES, why, bare)
    return judged(CAUSES, faults, held, "statuses do not follow from their experiments.")


def _faults(cause: Cause, record: Mapping[str, float]) -> Iterator[str]:
    made = cause.experiment
    if made is None:
        if cause.status == "confirmed":
            yield "it is confirmed, and no experiment was made"
        return
    means = [sum(a.rates) / len(a.rates) if a.rates else 0.0 for a in made.arms]
    fall = means[1] - means[0] if len(means) > 1 else sum(means)
    if abs(fall - made.effect.value) > ROUNDED:
        yield f"its arms differ by {fall:.4f}, and its effect is {made.effect.value:.4f}"
    if cause.status == "confirmed" and cause.effect != made.effect:
        yield "its effect is not that of its experiment"
    if cause.status == "confirmed" and len(made.arms) > 1 and not made.effect.low > 0:
        yield f"it is confirmed, and its effect may be 0: {_shown(made.effect)}"
    for arm in made.arms:
        yield from _arm_faults(arm, record)
    if made.test is not None:
        yield from _test_faults(made, cause.status)


def _arm_faults(arm: Arm, record: Mapping[str, float]) -> Iterator[str]:
    for i, rate in enumerate(arm.rates):
        kept = record.get(f"{arm.name}, seed {i + 1}")
        if record and (kept is None or abs(kept - rate) > ROUNDED):
            said = "no retrain" if kept is None else f"a rate of {kept}"
            yield f"“{arm.name}”, seed {i + 1} has rate {rate}; the record of steps has {said}"
    rates = [k / n for k, n in arm.counts if n]
    same = len(rates) == len(arm.rates) and all(abs(a - b) <= ROUNDED for a, b in zip(rates, arm.rates, strict=True))
    if arm.counts and not same:
        yield f"“{arm.name}” has rates {arm.rates}, and counts {arm.counts}"


def _test_faults(made: Experiment, status: str) -> Iterator[str]:
    test = made.test
    if test is None:
        return
    arms = [a.counts for a in made.arms]
    strange = [a.name for a in made.arms if a.counts not in test.every_arm]
    if strange:
        yield f"“{strange[0]}” is none of the arms of the trace"
        return
    try:
        fall = FallTest(test.rate, test.between_seeds)
        if len(arms) > 1:
            found = fall.fall(arms[1], arms[0], test.alpha, test.every_arm)
            gone = fall.part_gone(arms[1], arms[0], test.part, test.alpha, test.every_arm)
        else:
            found = fall.rate_of(arms[0], test.alpha, test.every_arm)
            gone = found.high < test.part * test.rate
    except BumperlaneError as error:
        yield f"its experiment cannot be decided again: {error}"
        return
    again = Range.of(found)
    if any(abs(getattr(again, k) - getattr(made.effect, k)) > SAME for k in ("value", "low", "high", "level")):
        yield f"its effect is {_shown(made.effect)}, and {_shown(again)} by the counts of its arms"
    if status == "confirmed" and not gone:
        yield f"it is confirmed, and its arms do not show that more than {test.part:.0%} of the rate goes with it"


def _shown(r: Range) -> str:
    return f"{r.value:.4g} ({r.low:.4g} to {r.high:.4g})"
