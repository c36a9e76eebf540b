"""Grades, and what a rule says."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Grade = Literal["SUPPORTED", "WEAK", "UNTESTED", "NOT SUPPORTED"]
GRADES: tuple[Grade, ...] = ("SUPPORTED", "WEAK", "UNTESTED", "NOT SUPPORTED")  # from best to worst
Unit = Literal[
    "statement",
    "run",
    "items",
    "planted",
    "clean",
    "labels",
    "retrains",
    "comparator",
    "attacks",
    "rungs",
    "bumpers",
    "organisms",
]


@dataclass(frozen=True)
class Needed:
    """Evidence that would settle a rule.

    Attributes:
        what: in words; after the amount and the unit, or alone for `statement` and `run`.
        unit: what is counted and what it costs by; `statement` is a fact to be written down, `run` the whole evaluation
            taken anew.
        amount: how many more of the unit.
        settles: whether it can lift the rule by itself; False where only another result could.
        planted: planted items that go with it.
    """

    what: str
    unit: Unit = "statement"
    amount: int = 1
    settles: bool = True
    planted: int = 0


@dataclass(frozen=True)
class Said:
    """What one rule says of one claim. `grade` is None where the rule does not apply; `why` then says why."""

    grade: Grade | None
    why: str
    needed: Needed | None = None


@dataclass(frozen=True)
class Finding:
    """A rule's word with its code. `assumes` is what the weakened claim takes for granted while the rule is not met."""

    code: str
    title: str
    grade: Grade | None
    why: str
    needed: Needed | None = None
    assumes: str = ""


def supported(why: str) -> Said:
    return Said("SUPPORTED", why)


def weak(why: str, needed: Needed | None = None) -> Said:
    return Said("WEAK", why, needed)


def untested(why: str, needed: Needed | None = None) -> Said:
    return Said("UNTESTED", why, needed)


def unsupported(why: str, needed: Needed | None = None) -> Said:
    return Said("NOT SUPPORTED", why, needed)


def beside(why: str) -> Said:
    """The rule does not apply to this claim."""
    return Said(None, why)


def worst(grades: Iterable[Grade | None]) -> Grade:
    """The worst of those that apply; UNTESTED where none does.

    NOT SUPPORTED is worse than UNTESTED: evidence that speaks against a claim must not hide behind evidence that is
    missing.
    """
    said = [g for g in grades if g is not None]
    return max(said, key=GRADES.index) if said else "UNTESTED"
