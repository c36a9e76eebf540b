"""Verdicts of a case made anew from what the case holds: scores, counts, arms of experiments, checks of a fix."""

import re
from collections.abc import Iterator
from math import isclose
from pathlib import Path

from ..bounce.verdict import verdict
from ..case import Bounce, BumperResult, Case, CheckResult, Range, of_judgement
from ..errors import BumperlaneError
from ..judge.concluded import overall
from ..judge.judge import JudgeSettings, judge
from ..judge.rates import exact_interval
from ..judge.readings import NAME as READINGS
from ..judge.readings import read_readings
from ..types import Check
from .verified import FAIL, Verified, judged, uncovered

JUDGED, RATES, OVERALL, FIX = "bumpers, judged again", "rates and lines", "verdict of the check", "verdict of the fix"
DESCRIBED = "Described"  # evidence.described.NAME, which cannot be imported without torch
DESCRIBED_LINE = 0.05  # its p value is scaled to it
COUNTED = re.compile(r"(\d+) of (\d+) requests stand above the clean threshold")


def judged_again(directory: Path, case: Case) -> Verified:
    """Every threshold, group, p value, Holm correction and verdict, from the scores that were kept."""
    try:
        readings = read_readings(directory)
        if readings is None:
            why = (
                f"the case keeps no {READINGS}: counts and thresholds are not made again, only what follows from them."
            )
            return uncovered(JUDGED, why)
        rest = {k: case.settings[k] for k in ("item_alpha", "tolerated_rate")}
        again = [of_judgement(j, {}, "") for j in judge(readings, JudgeSettings(_line(case), **rest))]
    except (BumperlaneError, KeyError, TypeError) as error:
        return Verified(JUDGED, FAIL, f"the scores cannot be judged: {error}", (READINGS,))
    held = {b.bumper: b for b in case.bumpers if b.bumper != DESCRIBED}
    faults = [f"{b.bumper} is in {READINGS} and not in the case" for b in again if b.bumper not in held]
    faults += [f"{name} is in the case and not in {READINGS}" for name in held.keys() - {b.bumper for b in again}]
    for new in again:
        if new.bumper in held:
            faults += [f"{new.bumper}: {text}" for text in _differing(held[new.bumper], new)]
    found = judged(JUDGED, faults, f"{len(again)} bumpers from {sum(len(r.scores.ids) for r in readings)} scores.",
                   "the case does not follow from its scores.")  # fmt: skip
    if not faults and any(b.bumper == DESCRIBED for b in case.bumpers):
        return uncovered(JUDGED, f"{found.detail} What each described request showed is not kept.", (DESCRIBED,))
    return found


def _differing(held: BumperResult, new: BumperResult) -> Iterator[str]:
    for name in ("verdict", "family", "split", "why"):
        if getattr(held, name) != getattr(new, name):
            yield f"{name} is {getattr(held, name)!r:.160}, and {getattr(new, name)!r:.160} by its scores"
    for name in ("threshold", "p_holm"):
        if not _same(getattr(held, name), getattr(new, name)):
            yield f"{name} is {getattr(held, name)}, and {getattr(new, name)} by its scores"
    for name in ("effect", "control"):
        if not _same_range(getattr(held, name), getattr(new, name)):
            yield f"{name} is {_shown(getattr(held, name))}, and {_shown(getattr(new, name))} by its scores"
    groups = {g.name: g for g in new.groups}
    for g in held.groups:
        other = groups.pop(g.name, None)
        if other is None:
            yield f"context {g.name} has no scores"
        elif (g.over, g.of) != (other.over, other.of) or not _same(g.p_holm, other.p_holm):
            by = f"{other.over} of {other.of}, p {other.p_holm:.3g}, by its scores"
            yield f"context {g.name} has {g.over} of {g.of}, p {g.p_holm:.3g}; {by}"
    if groups:
        yield f"contexts {', '.join(groups)} have scores and are not in the case"


def rates(case: Case) -> Verified:
    """Every exact interval from its counts; every verdict from its p value and the line; Holm only raises."""
    faults, n = [], 0
    alpha = _line(case)
    for b in case.bumpers:
        n += len(b.groups)
        faults += [f"{b.bumper}, context {g.name}: {g.over} of {g.of} does not give {_shown(g.rate)}"
                   for g in b.groups if not _is_exact(g.rate, g.over, g.of)]  # fmt: skip
        if b.groups and not _same_range(b.effect, b.groups[0].rate):
            faults.append(f"{b.bumper}: its effect is not the rate of its worst context, {b.groups[0].name}")
        if b.verdict == "blind":
            faults += [f"{b.bumper} is blind and has a p value of {b.p_holm}"] * (b.p_holm not in (None, 1.0))
            continue
        line = DESCRIBED_LINE if b.bumper == DESCRIBED else alpha
        if b.p_holm is not None and (b.p_holm <= line) != (b.verdict == "hit"):
            faults.append(f"{b.bumper} is {b.verdict} with p {b.p_holm:.3g} at a line of {line:g}")
        if b.groups and b.p_holm is not None and b.p_holm < min(g.p_holm for g in b.groups) * (1 - 1e-9):
            faults.append(f"{b.bumper}: p {b.p_holm:.3g} is below that of its contexts: Holm only raises")
    for point in case.onset.curve if case.onset else []:
        n += 1
        if not _is_exact(point.rate, round(point.rate.value * point.n), point.n):
            faults.append(f"onset, step {point.step}: {_shown(point.rate)} is not of {point.n} requests")
    return judged(RATES, faults, f"{n} exact intervals and {len(case.bumpers)} verdicts at {alpha:g}.",
                  "intervals or verdicts do not follow from their counts.")  # fmt: skip


