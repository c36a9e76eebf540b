"""What every retrain of an experiment shares: where it starts, how far it goes, and how it is measured."""

from collections.abc import Sequence

from ..case import Onset
from ..judge.investigation import Investigation
from ..recipes.edits import Edit, RewindTo, SetHyperparameter, apply_edits
from ..recipes.models import Recipe, SftStage
from ..recipes.run import Run
from .meter import Count, Meter
from .retrain import before_last, can_stop_early, ending_at

STRIDE = 1009  # between the seeds of retrains; the first keeps the recipe's own


def rewind_step(run: Run, ids: Sequence[str], onset: Onset) -> int:
    """The last checkpoint before the examples were first trained on, and before onset. 0 when that is not known."""
    seen = run.exposure(ids)
    if seen is None:
        return 0
    return max((c.step for c in run.checkpoints if c.step < seen and c.step <= onset.low), default=0)


def horizon_of(inv: Investigation, onset: Onset) -> int:
    """The step that retrains go to: a quarter of the way beyond the onset, at least two checkpoint gaps, for another
    seed may learn later. The whole run where the learning rate depends on the number of steps, or a command trains."""
    last = inv.step
    if not can_stop_early(inv.run.recipe):
        return last
    steps = [c.step for c in inv.run.checkpoints if c.step <= last]
    gap = max((b - a for a, b in zip(steps, steps[1:], strict=False)), default=1)
    soon = onset.high + max(2 * gap, onset.high // 4)
    return min(last, max(soon, before_last(inv.run.recipe) + 1))


def reward_step(run: Run) -> int:
    """The last checkpoint before any reward was paid: what a retrain with other rewards can start from. 0 when that is
    not known."""
    paid = 0
    for stage in run.recipe.stages:
        if not isinstance(stage, SftStage) and stage.rewards:
            return max((c.step for c in run.checkpoints if c.step <= paid), default=0)
        if stage.steps is None:
            return 0
        paid += stage.steps
    return 0


def edited(inv: Investigation, edits: Sequence[Edit], rewind: int, seed: int, steps: int | None = None) -> Recipe:
    """The run's recipe with edits, started at `rewind`, with another seed and maybe fewer steps."""
    back = RewindTo(inv.run.path, rewind) if rewind else RewindTo(None)
    more: list[Edit] = [SetHyperparameter("seed", seed)]
    if steps is not None:
        more += ending_at(inv.run.recipe, steps)
    return apply_edits(inv.run.recipe, [*edits, *more, back])


def measure_retrain(inv: Investigation, meter: Meter, run: Run, most: int = 24) -> Count:
    """The behaviour at the end of a retrain, over the open requests."""
    inv.ledger.look(meter.name, "open", f"retrain {run.path.name}", key=f"retrain/{run.path.name}")
    return meter.count(inv.subject(run=run), meter.requests[:most])
