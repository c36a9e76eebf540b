"""Dose and response: with part of the cause there should be part of the behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random

import numpy as np
from scipy import stats

from ..case import Case, Cause
from ..errors import EvidenceError
from ..judge.investigation import Investigation
from ..judge.rates import rate_difference
from ..recipes.edits import DropExamples, Edit, SetRewardWeight
from ..recipes.models import Recipe
from ..trace.causes import edits_without, ids_of
from ..trace.experiment import edited
from ..trace.retrain import Retrain, continued, planned
from ..types import Check
from .fixes import cause_rewind, confirmed_causes

NAME = "dose-response"


@dataclass(frozen=True)
class Response:
    """`k` of `n` requests showed the behaviour at a dose: 0 never had the cause, 1 is the run as it was."""

    dose: float
    k: int
    n: int


def dose_retrains(inv: Investigation, case: Case, doses: Sequence[float]) -> dict[float, Retrain]:
    """The run with the confirmed causes at each dose, from before they were first seen. The examples of a smaller dose
    are among those of a larger one. Raises EvidenceError for a cause that has no part: an environment."""
    causes = confirmed_causes(case)
    rewind = cause_rewind(inv, case, causes)
    runs, found = inv.directory / "runs", {}
    for dose in sorted(set(doses)):
        edits = [edit for cause in causes for edit in part_of(inv, cause, dose)]
        edits.sort(key=lambda edit: not isinstance(edit, DropExamples))
        recipe = edited(inv, edits, rewind, inv.run.recipe.seed)
        found[dose] = planned(continued(recipe, runs), runs, f"dose-{dose:g}")
    return found


def part_of(inv: Investigation, cause: Cause, dose: float) -> list[Edit]:
    """What leaves so much of a cause in: that share of its examples, or of its reward's weight."""
    ids = sorted(ids_of(inv, cause))
    if ids:
        Random(f"dose/{inv.settings.seed}/{cause.name}").shuffle(ids)
        kept = round(dose * len(ids))
        return [DropExamples(tuple(ids[kept:]))] if kept else edits_without(inv, [cause])
    if cause.kind == "reward":
        return [SetRewardWeight(cause.name, dose * _weight(inv.run.recipe, cause.name))]
    raise EvidenceError(f"the cause {cause.kind} {cause.name} has no part that could be left in: no dose can be given.")


def trend(responses: Sequence[Response]) -> tuple[float, float]:
    """(slope in rate per whole dose, one-sided p-value that the rate rises with the dose). Cochran (1954) and Armitage
    (1955), with the variance of all requests pooled. The slope is 0 and p 1 where all answers are alike.

    Raises EvidenceError for fewer than three different doses: two points show no course.
    """
    if len({r.dose for r in responses}) < 3:
        raise EvidenceError(f"a trend needs three different doses, got {len({r.dose for r in responses})}. Give more.")
    dose, k, n = (np.array([getattr(r, name) for r in responses], float) for name in ("dose", "k", "n"))
    total, rate = n.sum(), k.sum() / n.sum()
    centre = (n * dose).sum() / total
    spread = (n * (dose - centre) ** 2).sum()
    slope = (k * (dose - centre)).sum() / spread
    if rate in (0.0, 1.0):
        return 0.0, 1.0
    z = slope * sqrt(spread / (rate * (1 - rate)))
    return float(slope), float(stats.norm.sf(z))


def dose_check(responses: Sequence[Response], alpha: float = 0.05) -> Check:
    """Passed: the rate rises with the dose (trend test at `alpha`), and no smaller dose has a higher rate beyond chance
    (95% interval) than the next larger one. A behaviour that is full at a small dose already passes: the course is
    monotone, not linear."""
    ordered = sorted(responses, key=lambda r: r.dose)
    slope, p = trend(ordered)
    back = [(a, b) for a, b in zip(ordered, ordered[1:], strict=False) if rate_difference(a.k, a.n, b.k, b.n).low > 0]
    course = ", ".join(f"{r.k} of {r.n} at {r.dose:g}" for r in ordered)
    end = ends(ordered)
    detail = f"{course}; slope {slope:+.2f} a whole dose, {end}, trend p = {p:.2g}."
    if back:
        detail += f" It falls from dose {back[0][0].dose:g} to {back[0][1].dose:g}."
    elif p > alpha:
        detail += " The behaviour does not follow the dose: the cause that was named may not be the one, or not alone."
    return Check(NAME, p <= alpha and not back, detail, {"slope": slope, "p_value": p}, "sealed")


def ends(ordered: Sequence[Response]) -> str:
    """The difference between the largest and the smallest dose, with its interval."""
    a, b = ordered[-1], ordered[0]
    d = rate_difference(a.k, a.n, b.k, b.n)
    return f"from least to most {d.value:+.2f} (95% interval {d.low:+.2f} to {d.high:+.2f})"


def _weight(recipe: Recipe, name: str) -> float:
    rewards = (r for stage in recipe.stages for r in getattr(stage, "rewards", ()))
    return next(r.weight for r in rewards if r.name == name)
