"""What a bumper makes of rollouts that are sampled for it: of the policy before reinforcement learning, and of the
subject."""

from typing import Any

import numpy as np

from ..case import Behaviour
from ..detect.logs.reading import log_reading
from ..errors import EvidenceError
from ..evidence.fresh_rollouts import FreshPlan, fresh_plan, fresh_rollouts, with_grades
from ..evidence.rollouts import rollouts_of
from ..types import Reading, Scores
from .investigation import Investigation
from .logged import behaviour_in


def sampled_reading(inv: Investigation, cls: type) -> Reading:
    """On the open half of the prompts; blind where the run holds nothing to sample from."""
    try:
        made = cls().at(inv.run)
        plan, rows = _sampled(inv, cls)
    except EvidenceError as error:
        family = cls.family  # type: ignore[attr-defined]
        return Reading(cls.__name__, family, Scores(np.zeros(0), (), cls.__name__), (), (), why_blind=str(error))
    return log_reading(made, rollouts_of(rows), phases=plan.phases)


def sampled_behaviour(inv: Investigation, cls: type, group: str) -> Behaviour:
    """Rollouts of the subject that are what the hit says. What is sampled is kept, so nothing is asked again."""
    plan, rows = _sampled(inv, cls)
    return behaviour_in(rollouts_of([row for row in rows if row["step"] >= plan.rounds]), cls.__name__, group)


def _sampled(inv: Investigation, cls: type) -> tuple[FreshPlan, list[dict[str, Any]]]:
    """Graded by the recipe's functions only where the bumper goes by grades."""
    plan = fresh_plan(inv.run, inv.step, inv.settings.seed)
    before = inv.subject(plan.before) if plan.before else inv.base
    rows = fresh_rollouts(plan, before, inv.subject(), inv.memo, inv.say)
    return plan, with_grades(plan, rows) if getattr(cls, "graded", False) else rows
