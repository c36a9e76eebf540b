"""The laboratory of real retrains: orders become edited recipes, any trainer carries them out, a measure counts."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from ...case import Onset
from ...judge.investigation import Investigation
from ...recipes.edits import DropExamples, Edit, SetHyperparameter, apply_edits
from ...recipes.grpo_prompts import Prompt, read_environment
from ...recipes.models import SftStage
from ...recipes.run import Run
from ..experiment import STRIDE, edited, horizon_of, measure_retrain, reward_step, rewind_step
from ..meter import Meter
from ..retrain import Retrain, carry_out, default_jobs, planned
from .conduct import ExperimentLog, conduct
from .designs import Condition, Layout, lay_out
from .draws import draw_like
from .hypotheses import Hypothesis
from .planner import ExperimentSettings, Order, Outcome, Planner

MOST_REQUESTS = 24
Measure = Callable[[Run], tuple[int, int]]
CarryOut = Callable[[Sequence[Retrain]], Sequence[Run]]


@dataclass
class RetrainLaboratory:
    """Retrains of an investigation's run.

    Whatever trains, trains here: built-in stages, or the user's command, which is given the edited recipe file.

    Args:
        horizon: the step that every retrain goes to.
        carry: trains what is not trained yet, and returns the runs in order.
        measure: (k, n) of a finished run.
        pace_s: seconds a step, as far as known; learned from the first retrains otherwise.
    """

    inv: Investigation
    layout: Layout
    horizon: int
    carry: CarryOut
    measure: Measure
    jobs: int = 1
    requests: int = MOST_REQUESTS
    pace_s: float | None = None

    def cost_s(self, condition: Condition) -> float | None:
        steps = max(1, self.horizon - condition.rewind)
        return None if self.pace_s is None else steps * self.pace_s

    def seed(self, number: int) -> int:
        """The training seed of an arm's `number`-th retrain; the first has the recipe's own."""
        return self.inv.run.recipe.seed + STRIDE * number

    def retrain(self, order: Order) -> Retrain:
        """The edited recipe of an order, and where its run lies."""
        seed, condition = self.seed(order.number), order.condition
        recipe = edited(self.inv, self.edits(order), condition.rewind, seed, self.horizon)
        named = "-".join(self.layout.hypotheses[i].name for i in condition.out)
        name = {"random removal": "random-removal", "unchanged": "unchanged", "half dose": f"half-{named}"}.get(
            condition.kind, f"without-{named}"
        )
        return planned(recipe, self.inv.directory / "runs", re.sub(r"[^\w.-]+", "-", name)[:60])

    def edits(self, order: Order) -> list[Edit]:
        """What an order leaves out. Examples go before whole tranches: one that is gone has none to drop."""
        condition = order.condition
        if condition.draw >= 0:
            draw = self.layout.draws[condition.draw]
            key = f"random removal/{condition.removed}/{condition.rewind}/{self.seed(order.number)}"
            return self._leave(draw_like(draw.like, draw.pool, self._lengths, condition.removed, key))
        if condition.kind == "half dose":
            ids = self.layout.hypotheses[condition.out[0]].ids
            key = f"half/{self.layout.hypotheses[condition.out[0]].title}/{self.seed(order.number)}"
            return self._leave(draw_like(ids, ids, self._lengths, condition.removed, key))
        mine = [edit for i in condition.out for edit in self.layout.hypotheses[i].edits]
        return sorted(mine, key=lambda edit: not isinstance(edit, DropExamples))

    def carry_out(self, orders: Sequence[Order]) -> list[Outcome]:
        """Train and measure. Found work counts with what it took when it was done."""
        runs = self.carry([self.retrain(order) for order in orders])
        outcomes = [self._outcome(run) for run in runs]
        if self.pace_s is None:
            paces = [o.wall_s / max(1, self.horizon - order.condition.rewind)
                     for order, o in zip(orders, outcomes, strict=True) if o.wall_s]  # fmt: skip
            self.pace_s = float(np.median(paces)) if paces else None
        return outcomes

    def _outcome(self, run: Run) -> Outcome:
        began = time.monotonic()
        k, n = self.measure(run)
        what = {"kind": "measured-in-s", "run": run.path.name, "k": k, "n": n}
        seconds = self.inv.memo.json(what, lambda: round(time.monotonic() - began, 2))
        wall, cpu = run.record.get("wall_s"), run.record.get("cpu_s")
        return Outcome(k, n, cpu, None if wall is None else wall + seconds, str(run.path))

    def _leave(self, ids: Sequence[str]) -> list[Edit]:
        """Edits that drop these examples, or prompts from their environments."""
        gone = set(ids)
        edits: list[Edit] = [DropExamples(tuple(mine))] if (mine := [i for i in ids if i in self._example_ids]) else []
        for i, stage in enumerate(self.inv.run.recipe.stages):
            for j, environment in enumerate(() if isinstance(stage, SftStage) else stage.environments):
                prompts = [p.id for p in read_environment(environment.path, environment.name) if p.id in gone]
                if prompts:
                    drop = list(dict.fromkeys([*environment.drop, *prompts]))
                    edits.append(SetHyperparameter(f"stages.{i}.environments.{j}.drop", drop))
        return edits

    @cached_property
    def _example_ids(self) -> set[str]:
        return {e.id for e in self.inv.examples}

    @cached_property
    def _lengths(self) -> dict[str, int]:
        """Characters of each example or prompt."""
        own = {e.id: len(e.text) + sum(len(m.content) for m in e.messages) for e in self.inv.examples}
        return own | {p.id: len(p.text) for p in prompts_of(self.inv)}


def prompts_of(inv: Investigation) -> list[Prompt]:
    """All prompts that the run's recipe draws from."""
    found = []
    for stage in inv.run.recipe.stages:
        for environment in () if isinstance(stage, SftStage) else stage.environments:
            mine = read_environment(environment.path, environment.name)
            found += [p for p in mine if p.id not in set(environment.drop)]
    return found


