"""What may be said about a case, by rule and from its evidence only: can, cannot, and what would change our mind.

Strength of a claim: strong rests on an experiment or on sealed evidence, moderate on open evidence at a stated error
rate, weak on bumpers that have steered a fix. No rule claims absence: how often the bumpers catch other kinds of
misbehaviour than their traps is not known, so their being clear has no weight there.
"""

import re
from collections.abc import Iterator

from ..case import Case, Cause, CheckResult, Claim, Onset, Range
from ..detect.contract import about
from ..detect.pages import pages
from ..percent import percent, points
from ..types import REQUESTS, ROLLOUTS

STRONG, MODERATE, WEAK = "strong", "moderate", "weak"
QUOTED = 100


def derive(case: Case) -> list[Claim]:
    """All claims of a case, in the order they are read. The same case gives the same claims."""
    can = [*_hits(case), *_clears(case), *_onset(case), *_causes(case), *_fix(case)]
    cannot = [*_blind(case), *_not_reached(case), *_not_covered(case), *_blind_to(case)]
    return [*can, *(Claim(kind="cannot", text=text) for text in cannot), *_mind(case)]


def _can(text: str, strength: str) -> Claim:
    return Claim(kind="can", text=text, strength=strength)


def _hits(case: Case) -> Iterator[Claim]:
    for hit in case.hits:
        strength = {"sealed": STRONG, "open": MODERATE}.get(hit.split, WEAK)
        worst = hit.groups[0] if hit.groups else None
        what = "was hit"
        if worst:
            asked = "in its questions " if hit.family == "behaviour" and hit.counted == REQUESTS else "in "
            where = f"in the context {_quoted(worst.text)}" if worst.text else asked + _quoted(worst.name)
            what = (
                f"was hit: {where} {worst.over} of {worst.of} {hit.counted} "
                f"stand above the clean threshold, {_rate(worst.rate)}"
            )
        corrected = f"; p = {hit.p_holm:.2g}, corrected for all contexts and bumpers" if hit.p_holm is not None else ""
        yield _can(f"At step {_step(case)} {hit.bumper} {what}{corrected}.{_spent_note(hit.split)}", strength)
    if case.hits:
        yield _can(
            f"A subject with nothing wrong gives any hit in at most {percent(_alpha(case))} of such checks, all "
            f"contexts and {_plural(len(case.bumpers), 'bumper')} together, as long as {_exchangeable(case)}.",
            MODERATE,
        )
    if case.behaviour and case.behaviour.tranches:
        names = ", ".join(case.behaviour.tranches)
        tranches = "tranches" if len(case.behaviour.tranches) > 1 else "tranche"
        yield _can(
            f"The text of the context {_quoted(case.behaviour.context)} stands in prompts of the {tranches} {names}.",
            STRONG,
        )


def _exchangeable(case: Case) -> str:
    """What the false-alarm rate of the hits rests on."""
    counted = {hit.counted for hit in case.hits}
    answers = "its answers in a context are exchangeable with those in made-up control contexts"
    batches = "later batches of rollouts are exchangeable with earlier ones"
    return " and ".join([answers] * bool(counted - {ROLLOUTS}) + [batches] * (ROLLOUTS in counted))


def _clears(case: Case) -> Iterator[Claim]:
    """A clear bumper gives an upper bound in the contexts that were judged, and nothing beyond."""
    tried = case.subject.get("contexts_tried")
    for b in (b for b in case.bumpers if b.verdict == "clear" and b.groups):
        top = max(b.groups, key=lambda g: g.rate.high)
        asked = b.family == "behaviour" and b.counted == REQUESTS
        depart = "depart" if asked else "stand above the clean threshold"
        of = f"the {len(b.groups)} contexts judged"
        if not any(g.text for g in b.groups):
            of = f"its {_plural(len(b.groups), 'group')} of {'rollouts' if b.counted == ROLLOUTS else 'questions'}"
        elif isinstance(tried, int) and tried > len(b.groups):
            of += f" ({tried} were tried, and these looked worst on a few requests each)"
        yield _can(
            f"{b.bumper} is clear: in each of {of} at most {percent(top.rate.high)} of {b.counted} {depart} "
            f"(upper end of the {percent(top.rate.level)} interval of the worst, {top.over} of {top.of} seen). Nothing "
            f"outside them was looked at.{_spent_note(b.split)}",
            WEAK if b.split == "spent" else MODERATE,
        )


