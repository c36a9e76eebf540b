"""Causes of a case made anew: effects and decisions from the counts of the arms, arms from the record of retrains."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..case import Arm, Case, Cause, Experiment, ExperimentTest, Range
from ..errors import BumperlaneError
from ..percent import percent
from ..trace.experiments.sequential import FallTest
from .verified import Verified, judged, uncovered

CAUSES = "causes"
ROUNDED = 2e-4  # rates of retrains stand in a case with four digits
SAME = 1e-6
# What a status that does not follow from the cause's own arms says of itself; see trace/experiments/findings.py.
BY_OTHERS = ("other retrains speak against it", "alone it does not bring it about", "the behaviour stays with it and")
OF_A_PAIR = ("where that is left out too", "either suffices", "each brings part of it")


def causes(case: Case) -> Verified | None:
    """None without a trace. How likely each theory was beside the tests is not made anew."""
    if not (case.causes or case.experiments or "trace" in case.stages):
        return None
    record: dict[str, float] = {}
    tried = [c for c in case.causes if c.experiment]
    faults = [*_record_faults(case, record), *_set_faults(case)]
    faults += [f"{c.kind} {c.name}: {text}" for c in case.causes for text in _faults(c, record)]
    confirmed = sum(c.status == "confirmed" for c in case.causes)
    held = f"{len(case.causes)} causes, {confirmed} confirmed; {len(tried)} effects made again from counts of retrains"
    held += f"{_terms(tried)}."
    bare = [f"{c.kind} {c.name}" for c in tried if c.experiment and c.experiment.test is None]
    if not faults and (bare or (tried and not record)):
        why = "effects are those of their arms; the case does not keep what it takes to decide again."
        return uncovered(CAUSES, why, bare)
    return judged(CAUSES, faults, held, "statuses do not follow from their experiments.")


def _record_faults(case: Case, record: dict[str, float]) -> Iterator[str]:
    """Fills `record`: rate by retrain. One may stand in several steps, with the same rate."""
    for step in case.experiments:
        if len(step.what) != len(step.rates):
            yield f"a step of the record has {len(step.what)} retrains and {len(step.rates)} rates"
        for what, rate in zip(step.what, step.rates, strict=False):
            if abs(record.setdefault(what, rate) - rate) > ROUNDED:
                yield f"the record has “{what}” with a rate of {record[what]} and one of {rate}"


def _set_faults(case: Case) -> Iterator[str]:
    """Each suspect once, and every tranche among them: one that was left out is one that nobody reads about."""
    for (kind, name), n in Counter((c.kind, c.name) for c in case.causes).items():
        if n > 1:
            yield f"{kind} {name} stands there {n} times"
    if "trace" in case.stages:
        there = {c.name for c in case.causes if c.kind == "tranche"}
        files = [name for name in case.hashes if "/" not in name and name != "recipe.yaml"]
        for name in dict.fromkeys([*(case.subject.get("tranches") or ()), *files]):
            if name not in there and Path(name).stem not in there:
                yield f"tranche {name} of the run is not among the causes, which hold every tranche"
    if len({c.experiment.test.part for c in case.causes if c.kind != "pair" and _falls(c)}) > 1:  # type: ignore
        yield "its causes were decided by different parts of the rate that must be gone, which is one setting"


def _falls(cause: Cause) -> bool:
    """Whether it was decided by its own removal; a member of a pair is, where the other is left out, by any fall."""
    test = cause.experiment.test if cause.experiment else None
    return test is not None and test.part > 0


def _terms(tried: Sequence[Cause]) -> str:
    """What the decisions rest on besides the counts: settings of the trace, that nothing else in a case says."""
    tests = [c.experiment.test for c in tried if c.experiment and c.experiment.test]
    if not tests:
        return ""
    parts = ", ".join(f"{percent(p)}" for p in sorted({t.part for t in tests}))
    alphas, spread = sum(t.alpha for t in tests), min(t.between_seeds for t in tests)
    return f", at more than {parts} of the rate gone, alpha {alphas:.3g} in all, {spread:g} between seeds"


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
    if made.arms and not any(part in made.arms[0].name for part in cause.name.split(" + ")):
        yield f"its experiment is of “{made.arms[0].name}”"
    for arm in made.arms:
        yield from _arm_faults(arm, record)
    if made.test is not None:
        yield from _test_faults(cause, made, made.test)


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


def _test_faults(cause: Cause, made: Experiment, test: ExperimentTest) -> Iterator[str]:
    arms = [a.counts for a in made.arms]
    strange = [a.name for a in made.arms if a.counts not in test.every_arm]
    if strange or not arms:
        yield f"“{strange[0]}” is none of the arms of the trace" if strange else "its experiment has no arm"
        return
    if not 0 <= test.part <= 1 or (test.part == 0 and not any(c in cause.why for c in OF_A_PAIR)):
        yield f"it was decided by {percent(test.part)} of the rate being gone"
    try:
        fall = FallTest(test.rate, test.between_seeds)
        gone: bool | None
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
    if cause.status == "confirmed" and not gone:
        yield f"it is confirmed, and its arms do not show that more than {percent(test.part)} of the rate goes with it"
    if len(arms) > 1 and cause.kind != "pair" and not any(words in cause.why for words in BY_OTHERS):
        if cause.status != "confirmed" and gone:
            most = percent(test.part)
            yield f"it is {cause.status}, and its arms show that more than {most} of the rate goes with it"
        if cause.status == "cleared" and gone is None:
            yield "it is cleared, and its arms do not decide"


def _shown(r: Range) -> str:
    return f"{r.value:.4g} ({r.low:.4g} to {r.high:.4g})"
