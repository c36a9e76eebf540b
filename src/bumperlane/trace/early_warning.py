"""Early warning: did internals show the mechanism at an earlier checkpoint than the model showed the behaviour?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..case import Case, Onset
from ..detect.contract import find_bumper
from ..errors import CaseError, SettingError
from ..evidence.described import NAME
from ..judge.check import behaviour_context
from ..judge.investigation import Investigation
from ..types import Departures
from .bisect import CurveCount
from .look import Look, Place, look_at
from .sweep import Curve, SweepSettings, sweep

Verdict = Literal["early", "no lead", "late", "passing", "never", "blind"]


@dataclass(frozen=True)
class WarningSettings:
    """How sure to be, and how much to spend.

    Args:
        level: of the mechanism's onset intervals, over all bumpers together (Bonferroni). A lead rests on the
            behaviour's interval as well, so that it holds at the two levels' sum less 1.
        requests: asked at each checkpoint.
        max_evaluations: checkpoints looked at with each bumper; None looks at all of them.
    """

    level: float = 0.95
    requests: int = 12
    max_evaluations: int | None = None

    def __post_init__(self) -> None:
        if not 0.5 < self.level < 1:
            raise SettingError(f"level must be between 0.5 and 1, got {self.level}. Try 0.95.")
        if self.requests < 1:
            raise SettingError(f"requests must be 1 or more, got {self.requests}.")


@dataclass(frozen=True)
class EarlyWarning:
    """When a bumper of internals came to stand above its controls for good, beside when the behaviour came up.

    Attributes:
        verdict: early (the whole lead is above 0), late (below), no lead (it holds 0), passing (the bumper stood above
            the tolerated rate and no longer does at the end), never (it did not at any checkpoint), blind (it could be
            read at fewer than 2 checkpoints).
        low, high: the mechanism came after step `low`, by step `high`, and stayed; None without a lead.
        behaviour_low, behaviour_high: the same of the behaviour.
        lead_low, lead_high: steps by which the mechanism came first; None for passing, never and blind.
        passed: (first, last) steps of stretches that stood above the tolerated rate before, and fell again. A passing
            rise is no early warning: nothing says that it is the same mechanism.
        curve: what the bumper showed at the checkpoints.
        blind_steps: checkpoints at which it could not look, as at one that does not differ from its base.
    """

    bumper: str
    verdict: Verdict
    behaviour_low: int
    behaviour_high: int
    low: int | None = None
    high: int | None = None
    lead_low: int | None = None
    lead_high: int | None = None
    curve: Curve | None = None
    passed: tuple[tuple[int, int], ...] = ()
    blind_steps: tuple[int, ...] = ()

    def text(self) -> str:
        """The result in words."""
        came = f"the behaviour came up after step {self.behaviour_low}, by step {self.behaviour_high}"
        if self.verdict == "blind":
            return f"{self.bumper} could not look at {len(self.blind_steps)} checkpoints, so it dates nothing; {came}."
        if self.verdict == "never":
            return f"{self.bumper} never rose above what controls show; {came}."
        stretches = ", ".join(f"{a} to {b}" for a, b in self.passed)
        if self.verdict == "passing":
            return f"{self.bumper} stood above its controls at steps {stretches} and then no more; {came}."
        dated = f"{self.bumper} rose after step {self.low}, by step {self.high}; {came}"
        lead = f"{self.lead_low} to {self.lead_high} steps"
        told = {"early": f"a lead of {lead}", "late": f"it came later (lead {lead})", "no lead": f"no lead ({lead})"}
        before = f" It had stood above its controls at steps {stretches} and fallen again." if stretches else ""
        return f"{dated}: {told[self.verdict]}.{before}"


def early_warnings(
    inv: Investigation, case: Case, bumpers: Sequence[str] = (), settings: WarningSettings | None = None
) -> tuple[EarlyWarning, ...]:
    """Date the mechanism with bumpers of internals over the checkpoints, in the context that was hit.

    Looks back: the context is known only since the behaviour was found. A lead says that a check of internals in this
    context would have been hit earlier, not that somebody would have thought of the context.

    Args:
        bumpers: names; empty takes the case's bumpers of internals.

    Raises CaseError when the case has no onset, its behaviour was found by internals, or none of internals is left.
    """
    settings = settings or WarningSettings()
    if case.behaviour is None or case.onset is None:
        raise CaseError("this case has no onset to be early of. Run `bumperlane trace CASE` first.")
    if next(r for r in case.hits if r.bumper == case.behaviour.bumper).family == "internals":
        raise CaseError(
            f"the onset of this case is that of {case.behaviour.bumper}, itself a bumper of internals: no "
            "behaviour was dated, so nothing can be said of a lead."
        )
    if case.behaviour.origin in ("asked", "logs") or case.behaviour.bumper == NAME:
        raise CaseError(
            f"the behaviour was found by {case.behaviour.bumper}, by questions of its own: no context brings it about, "
            "so there is no place at which internals could be read before."
        )
    names = list(bumpers) or [r.bumper for r in case.bumpers if r.family == "internals"]
    classes = [find_bumper(name) for name in names]
    behavioural = [c.__name__ for c in classes if c.watches is Departures]  # type: ignore[attr-defined]
    if not classes or behavioural:
        raise CaseError(f"early warning takes bumpers of internals, got {', '.join(behavioural) or 'none'}.")
    context = behaviour_context(inv, case)
    share = replace(settings, level=1 - (1 - settings.level) / len(classes))
    return tuple(_warn(inv, cls, Place(0, context, inv.settings.depth), case.onset, share) for cls in classes)


def _warn(inv: Investigation, cls: type, place: Place, onset: Onset, settings: WarningSettings) -> EarlyWarning:
    """Sweep the checkpoints with one bumper; those at which it is blind are left out and named."""
    steps = [c.step for c in inv.run.checkpoints if c.step <= inv.step]
    asked = inv.pools.open[: settings.requests]
    looks: dict[int, Look] = {}

    def evaluate(step: int, _: int) -> tuple[int, int]:
        inv.say(f"{cls.__name__} at step {step}", len(looks), len(steps))
        look = looks[step] = look_at(inv, cls, replace(place, step=step), asked)
        inv.ledger.look(cls.__name__, "open", f"early warning at step {step}", key=f"early/{step}/{len(asked)}")
        if look.why_blind:
            raise _Blind
        return look.k, look.n

    how = SweepSettings(level=settings.level, max_evaluations=settings.max_evaluations)
    while True:
        blind = tuple(s for s in looks if looks[s].why_blind)
        able = [s for s in steps if s not in blind]
        known = [CurveCount(s, looks[s].k, looks[s].n) for s in sorted(looks) if s not in blind]
        if len(able) < 2:
            return EarlyWarning(cls.__name__, "blind", onset.low, onset.high, blind_steps=blind)
        try:
            curve = sweep(able, evaluate, how, known)
        except _Blind:
            continue
        tolerated = sorted(looks[s].tolerated for s in able if s in looks)
        middle = tolerated[len(tolerated) // 2]
        return replace(compare(cls.__name__, steps, curve, onset, middle), blind_steps=blind)


class _Blind(Exception):
    """A checkpoint at which a bumper cannot look."""


def compare(bumper: str, steps: Sequence[int], curve: Curve, onset: Onset, tolerated: float) -> EarlyWarning:
    """A bumper's curve against the behaviour's onset.

    The mechanism is there when the last level of the curve lies above the tolerated rate with its whole interval; its
    onset is where the rate last came halfway to that level.
    """
    base = EarlyWarning(bumper, "never", onset.low, onset.high, curve=curve)
    above = [segment for segment in curve.segments if segment.rate.low > tolerated]
    if not above:
        return base
    if curve.segments[-1] not in above:
        return replace(base, verdict="passing", passed=tuple((s.first, s.last) for s in above))
    came = curve.last_crossing
    passed = tuple((s.first, s.last) for s in above if s.last <= came.low and not came.at_first)
    lead_low = _earliest(steps, onset.low, onset.high) - came.high
    lead_high = onset.high - (curve.counts[0].step if came.at_first else _earliest(steps, came.low, came.high))
    verdict: Verdict = "early" if lead_low > 0 else "late" if lead_high < 0 else "no lead"
    return replace(
        base, verdict=verdict, low=came.low, high=came.high, lead_low=lead_low, lead_high=lead_high, passed=passed
    )


def _earliest(steps: Sequence[int], low: int, high: int) -> int:
    """The first checkpoint in (low, high]; `low` itself where the interval is that one checkpoint."""
    return next(s for s in steps if s > low or s == low == high)
