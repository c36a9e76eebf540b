"""The sample sizes that a plan sealed against what was sampled: nobody stops when it looks good, or goes on until it
does."""

from dataclasses import dataclass

from .evidence import Evidence
from .grades import Needed, Unit
from .reckon import unscored

# Names in a plan's `samples` that are compared -> unit of what is missing. Any other name is only sealed.
COMPARED: dict[str, Unit] = {
    "items": "items", "planted": "planted", "clean": "clean", "comparator": "comparator", "retrains": "retrains",
    "runs": "run",
}  # fmt: skip
WITH_RECALL = ("rate_below", "equivalent", "treated")  # claims that rest on a positive control


@dataclass(frozen=True)
class Departure:
    """A number of samples that is not the sealed one."""

    what: str
    sealed: int
    sampled: int

    @property
    def text(self) -> str:
        how = "stopped early" if self.sampled < self.sealed else "sampled on"
        said = f"{how}: {self.sealed:,} {self.what} were sealed, {self.sampled:,} were sampled"
        if self.what == "items" and self.sampled < self.sealed:
            said += f" (with `counts.planned: {self.sealed}` the others count as the worst case)"
        return said

    @property
    def needed(self) -> Needed | None:
        """What is missing can still be sampled as planned; what is too much cannot be taken back."""
        missing, unit = self.sealed - self.sampled, COMPARED[self.what]
        return Needed("that were planned and not sampled", unit, missing) if missing > 0 and unit != "run" else None


def sampled(e: Evidence) -> dict[str, int]:
    """What -> how many, of what is there. Items without a verdict were sampled, or count as the worst case."""
    out = {}
    if e.counts:
        out["items"] = e.counts.of + (unscored(e) or 0)
    if e.positive_control:
        out["planted"] = e.positive_control.of
    if e.negative_control:
        out["clean"] = e.negative_control.of
    if e.comparator:
        out["comparator"] = e.comparator.of
    if e.cause:
        out["retrains"] = len(e.cause.removed) + len(e.cause.random_removal)
    if e.attempts:
        out["runs"] = max(e.attempts.run, len(e.attempts.results), e.attempts.reported)
    return out


def departures(e: Evidence) -> list[Departure]:
    """Sealed numbers that were not kept. What is not in the evidence at all is another rule's matter."""
    there, sealed = sampled(e), e.plan.samples if e.plan else {}
    return [Departure(k, sealed[k], there[k]) for k in COMPARED if k in sealed and k in there and sealed[k] != there[k]]


def not_sealed(e: Evidence) -> list[str]:
    """What the claim rests on and whose number no plan fixed: it may have been stopped when it looked good."""
    rests = ["retrains"] if e.claim.kind == "cause" else ["items"]
    rests += ["planted"] if e.claim.kind in WITH_RECALL else []
    there, sealed = sampled(e), e.plan.samples if e.plan else {}
    return [k for k in rests if k in there and k not in sealed]


def not_compared(e: Evidence) -> list[str]:
    """Sealed numbers for which the evidence holds none."""
    there = sampled(e)
    return [k for k in (e.plan.samples if e.plan else {}) if k not in COMPARED or k not in there]
