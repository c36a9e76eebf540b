"""What would settle a claim, cheapest first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .grades import GRADES, Finding, Unit
from .parts import Costs

WORDS: dict[Unit, tuple[str, str]] = {
    "items": ("item", "items"), "planted": ("planted item", "planted items"), "clean": ("clean item", "clean items"),
    "labels": ("label", "labels"), "retrains": ("retrain", "retrains"), "comparator": ("item", "items"),
    "attacks": ("attack", "attacks"), "rungs": ("rung", "rungs"), "bumpers": ("bumper", "bumpers"),
    "organisms": ("organism", "organisms"), "statement": ("", ""), "run": ("", ""),
}  # fmt: skip


@dataclass(frozen=True)
class NextEvidence:
    """One piece of evidence to get.

    Attributes:
        what: in words.
        amount, unit: how many of what; `statement` costs nothing but the saying, or is priced by nobody.
        codes: rules that it would lift, the first one is the one that asked for most of it.
        cost: in the unit of the prices; None where no price was given. A statement costs 0.
        settles: False where no amount of it is sure to.
    """

    what: str
    unit: Unit
    amount: int
    codes: tuple[str, ...]
    cost: float | None
    settles: bool
    planted: int = 0

    @property
    def text(self) -> str:
        one, many = WORDS[self.unit]
        amount = f"{self.amount:,} more {one if self.amount == 1 else many} " if one else ""
        with_planted = f" and {self.planted:,} more planted items" if self.planted else ""
        unsure = "" if self.settles else " (may not settle it)"
        return f"{amount}{self.what}{with_planted}{unsure}, for {', '.join(self.codes)}"


def next_evidence(findings: Sequence[Finding], costs: Costs) -> list[NextEvidence]:
    """What is asked for by rules that are not SUPPORTED: what surely settles before what may not, then by cost, then
    by how bad the rule's grade is. The same samples that several rules ask for are asked for once, as many as the
    greediest wants; items of another kind, such as from other templates, stand on a line of their own."""
    asked = [f for f in findings if f.grade not in (None, "SUPPORTED") and f.needed is not None]
    merged: dict[tuple[str, bool, str], tuple[NextEvidence, int]] = {}
    for f in sorted(asked, key=lambda f: -GRADES.index(f.grade or "SUPPORTED")):
        if f.needed is None:
            continue
        n = f.needed
        key, grade = (n.unit, n.settles, n.what), GRADES.index(f.grade or "SUPPORTED")
        piece = NextEvidence(n.what, n.unit, n.amount, (f.code,), None, n.settles, n.planted)
        if key in merged:
            held, grade = merged[key]
            most = max((held, piece), key=lambda x: (x.amount, x.planted))
            codes = (*most.codes, *(c for c in (*held.codes, *piece.codes) if c not in most.codes))
            piece = replace(most, codes=codes, planted=max(held.planted, piece.planted))
        merged[key] = (piece, grade)
    priced = [(replace(p, cost=_cost(p, costs)), grade) for p, grade in merged.values()]
    return [p for p, _ in sorted(priced, key=lambda x: _order(*x))]


def _order(piece: NextEvidence, grade: int) -> tuple:
    return not piece.settles, piece.cost is None, piece.cost or 0.0, -grade, piece.amount, piece.codes


def _cost(piece: NextEvidence, costs: Costs) -> float | None:
    if piece.unit == "statement":
        return 0.0
    each = costs.each.get(piece.unit)
    planted = costs.each.get("planted") if piece.planted else 0.0
    return None if each is None or planted is None else piece.amount * each + piece.planted * planted
