"""What a case has spent: looks, false alarms that were risked, and bumpers that are fresh no more."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..case import Case, LedgerEntry

CHECK, FIX = "check at step", "bounce"  # how looks and steers begin


@dataclass(frozen=True)
class Worn:
    """One bumper's line.

    Attributes:
        state: `fresh` was never looked with; `sealed` only verified; `looked at` has been read and steered nothing;
            `spent` has steered a trace or a fix, or its prompts reached the data of one.
        looks: by split.
        steered: what it steered, in order.
        in_data: the largest share of its prompts that one fix trained on; None where no fix added a prompt.
    """

    bumper: str
    state: str
    looks: dict[str, int] = field(default_factory=dict)
    steered: tuple[str, ...] = ()
    in_data: float | None = None


@dataclass(frozen=True)
class Spending:
    """A case's ledger in sum.

    Attributes:
        decisions: checks and verifications that could have been hits; each risks `alpha`.
        alpha: the chance of a false alarm that one decision risks, all contexts and bumpers together.
        risked: of one in all, at most: the union bound, which holds however the decisions hang together.
    """

    bumpers: tuple[Worn, ...]
    decisions: int
    alpha: float
    looks: int

    @property
    def risked(self) -> float:
        return min(1.0, self.decisions * self.alpha)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "risked": self.risked}


def spending(case: Case, known: Sequence[str] = ()) -> Spending:
    """Add a ledger up.

    Args:
        known: bumpers that could have looked; those that never did stand as fresh.
    """
    alpha = float(case.settings.get("alpha", 0.05))
    looks = [e for e in case.ledger if not e.steered]
    names = dict.fromkeys([*(e.bumper for e in case.ledger), *known])
    decided = {e.what for e in looks if e.what.startswith(CHECK)}
    verified = sum(e.steered.startswith(FIX) for e in {e.steered: e for e in case.ledger if e.steered}.values())
    return Spending(tuple(_worn(name, case) for name in names), len(decided) + verified, alpha, len(looks))


def _worn(name: str, case: Case) -> Worn:
    mine = [e for e in case.ledger if e.bumper == name]
    looks = {split: sum(e.split == split for e in mine if not e.steered) for split in ("open", "sealed", "spent")}
    steered = tuple(e.steered for e in mine if e.steered)
    parts = [p for b in case.bounces for p in b.contamination if p.bumper == name]
    shares = [max(p.copied, p.near or 0) / p.prompts for p in parts]
    told = {split: n for split, n in looks.items() if n}
    return Worn(name, _state(mine, looks, steered), told, steered, max(shares, default=None))


def _state(mine: Sequence[LedgerEntry], looks: dict[str, int], steered: Sequence[str]) -> str:
    if steered:
        return "spent"
    if not mine:
        return "fresh"
    return "looked at" if looks["open"] or looks["spent"] else "sealed"