def run_experiments(
    inv: Investigation,
    meter: Meter,
    onset: Onset,
    hypotheses: Sequence[Hypothesis],
    rate: float,
    settings: ExperimentSettings | None = None,
) -> ExperimentLog:
    """Decide between hypotheses by retraining. `rate`: of the behaviour, as the hit showed it.

    Killed at any moment, the next call finds the finished retrains and goes on as it would have.

    Raises SettingError for edits that the recipe does not allow, before anything is trained; EvidenceError for ids that
    it does not have; TrainingError when a retrain fails.
    """
    settings = settings or ExperimentSettings()
    for h in hypotheses:
        apply_edits(inv.run.recipe, h.edits)
    laboratory = laboratory_of(inv, meter, onset, layout_of(inv, onset, hypotheses), settings.jobs)
    return conduct(Planner.of(laboratory.layout, rate, settings, laboratory), inv.say)


def laboratory_of(inv: Investigation, meter: Meter, onset: Onset, layout: Layout, jobs: int) -> RetrainLaboratory:
    """The laboratory of an investigation; `jobs` retrains at a time, 0: one a core."""
    jobs = jobs or default_jobs()

    def measure(run: Run) -> tuple[int, int]:
        count = measure_retrain(inv, meter, run, MOST_REQUESTS)
        return count.k, count.n

    carry = partial(_carry, inv, jobs)
    return RetrainLaboratory(inv, layout, horizon_of(inv, onset), carry, measure, jobs, pace_s=pace(inv.run))


def layout_of(inv: Investigation, onset: Onset, hypotheses: Sequence[Hypothesis]) -> Layout:
    """What can be retrained to tell these hypotheses apart."""
    pools = [[e.id for e in inv.examples], [p.id for p in prompts_of(inv)]]
    start = reward_step(inv.run) if all(h.ids or h.kind == "reward" for h in hypotheses) else 0
    return lay_out(hypotheses, pools, lambda ids: rewind_step(inv.run, ids, onset), start)


def pace(run: Run) -> float | None:
    """Seconds a step: the median of the run's log, else its wall time over its steps, else unknown."""
    log = [entry["seconds"] for entry in run.log() if "seconds" in entry]
    if log:
        return float(np.median(log))
    wall, steps = run.record.get("wall_s"), run.last.step - (run.start.step if run.start else 0)
    return wall / steps if wall and steps > 0 else None


def _carry(inv: Investigation, jobs: int, retrains: Sequence[Retrain]) -> Sequence[Run]:
    return carry_out(retrains, jobs, inv.say)