def overall_verdict(case: Case) -> Verified:
    word, why = overall(case.bumpers)
    faults = []
    if case.verdict != word:
        faults.append(f"the case says {case.verdict}, and its bumpers say {word}")
    elif case.why != why:
        faults.append("the reason of the verdict is not that of its bumpers")
    hits = [b for b in case.bumpers if b.verdict == "hit"]
    if case.hits != hits:
        odd = sorted({b.bumper for b in (*case.hits, *hits) if (b in case.hits) != (b in hits)})
        faults.append(f"the list of hits is not that of the bumpers that were hit: {', '.join(odd) or 'their order'}")
    if case.behaviour and case.behaviour.bumper not in {h.bumper for h in hits}:
        faults.append(f"the behaviour is of {case.behaviour.bumper}, which was not hit")
    return judged(
        OVERALL,
        faults,
        f"{case.verdict}, as {len(case.bumpers)} bumpers make it.",
        "it does not follow from the bumpers.",
    )


def fixes(case: Case) -> Verified | None:
    """The verdict of each bounce from its checks, by the rule; counted checks by their counts. None without one."""
    bounces = case.bounces or ([case.bounce] if case.bounce else [])
    if not bounces:
        return None
    faults = [f"“{b.fix}”: {text}" for b in bounces for text in _fix_faults(b)]
    if case.bounce != bounces[-1]:
        faults.append("the last bounce is not the last of those in the list")
    counted = sum(1 for b in bounces for c in b.checks if _count(c))
    checks = sum(len(b.checks) for b in bounces)
    many = f"{len(bounces)} bounce{'s' * (len(bounces) > 1)}"
    held = f"{many} with {checks} checks, {counted} of them with counts: the rule gives the same verdict."
    return judged(FIX, faults, held, "verdict or numbers do not follow from the checks.")


def _fix_faults(bounce: Bounce) -> Iterator[str]:
    if not bounce.checks:
        yield f"it is called {bounce.verdict} and holds no check"
        return
    first, *others = (Check(c.name, c.passed, c.detail, c.numbers, c.split) for c in bounce.checks)  # type: ignore
    outcome, why = verdict(first, others)
    if outcome != bounce.verdict:
        yield f"it is called {bounce.verdict}, and its checks make it {outcome}: {why}"
    elif not bounce.why.startswith(why):
        yield f"the reason that is given, {bounce.why!r:.120}, is not the one that its checks give, {why!r:.120}"
    for c in bounce.checks:
        count = _count(c)
        exact = exact_interval(*count) if count else None
        if exact and {"rate", "low", "high"} <= c.numbers.keys():
            said = [c.numbers[k] for k in ("rate", "low", "high")]
            if not all(_same(a, b) for a, b in zip(said, (exact.value, exact.low, exact.high), strict=True)):
                yield f"check “{c.name}” counts {count[0]} of {count[1]}, and its numbers are {said}"  # type: ignore


def _count(check: CheckResult) -> tuple[int, int] | None:
    found = COUNTED.search(check.detail)
    return (int(found[1]), int(found[2])) if found else None


def _line(case: Case) -> float:
    alpha = float(case.settings.get("alpha", 0.05))
    told = case.settings.get("described") is not None and any(b.bumper != DESCRIBED for b in case.bumpers)
    return alpha / 2 if told else alpha


def _is_exact(held: Range, k: int, n: int) -> bool:
    try:
        return _same_range(held, Range.of(exact_interval(k, n, held.level)))
    except BumperlaneError:
        return False


def _same(a: float | None, b: float | None) -> bool:
    """Equal but for the last bits, which differ from one library version to the next."""
    return a == b if a is None or b is None else isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)


def _same_range(a: Range | None, b: Range | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(_same(getattr(a, k), getattr(b, k)) for k in ("value", "low", "high", "level"))


def _shown(r: Range | None) -> str:
    return f"{r.value:.4g} ({r.low:.4g} to {r.high:.4g})" if r else "none"
