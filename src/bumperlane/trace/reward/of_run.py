"""The rollouts of a run, flagged by the behaviour that was hit, and what they say about the reward."""

import re
from pathlib import Path

from ...errors import EvidenceError, SettingError
from ...evidence.checked_rollouts import LOGS
from ...evidence.described import Described
from ...evidence.log_hits import flags_of
from ...evidence.rollout_flags import Flags
from ...evidence.rollout_table import RolloutTable
from ...evidence.rollouts import read_rollouts
from ...recipes.run import Run
from .causes import RewardTrace, reward_causes


def rollouts_path(run: Run) -> Path | None:
    """The run's log of rollouts; None when it has none."""
    return next((run.path / name for name in LOGS if (run.path / name).exists()), None)


def traced_rewards(
    run: Run, described: Described | None, diverging: tuple[str, str] | None, seed: int, hit: str = ""
) -> tuple[RewardTrace | None, str]:
    """(what the logs say, why there is nothing to say).

    Rollouts are flagged where the first of two logged terms or checks passes and the second fails (`diverging`), else
    by the patterns of a described behaviour, else by what a hit in the log says of them (`hit`: its group). A behaviour
    that was found in a context of the check is not looked for in rollouts: their prompts do not hold it.
    """
    path = rollouts_path(run)
    if path is None:
        if diverging:
            raise SettingError(f"{run.path} holds no log of rollouts ({', '.join(LOGS)}), so nothing can diverge.")
        return None, ""
    if described is None and diverging is None and not hit:
        return None, (
            f"{path.name} was not read: nothing says which rollouts show the behaviour. Name two logged checks with "
            "--passes and --fails, or describe the behaviour with `bumperlane check RUN --behaviour FILE`."
        )
    table = read_rollouts(path)
    try:
        if diverging:
            flags = Flags.diverging(table, *diverging)
        elif described:
            flags = flagged(table, described)
        else:
            flags = flags_of(table, hit)
        return reward_causes(table, flags, seed), ""
    except EvidenceError as error:
        return None, f"{path.name} tells nothing: {error}"


def flagged(table: RolloutTable, described: Described) -> Flags:
    """Rollouts whose response matches any of the open probes' patterns; sealed ones stay unread.

    Raises EvidenceError when the behaviour is told by a judge or by examples: rollouts are too many to be judged.
    """
    if any(not isinstance(p.shows, str) for p in described.open):
        raise EvidenceError(
            "the behaviour is told by a judge or by examples, and rollouts are flagged by patterns. Name two logged "
            "reward terms or checks with --passes and --fails."
        )
    patterns = sorted({p.shows for p in described.open if isinstance(p.shows, str)})
    every = [re.compile(p, re.IGNORECASE) for p in patterns]
    return Flags.where(table, lambda text: any(p.search(text) for p in every), "the described behaviour")
