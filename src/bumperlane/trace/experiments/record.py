"""Experiments as a case holds them: causes with their arms, and the record of every step with its cost."""

from collections.abc import Sequence
from typing import Any

from ...case import Arm, Cause, Experiment, ExperimentTest, Range
from ...recipes.edits import describe
from .conduct import ExperimentLog, Step
from .findings import Finding


def causes(log: ExperimentLog, horizon: int, seeds: Sequence[int]) -> list[Cause]:
    """The findings as causes of a case, in rank order.

    Args:
        horizon: the step that retrains went to.
        seeds: training seeds of the first, second ... retrain of an arm.
    """
    return [_cause(log, f, horizon, seeds) for f in log.findings]


def record(log: ExperimentLog) -> dict[str, Any]:
    """The whole log as JSON: hypotheses, steps in order with what they cost, what was not run, and the result."""
    return {
        "hypotheses": [
            {"kind": h.kind, "name": h.name, "removed": h.removed, "weight": h.weight, "why": h.why,
             "edits": [describe(e) for e in h.edits]}
            for h in log.layout.hypotheses
        ],
        "steps": [_step(log, step) for step in log.steps],
        "findings": [
            {"kind": f.kind, "name": f.name, "status": f.status, "why": f.why,
             "effect": Range.of(f.effect).model_dump() if f.effect else None, "probability": round(f.probability, 4)}
            for f in log.findings
        ],
        "retrains": log.retrains,
        "wall_s": round(log.wall_s, 1),
        "cpu_s": None if log.cpu_s is None else round(log.cpu_s, 1),
        "not_run": list(log.unrun),
        "note": log.note,
    }  # fmt: skip


def _step(log: ExperimentLog, step: Step) -> dict[str, Any]:
    retrains = [
        {"what": log.layout.title(order.condition), "design": order.condition.kind, "seed": order.number + 1,
         "from_step": order.condition.rewind, "k": o.k, "n": o.n, "cpu_s": o.cpu_s, "wall_s": o.wall_s, "run": o.run}
        for order, o in zip(step.batch.orders, step.outcomes, strict=True)
    ]  # fmt: skip
    return {
        "purpose": step.batch.purpose, "expected_information_nats": round(step.batch.gain, 4), "retrains": retrains,
        "cpu_s": step.cpu_s, "wall_s": step.wall_s, "likeliest": step.leading,
        "probability": round(step.probability, 4),
    }  # fmt: skip


def _cause(log: ExperimentLog, f: Finding, horizon: int, seeds: Sequence[int]) -> Cause:
    effect = f.effect if f.left is None else f.left
    return Cause(
        kind=f.kind, name=f.name, status=f.status, effect=Range.of(effect) if effect else None, predicted=None,
        why=f.why, experiment=_experiment(log, f, horizon, seeds),
    )  # fmt: skip


def _experiment(log: ExperimentLog, f: Finding, horizon: int, seeds: Sequence[int]) -> Experiment | None:
    if f.claim is None or f.effect is None:
        return None
    arms, cpu = [], []
    for condition in f.claim.arms:
        outcomes = log.results.get(condition, [])
        cpu += [o.cpu_s for o in outcomes]
        rates = [round(o.k / o.n, 4) for o in outcomes]
        arms.append(Arm(name=log.layout.title(condition), rates=rates, seeds=list(seeds[: len(rates)]),
                        removed=condition.removed, counts=[(o.k, o.n) for o in outcomes]))  # fmt: skip
    known = [c for c in cpu if c is not None]
    test = ExperimentTest(
        rate=log.rate, between_seeds=log.between_seeds, alpha=f.claim.alpha, part=f.claim.part,
        every_arm=[[(o.k, o.n) for o in outcomes] for outcomes in log.results.values()],
    )  # fmt: skip
    return Experiment(
        hypothesis=f"{f.kind} {f.name} brings the behaviour about", rewind=f.claim.without.rewind, horizon=horizon,
        arms=arms, effect=Range.of(f.effect), cpu_s=round(sum(known), 1) if len(known) == len(cpu) else None,
        test=test,
    )  # fmt: skip