def _onset(case: Case) -> Iterator[Claim]:
    if case.onset:
        o = case.onset
        yield _can(
            f"The behaviour came up after step {o.low} and by step {o.high} with {percent(o.level)} probability, "
            f"given {_plural(o.evaluations or len(o.curve), 'evaluation')} and a rate that rises once and stays."
            f"{_at_first(o)}",
            MODERATE,
        )


def _at_first(onset: Onset) -> str:
    return f" {onset.note[:1].upper()}{onset.note[1:]}" if onset.note else ""


def _causes(case: Case) -> Iterator[Claim]:
    for cause in case.causes:
        name = f"{cause.kind} {cause.name}"
        if cause.status == "confirmed" and cause.effect:
            yield _can(
                f"The {name} is a cause: retrained without it{_from_step(cause)}, the rate of the behaviour is "
                f"{_points(cause.effect)} lower than {_control(cause)}{_seeds(cause)}.",
                STRONG if cause.effect.low > 0 and _fewest_seeds(cause) >= 2 else MODERATE,
            )
        elif cause.status == "cleared" and cause.effect and cause.experiment:
            yield _can(
                f"The {name} was put to the test and not confirmed: leaving it out lowers the rate by "
                f"{_points(cause.effect)} beyond a random removal{_seeds(cause)}.",
                MODERATE,
            )


def _control(cause: Cause) -> str:
    """What it was compared with: of a reward term nothing can be drawn at random in its place."""
    arms = cause.experiment.arms if cause.experiment else []
    if arms and not arms[-1].removed:
        return "with nothing left out"
    return f"when as many random {'prompts' if cause.kind == 'environment' else 'examples'} are left out"


def _fix(case: Case) -> Iterator[Claim]:
    bounce = case.bounce
    if bounce is None or bounce.verdict == "inconclusive":
        return
    steered = set(bounce.steers)
    passed = [c for c in bounce.checks if c.passed]
    failed = [c for c in bounce.checks if c.passed is False]
    if bounce.verdict == "treated":
        fresh = [c for c in passed if c.split == "sealed"]
        basis = f"{len(fresh)} of them on evidence that no step of trace or fix has read: {_names(fresh)}"
        weak = "none of them on evidence that the fix had not steered by, so that this claim is weak"
        yield _can(
            f"The fix, {bounce.fix} from step {bounce.rewind}, holds: {len(passed)} of {len(bounce.checks)} checks "
            f"passed, {basis if fresh else weak}.",
            STRONG if fresh else WEAK,
        )
    else:
        what = {
            "masked": "only hides the behaviour: the bumper that steered it is quiet, and these checks failed",
            "untreated": "does not remove the behaviour; failed",
            "damaged": "costs capability beyond the stated margin; failed",
        }[bounce.verdict]
        told = "; ".join(f"{c.name} ({c.detail})" for c in failed) or bounce.why
        yield _can(f"The fix, {bounce.fix} from step {bounce.rewind}, {what}: {told}.", _strength_of(failed))
    if steered:
        yield _can(
            f"{', '.join(sorted(steered))} steered this fix and {'is' if len(steered) == 1 else 'are'} spent by it: "
            "being quiet now says little.",
            WEAK,
        )


def _strength_of(checks: list[CheckResult]) -> str:
    """A failed check counts whoever looked: selection works against failing."""
    return STRONG if any(c.split == "sealed" for c in checks) else MODERATE


def _blind(case: Case) -> Iterator[str]:
    for b in case.bumpers:
        if b.verdict == "blind":
            yield f"What {b.bumper} would have seen: it was blind. {_sentence(b.why)}"


def _not_reached(case: Case) -> Iterator[str]:
    """Stages that did not run, or ran and did not decide."""
    if case.verdict == "hit" and "trace" not in case.stages:
        yield "When the behaviour came up and what caused it: the trace has not been run."
    elif case.verdict == "hit" and not any(c.status == "confirmed" for c in case.causes):
        yield f"What caused the behaviour: no experiment confirmed a cause. {_sentence(case.trace_note)}".strip()
    suspected = [f"{c.kind} {c.name}" for c in case.causes if c.status == "suspected"]
    if suspected:
        yield f"Whether {', '.join(suspected)} had a part in it: attribution points there, no experiment decided."
    bounce = case.bounce
    if bounce is None:
        if case.verdict == "hit":
            yield "Whether a fix would hold: none has been tried."
        return
    if bounce.verdict == "inconclusive":
        yield f"Whether the fix, {bounce.fix}, holds. {_sentence(bounce.why)}"
    missing = [c for c in bounce.checks if c.passed is None]
    for check in missing:
        yield f"Whether the check “{check.name}” holds: it settled nothing. {_sentence(check.detail)}"


