"""What a bumper makes of the log of a run."""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EvidenceError
from ...evidence.checked_rollouts import Phases, rollouts_in
from ...evidence.rollout_table import RolloutTable
from ...types import ROLLOUTS, Reading, Scores, Split
from ..contract import spring_or_say


def run_reading(made: Any, run: Path) -> Reading:
    """The reading of a run directory; blind when it has no log of rollouts."""
    try:
        table = rollouts_in(run)
    except EvidenceError as error:
        name = type(made).__name__
        return Reading(name, type(made).family, Scores(np.zeros(0), (), name), (), (), why_blind=str(error))
    return log_reading(made, table)


def log_reading(made: Any, table: RolloutTable, split: Split = "open", phases: Phases | None = None) -> Reading:
    """Spring the trap, deal the rollouts, score them. What the bumper cannot use (EvidenceError) makes it blind.

    Args:
        made: a bumper of the family logs, which has `dealt(table)`; or one that has rollouts sampled.
        split: of the look. A log has no questions to keep back: what verifies a fix is the log of the new run.
        phases: of rollouts that were sampled for the purpose.
    """
    cls = type(made)
    name, (sprung, _) = cls.__name__, spring_or_say(cls)
    try:
        dealt = made.dealt(table, phases) if phases else made.dealt(table)
        fitted = made.fit(dealt.seen)
    except EvidenceError as error:
        return Reading(name, cls.family, Scores(np.zeros(0), (), name), (), (), split, sprung, str(error))
    scores = fitted.score(dealt.seen)
    return Reading(
        name, cls.family, scores, dealt.arms, dealt.groups, split, sprung, strata=dealt.strata, note=dealt.note,
        unit=ROLLOUTS,
    )  # fmt: skip
