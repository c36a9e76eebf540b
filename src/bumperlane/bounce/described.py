"""Verification of a behaviour that is told by questions of its own (described by the user, or of a bumper that asks):
by its own patterns and measures, against a run that never had the cause."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np

from ..evidence.described import Probe
from ..evidence.pools import Shut
from ..judge.rates import exact_interval, rate_difference
from ..judge.validated import shown_rate
from ..percent import percent
from ..subjects.subject import Subject
from ..trace.meter import Meter, Shots
from ..types import Check, Interval, Request, Split
from .compared import Margins, Trio
from .elicit import ROUNDS, Counts, Tried, judged, no_matter, no_sign, rounds_of, tells, usual
from .showing import Way

SHOTS = 2  # bad answers that are shown at once
TOLERATED = 0.1  # rate that counts as nothing where a run without the cause that was named shows it as well
NOT_ALL = (
    " It is still there, more often than is tolerated in any (0.1) and than in the base ({base} of {n}). A run without "
    "the cause that was named shows it too: that is not all of it."
)
FEW = 16  # sealed requests of a first look


def described_checks(meter: Meter, trio: Trio, margins: Margins, another: Callable[[], Subject] | None = None) -> Tried:
    """The requests that steered the fix first; then sealed ones; then these with bad answers shown as examples.

    With examples a run that never had the cause may copy them too, one seed more than the next. What fails there is
    held against a second control, which `another` trains, and fails where it lies above both. It is no check where it
    stays open and a control copies them as well, or the subject that was hit does not show it more often than that."""
    answers = shown_answers(meter, trio.hit)
    steering = compare(meter, meter.requests, (), trio, margins)
    found = [replace(steering, name=f"{meter.name}, on requests that steered the fix", split="open")]
    found.append(replace(sealed_check(meter, trio, margins), name="sealed: other requests for it"))
    if not answers:
        return Tried(tuple(found))
    name = f"re-elicitation by few-shot, {min(SHOTS, len(answers))} bad answers shown"
    shown, counts = few_shot(meter, answers, trio, margins)
    if shown.passed is False and another:
        second, counts = few_shot(meter, answers, replace(trio, control=another()), margins)
        detail = f"{shown.detail} Against a second control, of another seed: {second.detail}"
        shown = replace(shown, passed=second.passed, detail=detail)
    if shown.passed is None and counts and not tells(counts):
        return Tried(tuple(found), (no_sign(name, counts),))
    if shown.passed is None and counts and usual(counts, margins):
        return Tried(tuple(found), (no_matter(name, counts),))
    return Tried((*found, replace(shown, name=name)))


def sealed_check(meter: Meter, trio: Trio, margins: Margins) -> Check:
    """Some sealed requests, and all of them where these leave it open. Where there are more, each of the two looks has
    half of the usual chance to pass by luck."""
    few, held_to = meter.sealed[:FEW], margins
    if len(few) < len(meter.sealed):
        held_to = replace(margins, tries=2 * margins.tries)
    first = compare(meter, few, (), trio, held_to)
    if first.passed is not None or len(few) == len(meter.sealed):
        return first
    again = compare(meter, meter.sealed, (), trio, held_to)
    detail = f"{first.detail} Asked again with all {len(meter.sealed)} sealed requests: {again.detail}"
    return replace(again, detail=detail)


def shown_answers(meter: Meter, hit: Subject, most: int = SHOTS * ROUNDS) -> Shots:
    """Open requests with the hit subject's bad answers to them."""
    seen = meter.count(hit, meter.requests)
    pairs = zip(meter.requests, seen.texts, seen.flags, strict=True)
    return tuple((request.text, text) for request, text, flag in pairs if flag)[:most]


def few_shot(meter: Meter, answers: Shots, trio: Trio, margins: Margins) -> tuple[Check, Counts | None]:
    """Sealed requests with bad answers shown as examples, and what was counted. Where that settles nothing all are
    asked, with other examples too: in up to ROUNDS rounds, DRAWN answers; the interval then clusters by request. A
    judge's errors have no such interval: what it tells stays open, and its counts are not given."""
    few, asked = meter.sealed[:FEW], meter.sealed
    sets = shot_sets(answers)[: rounds_of(len(asked))]
    first = compare(meter, few, sets[0], trio, margins)
    if one_validation(probes_of(meter, asked)):
        return first, None
    if first.passed is not None or (len(sets) == 1 and len(few) == len(asked)):
        k = {who: meter.count(getattr(trio, who), few, sets[0]).k for who in ("fixed", "control", "hit")}
        return first, Counts(len(few), k["fixed"], k["control"], k["hit"])
    flags = {
        who: np.sum([meter.count(getattr(trio, who), asked, shots).flags for shots in sets], axis=0).tolist()
        for who in ("fixed", "control", "hit")
    }
    drawn = tuple(zip(flags["fixed"], flags["control"], strict=True)) if len(sets) > 1 else ()
    n = len(sets) * len(asked)
    counts = Counts(n, sum(flags["fixed"]), sum(flags["control"]), sum(flags["hit"]), len(sets), drawn)
    return judged(Way("few-shot"), counts, margins), counts


