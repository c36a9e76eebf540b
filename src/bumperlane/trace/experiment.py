"""Is it the cause? Retrain without the suspect, and without as many examples drawn at random from the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ..case import Arm, Experiment, Onset, Range
from ..errors import EvidenceError
from ..judge.investigation import Investigation
from ..judge.rates import clustered_difference
from ..recipes.edits import DropExamples, DropTranche, Edit, RewindTo, SetHyperparameter, apply_edits
from ..recipes.models import Recipe
from ..recipes.run import Run
from ..types import Interval
from .meter import Count, Meter
from .retrain import Retrain, can_stop_early, carry_out, planned

STRIDE = 1009  # between the seeds of retrains; the first keeps the recipe's own


@dataclass(frozen=True)
class Design:
    """What is retrained: from which step, to which, with which seeds, and what each arm leaves out."""

    suspect: str
    rewind: int
    horizon: int
    seeds: tuple[int, ...]
    without: tuple[Edit, ...]
    control: dict[int, tuple[Edit, ...]]
    removed: int


def design(inv: Investigation, suspect: str, onset: Onset, seeds: int) -> Design:
    """Rewind to before the suspect was first seen; stop once the behaviour should have been there for a while.

    The horizon lies a quarter of the way beyond the onset, at least two checkpoint gaps: another seed may learn later.
    When the learning rate depends on the number of steps, or a command trains, the whole run is repeated.
    """
    ids = [e.id for e in inv.examples if e.tranche == suspect]
    others = sorted(e.id for e in inv.examples if e.tranche != suspect)
    if len(others) <= len(ids):
        raise EvidenceError(
            f"tranche {suspect!r} holds {len(ids)} of {len(ids) + len(others)} examples: as many cannot be drawn from "
            "the rest, so there is no control. Split it."
        )
    chosen = tuple(inv.run.recipe.seed + STRIDE * i for i in range(seeds))
    control: dict[int, tuple[Edit, ...]] = {
        seed: (DropExamples(tuple(sorted(Random(f"{suspect}/{seed}").sample(others, len(ids))))),) for seed in chosen
    }
    rewind = rewind_step(inv.run, ids, onset)
    return Design(suspect, rewind, _horizon(inv, onset), chosen, (DropTranche(suspect),), control, len(ids))


def rewind_step(run: Run, ids: Sequence[str], onset: Onset) -> int:
    """The last checkpoint before the examples were first trained on, and before onset. 0 when that is not known."""
    seen = run.exposure(ids)
    if seen is None:
        return 0
    return max((c.step for c in run.checkpoints if c.step < seen and c.step <= onset.low), default=0)


def _horizon(inv: Investigation, onset: Onset) -> int:
    last = inv.step
    if not can_stop_early(inv.run.recipe):
        return last
    steps = [c.step for c in inv.run.checkpoints if c.step <= last]
    gap = max((b - a for a, b in zip(steps, steps[1:], strict=False)), default=1)
    return min(last, onset.high + max(2 * gap, onset.high // 4))


def edited(inv: Investigation, edits: Sequence[Edit], rewind: int, seed: int, steps: int | None = None) -> Recipe:
    """The run's recipe with edits, started at `rewind`, with another seed and maybe fewer steps."""
    back = RewindTo(inv.run.path, rewind) if rewind else RewindTo(None)
    more: list[Edit] = [SetHyperparameter("seed", seed)]
    if steps is not None and can_stop_early(inv.run.recipe):
        more.append(SetHyperparameter("stages.0.steps", steps))
    return apply_edits(inv.run.recipe, [*edits, *more, back])


def retrains_of(inv: Investigation, plan: Design) -> list[Retrain]:
    """All retrains of an experiment: the suspect's arm, then the control's, seed by seed."""
    runs = inv.directory / "runs"
    arms = [(f"without-{plan.suspect}", lambda s: plan.without), ("random-removal", lambda s: plan.control[s])]
    return [
        planned(edited(inv, edits(seed), plan.rewind, seed, plan.horizon), runs, name)
        for name, edits in arms
        for seed in plan.seeds
    ]


def run_experiment(inv: Investigation, meter: Meter, plan: Design, jobs: int) -> tuple[Experiment, Interval]:
    """Carry the experiment out. Returns it, and the rate of the behaviour that is left without the suspect."""
    runs = carry_out(retrains_of(inv, plan), jobs, inv.say)
    counts = [measure_retrain(inv, meter, run) for run in runs]
    n = len(plan.seeds)
    without, control = counts[:n], counts[n:]
    effect = clustered_difference([(c.k, c.n) for c in control], [(c.k, c.n) for c in without])
    found = clustered_difference([(c.k, c.n) for c in without], [(0, c.n) for c in without])
    left = Interval(max(found.value, 0.0), max(found.low, 0.0), found.high, found.level)
    arms = [
        Arm(name=f"without {plan.suspect}", rates=[c.rate for c in without], seeds=list(plan.seeds),
            removed=plan.removed),
        Arm(name="without as many at random", rates=[c.rate for c in control], seeds=list(plan.seeds),
            removed=plan.removed),
    ]  # fmt: skip
    cpu = [float(r.record["cpu_s"]) for r in runs if "cpu_s" in r.record]
    experiment = Experiment(
        hypothesis=f"tranche {plan.suspect} brings the behaviour about", rewind=plan.rewind, horizon=plan.horizon,
        arms=arms, effect=Range.of(effect), cpu_s=round(sum(cpu), 1) if len(cpu) == len(runs) else None,
    )  # fmt: skip
    return experiment, left


def measure_retrain(inv: Investigation, meter: Meter, run: Run, most: int = 24) -> Count:
    """The behaviour at the end of a retrain, over the open requests."""
    inv.ledger.look(meter.name, "open", f"retrain {run.path.name}", key=f"retrain/{run.path.name}")
    return meter.count(inv.subject(run=run), meter.requests[:most])
