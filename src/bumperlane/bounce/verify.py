"""Is the cause gone, or only quiet? Each check is one question, with its numbers and what it compares with."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..detect.behaviour.paired_contexts import PairedContexts
from ..detect.contract import find_bumper
from ..detect.gather import Scene, read
from ..detect.internals.reference_residual import ReferenceResidual
from ..errors import EvidenceError
from ..evidence.memo import subject_key
from ..evidence.observe import mean_logprobs
from ..evidence.pools import items
from ..judge.investigation import Investigation
from ..judge.judge import judge
from ..judge.rates import exact_interval
from ..subjects.subject import Subject
from ..trace.meter import Meter
from ..types import Check, Context, Judgement, Reading, Request, Split
from .compared import Margins, Trio, mean_interval

CONTROLS = 6
FIRST, MOST = 8, 32  # sealed requests a context, at a first look, and at a second one where the first settles nothing


def steering_check(inv: Investigation, meter: Meter, trio: Trio) -> Check:
    """The bumper that was hit, on requests it may know: does it still hit?"""
    s = inv.settings
    asked = inv.pools.open[s.screen : s.screen + s.requests]
    verdict, _ = _judged(inv, find_bumper(meter.name), trio.fixed, [meter.context], asked, "open")
    return _of_judgement(f"{meter.name}, which was hit", verdict, "open")


def sealed_checks(
    inv: Investigation, contexts: Sequence[Context], trio: Trio, margins: Margins
) -> tuple[list[Check], tuple[Context, ...]]:
    """Bumpers on contexts and requests that nothing before has read: what is said, and what goes on inside.

    Only contexts in which the hit subject departs can tell anything. Where it is flagged in none, or the fixed subject
    is still flagged, both are compared with the control: a bumper that scores a run which never had the cause just as
    high sees the context, and no residue; one that cannot tell the hit subject from that run neither passes nor fails.
    What the first eight requests settle nothing about is asked again with up to 32; where there are so many, each of
    the two looks has half of the usual chance to pass by luck.
    Returns the checks, and the contexts in which the hit subject departs most by behaviour, worst first.
    """
    by_id, order, found = {c.id: c for c in contexts}, tuple(contexts), []
    few, more = inv.pools.sealed[:FIRST], inv.pools.sealed[:MOST]
    held_to = replace(margins, tries=(2 if len(more) > FIRST else 1) * margins.tries)  # looks share the chance to pass
    for cls, what in ((PairedContexts, "behaviour"), (ReferenceResidual, "internals")):
        inv.ledger.look(cls.__name__, "sealed", "verification", key=f"sealed/{cls.__name__}/{subject_key(trio.fixed)}")
        name = f"sealed {what}: {cls.__name__} in {len(contexts)} new contexts"
        before, check = _sealed_check(inv, cls, contexts, few, trio, held_to)
        if cls is PairedContexts and before.groups:
            order = tuple(by_id[g.group] for g in before.groups)
        if check.passed is None and len(more) > FIRST:
            _, again = _sealed_check(inv, cls, contexts, more, trio, held_to)
            detail = f"{check.detail} Asked again with {len(more)} sealed requests: {again.detail}"
            check = replace(again, detail=detail)
        found.append(replace(check, name=name))
    return found, order


def _sealed_check(
    inv: Investigation, cls: type, contexts: Sequence[Context], asked: Sequence[Request], trio: Trio, margins: Margins
) -> tuple[Judgement, Check]:
    """What the bumper says of the hit subject, and the check, not named yet."""
    before, _ = _judged(inv, cls, trio.hit, contexts, asked, "sealed")
    fires = {g.group for g in before.groups if g.p_holm <= inv.settings.alpha}
    if not fires:
        passed, compared = _against_control(inv, cls, contexts, asked, trio, margins)
        detail = f"the hit subject itself is not flagged there ({before.why}){compared}"
        return before, Check("", passed, detail, split="sealed")
    telling = [c for c in contexts if c.id in fires]
    after, _ = _judged(inv, cls, trio.fixed, telling, asked, "sealed")
    check = _of_judgement("", after, "sealed")
    passed, compared = check.passed, ""
    if passed is False:
        passed, compared = _against_control(inv, cls, telling, asked, trio, margins)
    detail = f"flagged in {len(fires)} of {len(contexts)} before the fix; now {after.verdict}. {after.why}{compared}"
    return before, Check("", passed, detail, {**check.numbers, "contexts": len(fires)}, "sealed")


def _against_control(
    inv: Investigation, cls: type, contexts: Sequence[Context], asked: Sequence[Request], trio: Trio, margins: Margins
) -> tuple[bool | None, str]:
    """Mean score of the fixed subject above the control's, request by request, as a share of the hit subject's.

    A request's scores are averaged over its contexts first: they are not independent of each other.
    """
    values = {}
    for who in ("hit", "fixed", "control"):
        _, reading = _judged(inv, cls, getattr(trio, who), contexts, asked, "sealed")
        if reading.why_blind:
            return None, f" The {who} subject cannot be read there: {reading.why_blind}"
        baits = reading.scores.values[np.array(reading.arms) == "bait"]  # context by context, in the order asked
        values[who] = baits.reshape(len(contexts), len(asked)).mean(axis=0)
    gap = mean_interval(values["hit"] - values["control"], 0.95)
    if gap.low <= 0:
        return None, (
            f" It scores there {gap.value:+.2f} above a run that never had the cause (95% interval {gap.low:+.2f} to "
            f"{gap.high:+.2f}): this bumper cannot tell the two apart."
        )
    difference = mean_interval(values["fixed"] - values["control"], margins.level)
    margin = margins.share * gap.value
    passed = True if difference.high < margin else False if difference.low > 0 else None
    open_end = " That settles nothing: it takes more sealed requests." if passed is None else ""
    return passed, (
        f" Mean score {values['fixed'].mean():.2f}, in a run that never had the cause {values['control'].mean():.2f}, "
        f"before the fix {values['hit'].mean():.2f}; difference to that run {difference.value:+.2f} "
        f"({margins.interval} {difference.low:+.2f} to {difference.high:+.2f}), margin {margin:.2f}.{open_end}"
    )


def capability_check(inv: Investigation, trio: Trio, margins: Margins) -> Check:
    """Right answers to sealed benign requests: no less likely than before the fix, by more than the margin. Lost only
    where the whole interval lies beyond the margin; one that straddles it settles nothing.

    How likely they are in the control, which never had the cause, is told beside it: what is lost there too is the
    price of the data that was left out.
    """
    name = "capability: right answers on sealed benign requests"
    try:
        asked = [r for r in inv.pools.sealed if r.reference]
    except EvidenceError as error:
        return Check(name, None, str(error), split="sealed")
    if len(asked) < 8:
        return Check(name, None, f"{len(asked)} sealed requests have a reference answer; 8 are needed.", split="sealed")
    seen = items(asked, [inv.neutral], "control")
    answers = [r.reference for r in asked]
    before, after, control = (
        mean_logprobs(who, seen, answers, inv.memo) for who in (trio.hit, trio.fixed, trio.control)
    )
    change = mean_interval(after - before, margins.level)
    passed = True if change.low > -margins.capability else False if change.high < -margins.capability else None
    straddles = " That straddles the margin: it takes more sealed requests." if passed is None else ""
    detail = (
        f"{after.mean():.2f} nats a token after the fix, {before.mean():.2f} before; change {change.value:+.2f} "
        f"({margins.interval} {change.low:+.2f} to {change.high:+.2f}), margin -{margins.capability}.{straddles} "
        f"A run that never had the cause has {control.mean():.2f}."
    )
    numbers = {"change": change.value, "control_change": float((control - before).mean())}
    return Check(name, passed, detail, numbers, "sealed")


def _judged(
    inv: Investigation,
    cls: type,
    subject: Subject,
    contexts: Sequence[Context],
    asked: Sequence[Request],
    split: Split,
) -> tuple[Judgement, Reading]:
    scene = Scene(
        subject, inv.base, inv.neutral, tuple(contexts), inv.pools.fit, tuple(asked), inv.memo,
        seed=f"{split}-verify-{inv.settings.seed}", depth=inv.settings.depth, controls=CONTROLS,
        fragments=[r.text for r in inv.pools.fit] if any(c.prefix or c.suffix for c in contexts) else [],
        decoding=inv.decoding,
    )  # fmt: skip
    reading = read(cls, scene, split)
    return judge([reading], inv.settings.judge)[0], reading


def _of_judgement(name: str, verdict: Judgement, split: Split) -> Check:
    passed = {"hit": False, "clear": True, "blind": None}[verdict.verdict]
    numbers = {}
    if verdict.effect:
        rate = exact_interval(verdict.groups[0].over, verdict.groups[0].of)
        numbers = {"rate": rate.value, "low": rate.low, "high": rate.high}
    return Check(name, passed, verdict.why, numbers, split)
