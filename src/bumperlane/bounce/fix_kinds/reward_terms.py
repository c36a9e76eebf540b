"""Reward terms: pay another weight for one, pay it no more, or put a repaired function in its place."""

from dataclasses import dataclass
from typing import ClassVar

from ...recipes.edits import Edit, SetHyperparameter, SetRewardWeight
from ...recipes.models import Recipe, Reward, SftStage
from ...recipes.schema import nearest
from ...trace.experiment import reward_step
from ..fixes import Fix
from .contract import Forecast, Traced, fix_kind

USUAL = 0.25  # of the weight that it had


@fix_kind
@dataclass(frozen=True)
class ChangeReward:
    """Applies to reward terms: those that are confirmed causes, or one that is named."""

    name: ClassVar[str] = "reward"
    about: ClassVar[str] = "give the reward term another weight, or a repaired function, and retrain"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("of", "weight", "function")

    def refusal(self, traced: Traced) -> str:
        o, known = traced.options, sorted({r.name for _, _, r in _terms(traced.inv.run.recipe)})
        if not known:
            return "no stage of the recipe lists reward terms, so there is none to change."
        if o.of and o.of not in known:
            return f"unknown reward term {o.of!r}. {nearest(o.of, known, 'reward terms')}"
        if not o.of and not _named(traced):
            return f"no confirmed cause is a reward term. Name one with --of. Known: {', '.join(known)}."
        if o.weight == 0 and not o.function:
            for i, stage in enumerate(traced.inv.run.recipe.stages):
                paid = {r.name for r in _rewards(stage) if r.weight}
                if paid and paid <= set(_named(traced)):
                    return f"stage {i} would pay for nothing. Give a weight above 0, or a repaired function."
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        o, rewind = traced.options, reward_step(traced.inv.run)
        proved = bool(set(_named(traced)) & {c.name for c in traced.causes if c.kind == "reward"})
        left = traced.steps - rewind
        if o.function:
            why = "what a repaired function pays for is not known before it is tried."
            return Forecast(traced.effect / 2 if proved else 0.0, "guessed", why, rewind, left)
        fall = 1 - (USUAL if o.weight is None else min(1.0, abs(o.weight) / self._old(traced)))
        why = (
            f"its weight falls by {fall:.0%}; that the behaviour falls in proportion is assumed, and a small reward "
            "can be enough for it."
        )
        if o.weight == 0 and proved:
            return Forecast(traced.effect, "measured", "the trace's retrains left it out in this way.", rewind, left)
        return Forecast(traced.effect * fall if proved else 0.0, "derived", why, rewind, left)

    def make(self, traced: Traced) -> Fix:
        edits: list[Edit] = []
        for name in _named(traced):
            if traced.options.function:
                edits += [
                    SetHyperparameter(f"stages.{i}.rewards.{j}.function", traced.options.function)
                    for i, j, r in _terms(traced.inv.run.recipe)
                    if r.name == name
                ]
            if traced.options.weight is not None or not traced.options.function:
                old = next(r.weight for _, _, r in _terms(traced.inv.run.recipe) if r.name == name)
                edits.append(SetRewardWeight(name, self._new(traced, old)))
        return traced.fix(self.name, edits, reward_step(traced.inv.run))

    def _new(self, traced: Traced, old: float) -> float:
        return USUAL * old if traced.options.weight is None else traced.options.weight

    def _old(self, traced: Traced) -> float:
        names = _named(traced)
        return max(abs(r.weight) for _, _, r in _terms(traced.inv.run.recipe) if r.name in names) or 1.0


def _named(traced: Traced) -> list[str]:
    return [traced.options.of] if traced.options.of else [c.name for c in traced.causes if c.kind == "reward"]


def _rewards(stage: object) -> tuple[Reward, ...]:
    return () if isinstance(stage, SftStage) else stage.rewards  # type: ignore[attr-defined]


def _terms(recipe: Recipe) -> list[tuple[int, int, Reward]]:
    """(stage, place, term)."""
    return [(i, j, r) for i, stage in enumerate(recipe.stages) for j, r in enumerate(_rewards(stage))]
