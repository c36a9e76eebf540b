"""A smaller dose: show a tranche's examples less often."""

from dataclasses import dataclass
from typing import ClassVar

from ...recipes.edits import Reweight
from ...recipes.schema import nearest
from ..fixes import Fix
from .contract import Forecast, Traced, fix_kind

USUAL = 0.25  # of the weight that it had


@fix_kind
@dataclass(frozen=True)
class ReweightTranche:
    """Applies to tranches: those that are confirmed causes, or one that is named."""

    name: ClassVar[str] = "reweight"
    about: ClassVar[str] = "show the cause's tranche less often and retrain from before it was first seen"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("of", "weight")

    def refusal(self, traced: Traced) -> str:
        o, known = traced.options, [t.name for t in traced.inv.run.recipe.tranches]
        if o.of and o.of not in known:
            return f"unknown tranche {o.of!r}. {nearest(o.of, known, 'tranches')}"
        if o.weight is not None and o.weight <= 0:
            return f"weight must be above 0, got {o.weight:g}. To show a tranche no more, use drop."
        if not o.of and not _tranches(traced):
            kinds = ", ".join(f"{c.kind} {c.name}" for c in traced.causes)
            return (
                f"no confirmed cause is a whole tranche ({kinds}). Name one with --of, or use drop, relabel or filter."
            )
        same = [n for n, old, new in self._weights(traced) if old == new]
        return f"tranche {same[0]!r} has the weight {o.weight:g} already." if same else ""

    def forecast(self, traced: Traced) -> Forecast:
        ids = self._ids(traced)
        before = traced.share_of(ids)
        smaller = sum(traced.share_of(_of(traced, n)) * new / old for n, old, new in self._weights(traced))
        after = smaller / (smaller + 1 - before) if smaller + 1 > before else 1.0
        fall = 1 - after / before if before else 0.0
        caused = set(ids) & set(traced.ids)
        part = len(caused) / len(traced.ids) if traced.ids else 0.0
        why = (
            f"its share of the training falls from {before:.0%} to {after:.0%}; that the behaviour falls in proportion "
            "to the dose is assumed, and a small dose can be enough for it."
        )
        rewind = traced.rewind_of(ids)
        effect = max(0.0, traced.effect * part * fall)
        return Forecast(effect, "derived", why, rewind, traced.steps - rewind, max(0.0, before - after))

    def make(self, traced: Traced) -> Fix:
        edits = [Reweight(name, new) for name, _, new in self._weights(traced)]
        return traced.fix(self.name, edits, traced.rewind_of(self._ids(traced)))

    def _weights(self, traced: Traced) -> list[tuple[str, float, float]]:
        """(tranche, weight before, weight after)."""
        o, old = traced.options, {t.name: t.weight for t in traced.inv.run.recipe.tranches}
        names = [o.of] if o.of else _tranches(traced)
        return [(n, old[n], USUAL * old[n] if o.weight is None else o.weight) for n in names]

    def _ids(self, traced: Traced) -> list[str]:
        return [id for name, _, _ in self._weights(traced) for id in _of(traced, name)]


def _tranches(traced: Traced) -> list[str]:
    return [c.name for c in traced.causes if c.kind == "tranche"]


def _of(traced: Traced, name: str) -> list[str]:
    return [e.id for e in traced.inv.examples if e.tranche == name]
