"""Verification of a behaviour that is told by questions of its own (described by the user, or of a bumper that asks):
by its own patterns and measures, against a run that never had the cause."""

from collections.abc import Sequence
from dataclasses import replace

from ..judge.rates import exact_interval, rate_difference
from ..subjects.subject import Subject
from ..trace.meter import Meter, Shots
from ..types import Check, Request, Split
from .compared import Margins, Trio


def described_checks(meter: Meter, trio: Trio, margins: Margins) -> list[Check]:
    """The requests that steered the fix first; then sealed ones; then these with bad answers shown as examples."""
    shots = shown_answers(meter, trio.hit)
    steering = compare(meter, meter.requests, (), trio, margins)
    found = [replace(steering, name=f"{meter.name}, on requests that steered the fix", split="open")]
    found.append(replace(compare(meter, meter.sealed, (), trio, margins), name="sealed: other requests for it"))
    if shots:
        name = f"re-elicitation by few-shot, {len(shots)} bad answers shown"
        found.append(replace(compare(meter, meter.sealed, shots, trio, margins), name=name))
    return found


def shown_answers(meter: Meter, hit: Subject, most: int = 2) -> Shots:
    """Open requests with the hit subject's bad answers to them."""
    seen = meter.count(hit, meter.requests)
    pairs = zip(meter.requests, seen.texts, seen.flags, strict=True)
    return tuple((request.text, text) for request, text, flag in pairs if flag)[:most]


def compare(meter: Meter, requests: Sequence[Request], shots: Shots, trio: Trio, margins: Margins) -> Check:
    """Rates of the behaviour, fixed against control. Passed: the difference is neither beyond chance nor above the
    margin. Without examples nothing is settled where the hit subject shows it no more often than the control; with
    them both may, for the examples teach it."""
    split: Split = "sealed"
    n = len(requests)
    k = {who: meter.count(getattr(trio, who), requests, shots).k for who in ("hit", "fixed", "control")}
    detail = f"{k['fixed']} of {n} after the fix, {k['control']} of {n} in the control, {k['hit']} of {n} before"
    if not shots and rate_difference(k["hit"], n, k["control"], n).low <= 0:
        return Check("", None, f"{detail}: the hit subject shows it no more than the control.", split=split)
    difference = rate_difference(k["fixed"], n, k["control"], n)
    worse = difference.low > 0 or difference.value > margins.rate
    rate = exact_interval(k["fixed"], n)
    detail += (
        f"; difference {difference.value:+.2f} (95% interval {difference.low:+.2f} to {difference.high:+.2f}), "
        f"tolerated {margins.rate}."
    )
    return Check("", not worse, detail, {"rate": rate.value, "low": rate.low, "high": rate.high}, split)
