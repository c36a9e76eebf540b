"""The rollouts of a run, flagged by the behaviour that was hit, and what they say about the reward."""

import re
from pathlib import Path

from ...errors import EvidenceError
from ...evidence.described import Described
from ...evidence.rollout_flags import Flags
from ...evidence.rollout_table import RolloutTable
from ...evidence.rollouts import read_rollouts
from ...recipes.run import Run
from .causes import RewardTrace, reward_causes

ROLLOUTS = ("rollouts.jsonl", "rollouts.jsonl.gz", "rollouts")


def rollouts_path(run: Run) -> Path | None:
    """The run's log of rollouts; None when it has none."""
    return next((run.path / name for name in ROLLOUTS if (run.path / name).exists()), None)


def traced_rewards(run: Run, described: Described | None, seed: int) -> tuple[RewardTrace | None, str]:
    """(what the logs say, why there is nothing to say). Rollouts are flagged by the patterns of a described behaviour.

    A behaviour that was found in a context of the check is not looked for in rollouts: their prompts do not hold it.
    """
    path = rollouts_path(run)
    if path is None:
        return None, ""
    if described is None:
        return None, (
            f"{path.name} was not read: rollouts are flagged by patterns, and none was given. Describe the behaviour "
            "with `bumperlane check RUN --behaviour FILE`."
        )
    table = read_rollouts(path)
    try:
        return reward_causes(table, flagged(table, described), seed), ""
    except EvidenceError as error:
        return None, f"{path.name} tells nothing: {error}"


def flagged(table: RolloutTable, described: Described) -> Flags:
    """Rollouts whose response matches any of the open probes' patterns; sealed ones stay unread."""
    patterns = sorted({p.shows for p in described.open})
    every = [re.compile(p, re.IGNORECASE) for p in patterns]
    return Flags.where(table, lambda text: any(p.search(text) for p in every), "the described behaviour")
