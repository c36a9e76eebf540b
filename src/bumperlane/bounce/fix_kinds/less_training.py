"""Less or other training on the same data: rewind only, and stop earlier."""

from dataclasses import dataclass
from typing import ClassVar

from ...recipes.edits import apply_edits
from ...trace.experiment import STRIDE
from ...trace.retrain import before_last, ending_at
from ..fixes import Fix
from .contract import Forecast, Traced, fix_kind


@fix_kind
@dataclass(frozen=True)
class RewindOnly:
    """Applies always. It tells whether the behaviour came by chance of seed and order, for the cause stays."""

    name: ClassVar[str] = "rewind-only"
    about: ClassVar[str] = (
        "retrain from before the cause with another seed and order of the data, and nothing else changed"
    )
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("seed",)

    def refusal(self, traced: Traced) -> str:
        if traced.options.seed == traced.inv.run.recipe.seed:
            return f"seed {traced.options.seed} is the run's own: the retrain would be the same. Give another."
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        rates = [rate for c in traced.causes if c.experiment for rate in c.experiment.arms[-1].rates]
        left = traced.steps - traced.rewind
        if not rates:
            why = "no retrain with another seed was made; the cause stays."
            return Forecast(0.0, "guessed", why, traced.rewind, left)
        mean = sum(rates) / len(rates)
        why = (
            f"{len(rates)} retrains of the trace kept the cause under other seeds (and left random examples out): the "
            f"behaviour came up at a rate of {mean:.2f}."
        )
        return Forecast(max(0.0, traced.rate - mean), "measured", why, traced.rewind, left)

    def make(self, traced: Traced) -> Fix:
        seed = traced.options.seed
        seed = traced.inv.run.recipe.seed + STRIDE if seed is None else seed
        return traced.fix(self.name, [], traced.rewind, seed=seed)


@fix_kind
@dataclass(frozen=True)
class StopEarlier:
    """Applies where a checkpoint from before the onset was kept. It is deployed as it is; nothing is trained.

    With a learning rate that depends on the number of steps, the checkpoint is that of the longer run.
    """

    name: ClassVar[str] = "stop-earlier"
    about: ClassVar[str] = "end the training at the last checkpoint before the onset"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ()

    def refusal(self, traced: Traced) -> str:
        step, first = self._step(traced), before_last(traced.inv.run.recipe)
        if step < 1:
            return "no checkpoint was kept between the start and the onset: the base would be all that is left."
        if step <= first:
            return f"the onset lies before the last stage (step {first}), which would be left out as a whole. Use drop."
        return ""

    def forecast(self, traced: Traced) -> Forecast:
        step = self._step(traced)
        curve = traced.case.onset.curve if traced.case.onset else []
        at = next((point.rate.value for point in curve if point.step == step), None)
        lost = (traced.inv.step - step) / traced.inv.step
        seen = traced.inv.run.exposure(traced.ids) if traced.ids else None
        taught = "whether the cause was trained on by then is not known"
        if seen is not None:
            by = f"had been trained on since step {seen}" if seen <= step else f"was first trained on at step {seen}"
            taught = f"the cause {by}"
        why = f"the behaviour is not there yet at step {step}, {taught}; {lost:.0%} of the training is given up."
        return Forecast(max(0.0, traced.rate - (at or 0.0)), "derived", why, step, 0, lost)

    def make(self, traced: Traced) -> Fix:
        step, recipe = self._step(traced), traced.inv.run.recipe
        edits = ending_at(recipe, step)
        note = f"the checkpoint of step {step} is deployed as it is, instead of that of step {traced.inv.step}"
        shorter = apply_edits(recipe, edits) if edits else recipe
        return Fix(self.name, shorter, step, (traced.meter.name,), kept=step, notes=(note,))

    def _step(self, traced: Traced) -> int:
        low = traced.case.onset.low if traced.case.onset else 0
        return max((c.step for c in traced.inv.run.checkpoints if c.step <= low), default=0)
