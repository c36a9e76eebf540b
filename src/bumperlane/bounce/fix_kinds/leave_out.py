"""Leave out: the confirmed cause as a whole, or the examples that attribution ranks highest."""

from dataclasses import dataclass
from typing import ClassVar

from ...recipes.edits import DropExamples
from ...trace.causes import edits_without
from ...trace.experiment import STRIDE
from ..fixes import Fix
from .attributed import attributed, no_attribution
from .contract import Forecast, Known, Traced, fix_kind


@fix_kind
@dataclass(frozen=True)
class Drop:
    """Applies wherever a cause is confirmed: it is what the trace's experiments did."""

    name: ClassVar[str] = "drop"
    about: ClassVar[str] = "leave the confirmed cause out and retrain from before it was first seen"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("seed",)

    def refusal(self, traced: Traced) -> str:
        own, seed = traced.inv.run.recipe.seed, traced.options.seed
        if seed in {own + STRIDE * k for k in (1, 2)}:
            return f"seed {seed} is that of a control: the retrain would be compared with itself. Give another."
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        best = max(traced.causes, key=lambda c: c.effect.value if c.effect else 0.0)
        if best.effect is None:
            why = "the cause is confirmed, and its effect was not measured"
        else:
            e = best.effect
            why = (
                f"retrains without {best.kind} {best.name} had {e.value:.2f} less of the behaviour than after an equal "
                f"random removal ({e.level:.0%} interval {e.low:.2f} to {e.high:.2f})"
            )
        known: Known = "measured" if best.effect else "derived"
        return Forecast(
            traced.effect, known, f"{why}.", traced.rewind, traced.steps - traced.rewind, traced.share_of(traced.ids)
        )  # fmt: skip

    def make(self, traced: Traced) -> Fix:
        return traced.fix(self.name, edits_without(traced.inv, traced.causes), traced.rewind, seed=traced.options.seed)


@fix_kind
@dataclass(frozen=True)
class DropTop:
    """Applies where attribution was heard. Examples of any tranche may be among those that go."""

    name: ClassVar[str] = "drop-top"
    about: ClassVar[str] = "leave out the k examples that attribution ranks highest, from whatever tranche"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("k", "method")

    def refusal(self, traced: Traced) -> str:
        why = no_attribution(traced)
        k, n = self._k(traced), len(traced.inv.examples)
        if not why and k >= n:
            return f"k is {k} and there are {n} examples: nothing would be left to train on. Give a smaller k."
        return why

    def forecast(self, traced: Traced) -> Forecast:
        k, n = self._k(traced), len(traced.ids)
        best = min(1.0, k / n) if n else 0.5
        why = (
            f"if the top {k} were all of the cause ({n} examples), {best:.0%} of it would go; that attribution finds "
            "them is assumed by half, and what is left may teach the behaviour alike."
        )
        # which examples go is not known yet, so the rewind point is not: from the start is the most that it can cost
        return Forecast(traced.effect * best / 2, "derived", why, 0, traced.steps, k / len(traced.inv.examples))

    def make(self, traced: Traced) -> Fix:
        found, k = attributed(traced), self._k(traced)
        top = found.top(k)
        hits = len(set(top) & set(traced.ids))
        note = f"chosen by {found.by}: the top {k}, of which {hits} are of the confirmed cause's {len(traced.ids)}"
        return traced.fix(self.name, [DropExamples(top)], traced.rewind_of(top), [note])

    def _k(self, traced: Traced) -> int:
        """As given; else as many as the confirmed cause has; 16 where it is no data."""
        return traced.options.k or len(traced.ids) or 16
