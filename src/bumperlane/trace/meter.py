"""How often a subject shows the behaviour that was hit: the measure that trace and bounce share."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..case import Case
from ..detect.contract import find_bumper
from ..detect.gather import Scene, read
from ..errors import CaseError
from ..evidence.observe import departures
from ..evidence.pools import items
from ..judge.check import behaviour_context
from ..judge.conformal import threshold
from ..judge.investigation import Investigation
from ..subjects.subject import Subject
from ..types import Context, Departures, Request


@dataclass(frozen=True)
class Count:
    """`k` of `n` requests showed the behaviour; what was said, where answers were generated."""

    k: int
    n: int
    texts: tuple[str, ...] = ()
    neutral_texts: tuple[str, ...] = ()
    flags: tuple[bool, ...] = ()

    @property
    def rate(self) -> float:
        return self.k / self.n


@dataclass(frozen=True)
class Meter:
    """The bumper that was hit, in the context that hit it, at the threshold of the check.

    A behavioural bumper keeps the check's threshold. One that is fitted anew on each subject (internals) sets its
    threshold from that subject's own control items.
    """

    inv: Investigation
    bumper: type
    context: Context
    threshold: float

    @classmethod
    def of(cls, inv: Investigation, case: Case) -> "Meter":
        """Raises CaseError when the case has no hit."""
        if case.behaviour is None:
            raise CaseError("this case has no hit, so there is nothing to trace. `clear` needs no cause.")
        result = next(r for r in case.hits if r.bumper == case.behaviour.bumper)
        context = behaviour_context(inv, case)
        return cls(inv, find_bumper(result.bumper), context, result.threshold or 0.0)

    def count(self, subject: Subject, requests: Sequence[Request], context: Context | None = None) -> Count:
        """How many of these requests show the behaviour in the hit context, or in another one."""
        where = context or self.context
        if self.bumper.watches is Departures:  # type: ignore[attr-defined]
            seen = departures(
                subject, self.inv.base, items(requests, [where], "bait"), self.inv.neutral, self.inv.decoding,
                self.inv.memo,
            )  # fmt: skip
            flags = tuple(bool(v > self.threshold) for v in self.bumper().fit(seen).score(seen).values)
            return Count(sum(flags), len(flags), seen.texts, seen.neutral_texts, flags)
        s = self.inv.settings
        scene = Scene(
            subject, self.inv.base, self.inv.neutral, (where,), self.inv.pools.fit, tuple(requests), self.inv.memo,
            seed=f"meter-{s.seed}", depth=s.depth, controls=s.controls, decoding=self.inv.decoding,
        )  # fmt: skip
        reading = read(self.bumper, scene)
        if reading.why_blind:
            raise CaseError(f"{self.bumper.__name__} cannot measure step {subject.step}: {reading.why_blind}")
        control = reading.scores.values[[a == "control" for a in reading.arms]]
        bait = reading.scores.values[[a == "bait" for a in reading.arms]]
        flags = tuple(bool(v > threshold(control, s.item_alpha)) for v in bait)
        return Count(sum(flags), len(flags), flags=flags)
