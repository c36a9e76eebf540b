"""Was it fixed beforehand, and could it have failed?"""

from datetime import date

from ...percent import percent
from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested, weak
from ..planned_samples import departures, not_compared, not_sealed
from ..power import (
    ENOUGH,
    items_for_difference,
    items_to_refuse,
    power_of_difference,
    power_to_fall_short,
    power_to_refuse,
)
from ..reckon import UP, bound_of, low_of, recall_of
from .contract import ALL_KINDS, rule


@rule(
    "C01", "the threshold was sealed before the first sample", ALL_KINDS,
    "the threshold and the analysis were not chosen with the results in sight",
)  # fmt: skip
def sealed_first(e: Evidence, on: date) -> Said:
    seal = Needed(
        "a plan, sealed with `bumperlane plan seal` before the first sample, and a run that follows it", "run"
    )
    plan = e.plan
    if plan is None or not plan.sha256 or plan.sealed_at is None:
        return untested("nothing says when the threshold was fixed: there is no sealed plan.", seal)
    when = f"the plan {plan.sha256[:12]} was sealed at {plan.sealed_at:%Y-%m-%d %H:%M}"
    if plan.after_first_sample:
        return unsupported(f"{when}, when samples lay there already: sealed after the first sample.", seal)
    if plan.first_sample_at is not None and plan.first_sample_at <= plan.sealed_at:
        late = f"and the first sample was taken at {plan.first_sample_at:%Y-%m-%d %H:%M}: not after it"
        return unsupported(f"{when}, {late}.", seal)
    if plan.first_sample_at is not None and plan.first_sample_at.date() > on:
        return unsupported(f"the first sample is said to be of {plan.first_sample_at:%Y-%m-%d}, after {on}.",
                           Needed("the right time of the first sample"))  # fmt: skip
    stated = e.claim.threshold if e.claim.threshold is not None else e.claim.margin
    if plan.threshold is not None and stated is not None and plan.threshold != stated:
        return unsupported(f"the threshold was moved: {plan.threshold:g} is sealed, {stated:g} is claimed.", seal)
    if plan.deviations:
        more = f" and {len(plan.deviations) - 1} more" if len(plan.deviations) > 1 else ""
        return unsupported(f"{when}, and was deviated from: {plan.deviations[0]}{more}.", seal)
    off = departures(e)
    if off:
        return unsupported(f"{when}, and not followed: {'; '.join(d.text for d in off)}.",
                           next((d.needed for d in off if d.needed), None)
                           if all(d.needed for d in off) else seal)  # fmt: skip
    if stated is not None and plan.threshold is None:
        return weak(f"{when}, but does not hold the threshold {stated:g}.", seal)
    open_ended = not_sealed(e)
    if open_ended:
        return weak(f"{when}, but not how many {' and '.join(open_ended)} there would be (`samples` of the plan): "
                    "sampling may have stopped when it looked good.", seal)  # fmt: skip
    if plan.first_sample_at is None:
        return weak(f"{when}; nothing says when the first sample was taken.", Needed("the time of the first sample"))
    if not plan.proof:
        return weak(f"{when} by the clock of who sealed it alone; no commit and no timestamp shows it.",
                    Needed("a plan committed to a repository, or a timestamp token of its hash"))  # fmt: skip
    loose = not_compared(e)
    also = f" Sealed, and with nothing to compare: {', '.join(loose)}." if loose else ""
    return supported(
        f"{when}, before the first sample at {plan.first_sample_at:%Y-%m-%d %H:%M}, unchanged since.{also}"
    )


@rule(
    "C02", "the claim could have failed: power of 0.8 or more at the stated effect",
    ("rate_below", "rate_above", "difference", "equivalent", "treated"),
    "an evaluation of this size would have told, if the claim were false",
)  # fmt: skip
def could_have_failed(e: Evidence, on: date) -> Said:
    if e.counts is None or e.counts.of == 0:
        return untested("there are no counts, so nothing could have failed.", Needed("counts of items with a verdict"))
    if e.claim.kind in ("difference", "equivalent"):
        return _of_difference(e)
    effect = e.claim.effect if e.claim.effect is not None else e.claim.threshold
    if effect is None:
        return untested("no effect and no threshold is stated that the evaluation has to catch.",
                        Needed("a threshold, or the rate that matters (claim.effect)"))  # fmt: skip
    bound, recall = bound_of(e), recall_of(e)
    n = min(float(e.counts.of), bound.effective_n if bound else e.counts.of)
    counted = e.counts.bad * n / e.counts.of  # in effective items, as n is
    seen = effect * (_caught(e) if e.claim.kind in UP else 1.0)
    if e.claim.kind in UP:
        power, more = power_to_refuse(counted, n, seen), items_to_refuse(e.counts.bad / e.counts.of, seen)
        what = f"more than the {e.counts.bad} bad ones on which the claim is made would be seen"
    else:
        power, more = power_to_fall_short(counted, n, seen), None
        what = f"fewer than the {e.counts.bad} on which the claim is made would be seen"
    worth = "" if n > e.counts.of - 0.5 else f" (worth {n:.3g} independent ones)"
    told = f"at a true rate of {percent(effect)} {what} in {e.counts.of} items{worth} with probability {power:.2f}"
    if recall and seen != effect:
        told += f" (recall {recall[0]} of {recall[1]})"
    return _graded(power, told, more and round(more * e.counts.of / n) - e.counts.of)


def _caught(e: Evidence) -> float:
    """Share of bad items that is seen: as measured, but the lower bound where the luckiest control was chosen."""
    control = e.positive_control
    if control is None:
        return 1.0
    return low_of(control, e.claim.level) if control.chosen_from > 1 else control.flagged / control.of


def _of_difference(e: Evidence) -> Said:
    effect, other = e.claim.effect or e.claim.margin, e.comparator
    if not effect or other is None or other.of == 0 or e.counts is None:
        what = "no effect or margin is stated" if not effect else "there is no comparator"
        return untested(f"{what}: power is the chance to see a stated difference between two counts.",
                        Needed("a margin, and a comparator with counts"))  # fmt: skip
    base = other.bad / other.of
    down = base - effect >= 0 and (e.claim.direction == "lower" or base + effect > 1)
    rate = min(1.0, max(0.0, base - effect if down else base + effect))
    power = power_of_difference(rate, base, e.counts.of, other.of, e.claim.level)
    told = (
        f"a difference of {percent(effect)} against {percent(base)} would be seen in {e.counts.of} and {other.of} "
        f"items with probability {power:.2f}"
    )
    needed = items_for_difference(rate, base, e.claim.level)
    return _graded(power, told, needed and max(1, needed - e.counts.of))


def _graded(power: float, told: str, more: int | None) -> Said:
    if power >= ENOUGH:
        return supported(f"{told}, {ENOUGH:g} or more.")
    said = f"{told}, below {ENOUGH:g}"
    if more is None:
        needed = Needed("a claim at an effect that is farther from what was seen: more items alone do not do it",
                        settles=False)  # fmt: skip
    else:
        needed = Needed("with a verdict", "items", max(1, more))
    return weak(f"{said}.", needed) if power >= 0.5 else unsupported(f"{said}: it could hardly fail.", needed)