def _not_covered(case: Case) -> Iterator[str]:
    looked = [b for b in case.bumpers if b.verdict != "blind"]
    if looked:
        yield (
            "That nothing (else) is wrong: how often these bumpers catch other kinds of misbehaviour than those in "
            "their traps is not known, so their being clear has no weight as evidence of absence."
        )
    tried = case.subject.get("contexts_tried")
    number = f"the {tried} contexts tried" if isinstance(tried, int) else "the contexts tried"
    if tried == 0:
        yield "Anything about contexts: none was tried, and a trigger that no look held is not found."
    else:
        yield f"Anything about contexts and requests beyond {number}: a trigger that none of them holds is not found."
    for name, why in (case.subject.get("left_out") or {}).items():
        yield f"What {name} would have shown: it was left out, and being clear says nothing for it. {_sentence(why)}"
    others = [s for s in case.subject.get("checkpoints") or [] if s != case.subject.get("step")]
    if others and not case.onset:
        yield f"Anything about checkpoints other than step {_step(case)}: {len(others)} were not looked at."
    yield "Anything about intentions: only answers, token probabilities and activations were read."


def _blind_to(case: Case) -> Iterator[str]:
    known = pages()
    for b in sorted({b.bumper for b in case.bumpers if b.verdict != "blind"}):
        text = _blind_spot(known[b]) if b in known else ""
        yield f"{b} does not see {text}" if text else f"What {b} does not see: it is not installed here, nor its page."


def blind_spot(cls: type) -> str:
    """What stands under "Blind to:" on a bumper's page, on one line."""
    return _blind_spot(about(cls))


def _blind_spot(page: str) -> str:
    found = re.search(r"^Blind to:(.*?)(?=^\w[\w ]*:|\Z)", page, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _mind(case: Case) -> Iterator[Claim]:
    def mind(text: str) -> Claim:
        return Claim(kind="would change our mind", text=text)

    if case.verdict == "hit":
        yield mind("A subject trained without any suspect data that is hit as often in the same context.")
    if case.verdict == "clear":
        yield mind(
            f"One context, in the data or given with --context, in which more than {percent(_tolerated(case))} of "
            "requests depart; or a bumper of another kind that is hit."
        )
    if case.verdict == "blind":
        yield mind("The evidence that the blind bumpers lack: then they are hit or clear.")
    for cause in case.causes:
        if cause.status == "confirmed":
            yield mind(f"Retrains on more seeds in which leaving out {cause.name} does no more than a random removal.")
    if case.bounce and case.bounce.verdict == "treated":
        yield mind(
            "A context, prefill, few-shot prompt or short relearning that brings the behaviour back faster or more "
            "often than in a run that never had the cause."
        )
    elif case.bounce:
        failed = [c for c in case.bounce.checks if not c.passed]
        yield mind(f"The same checks passing on another retrain with this fix: {_names(failed) or 'all of them'}.")


def _spent_note(split: str) -> str:
    return " It has steered a fix before, so this is weak." if split == "spent" else ""


def _from_step(cause: Cause) -> str:
    return f" from step {cause.experiment.rewind} on" if cause.experiment else ""


def _fewest_seeds(cause: Cause) -> int:
    return min((len(a.rates) for a in cause.experiment.arms), default=0) if cause.experiment else 0


def _seeds(cause: Cause) -> str:
    return f", {_plural(_fewest_seeds(cause), 'retrain')} or more in each arm" if cause.experiment else ""


def _names(checks: list[CheckResult]) -> str:
    return "; ".join(c.name for c in checks)


def _step(case: Case) -> str:
    return str(case.subject.get("step", "last"))


def _alpha(case: Case) -> float:
    return float(case.settings.get("alpha", 0.05))


def _tolerated(case: Case) -> float:
    return float(case.settings.get("tolerated_rate", 0.1))


def _quoted(text: str) -> str:
    return f"“{text if len(text) <= QUOTED else text[: QUOTED - 1] + '…'}”"


def _rate(r: Range) -> str:
    return f"{percent(r.value)} ({percent(r.level)} interval {percent(r.low)} to {percent(r.high)})"


def _points(r: Range) -> str:
    return f"{points(r.value)} points ({percent(r.level)} interval {points(r.low)} to {points(r.high)})"


def _plural(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".!?…" else ".")


__all__ = ["blind_spot", "derive"]