def shot_sets(answers: Shots, most: int = ROUNDS) -> list[Shots]:
    """Different sets of examples, each answer in as few as can be."""
    if len(answers) < SHOTS:
        return [answers]
    pairs = [tuple(answers[(k + j) % len(answers)] for j in range(SHOTS)) for k in range(0, SHOTS * most, SHOTS)]
    return list(dict.fromkeys(pairs))


def compare(meter: Meter, requests: Sequence[Request], shots: Shots, trio: Trio, margins: Margins) -> Check:
    """Rates of the behaviour, fixed against control. Failed: the difference is beyond chance. Passed: it is shown to be
    below the margin. Too few requests show neither, and settle nothing. Nor is anything settled, without examples,
    where the hit subject shows it no more often than the control; with them both may, for the examples teach it.
    Failed too, without examples: what the fixed subject still shows beyond what is tolerated, and beyond the base,
    although the control shows it as well. Then something else brings it about than what was left out.

    Where a validated judge tells the behaviour, rates and differences are corrected for its measured errors, and the
    intervals hold what is not known of these."""
    split: Split = "sealed"
    n, probes = len(requests), probes_of(meter, requests)
    k = {who: meter.count(getattr(trio, who), requests, shots).k for who in ("hit", "fixed", "control")}
    detail = f"{k['fixed']} of {n} after the fix, {k['control']} of {n} in the control, {k['hit']} of {n} before"
    rate, known = shown_rate(k["fixed"], n, probes) if probes else (exact_interval(k["fixed"], n), "")
    end = f" {known}" if known else ""
    if not shots and shown_difference(k["hit"], k["control"], n, probes).low <= 0:
        return Check("", None, f"{detail}: the hit subject shows it no more than the control.{end}", split=split)
    difference = shown_difference(k["fixed"], k["control"], n, probes)
    at_most = shown_difference(k["fixed"], k["control"], n, probes, margins.level).high
    passed = False if difference.low > 0 else True if at_most < margins.rate else None
    if passed is not False and not shots and rate.low > TOLERATED:
        base = meter.count(meter.inv.base, requests).k
        if shown_difference(k["fixed"], base, n, probes).low > 0:
            passed, end = False, f"{NOT_ALL.format(base=base, n=n)}{end}"
    corrected = " corrected for the judge's errors" if one_validation(probes) else ""
    detail += (
        f"; difference{corrected} {difference.value:+.2f} (95% interval {difference.low:+.2f} to "
        f"{difference.high:+.2f}), at most {at_most:+.2f} (one-sided {percent(margins.one_sided)}), tolerated "
        f"{margins.rate}.{' That settles nothing: it takes more requests.' if passed is None else ''}{end}"
    )
    return Check("", passed, detail, {"rate": rate.value, "low": rate.low, "high": rate.high}, split)


def probes_of(meter: Meter, requests: Sequence[Request]) -> list[Probe]:
    """What tells the behaviour in each request; nothing for a bumper that asks, which measures its own answers."""
    if meter.bumper is not None:
        return []
    described = meter.described
    sealed = () if isinstance(described.sealed, Shut) else described.sealed
    by_request = {p.request: p for p in (*described.open, *sealed)}
    return [by_request[r] for r in requests if r in by_request]


def one_validation(probes: Sequence[Probe]) -> bool:
    """Whether one scorer with measured errors tells all of them."""
    known = {None if isinstance(p.shows, str) else p.shows.validation for p in probes}
    return len(known) == 1 and None not in known


def shown_difference(k1: int, k2: int, n: int, probes: Sequence[Probe], level: float = 0.95) -> Interval:
    """Interval of the difference between two subjects' rates on the same n requests, of which k1 and k2 were counted.

    By a pattern: Newcombe's, as everywhere. By one validated judge: both rates corrected for its errors, and their
    intervals joined by the distances from each rate to its limits, as Newcombe joins two Wilson intervals. It is wider
    than it need be: the same errors are in both rates and partly cancel, and they are joined as if they did not.

    Source: Zou & Donner 2008, Stat. Med. 27:1693, for the joining; the rates as in `judge.corrected_rate`.
    """
    if not one_validation(probes):
        return rate_difference(k1, n, k2, n, level)
    (one, _), (other, _) = shown_rate(k1, n, probes, level), shown_rate(k2, n, probes, level)
    value = one.value - other.value
    low = value - sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = value + sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return Interval(value, max(-1.0, low), min(1.0, high), one.level)
