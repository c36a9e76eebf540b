"""One claim through all rules: its grade, its weakest points, what may be said instead, what to get next."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from .evidence import Evidence
from .grades import GRADES, Finding, Grade, worst
from .next_evidence import NextEvidence, next_evidence
from .reckon import condensed
from .rule_kinds.contract import load_rules
from .weaken import Weakened, weaken


@dataclass(frozen=True)
class Assessment:
    """What the rules say of one claim.

    Attributes:
        grade: the worst of the rules that apply.
        findings: one a rule, in order of code.
        weakened: the strongest statement that is true.
        next: what would settle it, cheapest first.
        on: the day for which it was assessed; an expired claim is not supported.
    """

    claim: str
    grade: Grade
    findings: tuple[Finding, ...]
    weakened: Weakened
    next: tuple[NextEvidence, ...]
    on: date
    notes: tuple[str, ...] = ()
    cost_unit: str = ""

    def at(self, grade: Grade) -> list[Finding]:
        return [f for f in self.findings if f.grade == grade]

    def as_dict(self) -> dict[str, Any]:
        held = {k: v for k, v in asdict(self).items() if k not in ("on", "next", "weakened")}
        return {
            **held,
            "on": self.on.isoformat(),
            "weakened": {**asdict(self.weakened), "provided": dict(self.weakened.provided)},
            "next": [{**asdict(n), "text": n.text} for n in self.next],
        }


def assess(e: Evidence, on: date | None = None) -> Assessment:
    """Put a claim through every rule. The same evidence and day give the same assessment."""
    day = on or date.today()
    e = condensed(e)
    findings = tuple(rule.find(e, day) for rule in load_rules().values())
    grade = worst(f.grade for f in findings)
    name = e.claim.id or e.claim.behaviour
    following = tuple(next_evidence(findings, e.costs))
    return Assessment(name, grade, findings, weaken(e, findings), following, day, tuple(e.notes), e.costs.unit)


def exit_code(grades: Sequence[tuple[Grade, Grade]]) -> int:
    """0 when every claim is as good as it says, 1 when one is not, 3 when nothing is worse than untested.

    Args:
        grades: of each claim (its grade, the grade that it is stated with: SUPPORTED, or WEAK).
    """
    fails = [g for g, stated in grades if GRADES.index(g) > GRADES.index(stated)]
    if not fails:
        return 0 if grades else 3
    return 3 if all(g == "UNTESTED" for g in fails) else 1
