"""Re-scoring: the advantage that flagged rollouts would have had under another weight of one term.

Rewards are summed anew, and each group is normalised anew, its spread included. It says what *these* rollouts would
have been taught, not what a policy trained so would have done: that takes a retrain.
"""

from dataclasses import dataclass

import numpy as np

from ...errors import SettingError
from ...types import Interval
from .advantage import Rewards, advantages
from .clusters import LEAST, ClusterRatios
from .matching import Matching

FLOAT32 = 1e-6  # of the values summed: terms that cancel must leave a group flat, not with a spread of rounding errors


@dataclass(frozen=True)
class Rescored:
    """What a term's weight does to the flagged rollouts.

    Attributes:
        times: the term's weight, in units of the weight it had; 0 is without it.
        before, after: mean advantage of the flagged rollouts that were compared.
        change: after less before.
        turned: of the groups that preferred their flagged rollouts to the others, the share that no longer would;
            None where too few groups did.
    """

    term: str
    times: float
    before: Interval
    after: Interval
    change: Interval
    turned: Interval | None


def rescore(rewards: Rewards, matching: Matching, term: int, times: float = 0.0, level: float = 0.95) -> Rescored:
    """Mean advantage of the flagged rollouts as it was, and with a term's weight multiplied by `times`."""
    if not np.isfinite(times):
        raise SettingError(f"times must be a finite number, got {times}. 0 takes the term out.")
    paid = rewards.paid(term)
    grain = FLOAT32 * (np.abs(rewards.total) + np.abs(times * paid) + np.abs(paid))
    was = advantages(rewards.total, rewards.cells, rewards.rule, grain)
    now = advantages(rewards.total + (times - 1) * paid, rewards.cells, rewards.rule, grain)
    rows = np.flatnonzero(matching.used & matching.flagged)
    cluster = matching.cluster[rows]
    most = int(cluster.max()) + 1
    sums = [np.bincount(cluster, values[rows], most) for values in (was, now, now - was)]
    found = ClusterRatios.of(np.stack(sums, axis=1), np.bincount(cluster, minlength=most))
    before, after, change = (found.interval(k, level) for k in range(3))
    turned = _turned(rewards, matching, was, now, level) if matching.kind == "prompt" else None
    return Rescored(rewards.terms[term], times, before, after, change, turned)


def _turned(rewards: Rewards, matching: Matching, was: np.ndarray, now: np.ndarray, level: float) -> Interval | None:
    """Over groups with both kinds; clustered like everything else."""
    rows = np.flatnonzero(matching.used)
    place, flag = matching.place[rows], matching.flagged[rows]
    m = int(place.max()) + 1
    f, u = np.bincount(place, flag, m), np.bincount(place, ~flag, m)
    there = (f > 0) & (u > 0)

    def gap(values: np.ndarray) -> np.ndarray:
        on = np.bincount(place, values[rows] * flag, m) / np.maximum(f, 1)
        return on - np.bincount(place, values[rows] * ~flag, m) / np.maximum(u, 1)

    preferred = there & (gap(was) > 1e-6)
    lost = preferred & (gap(now) <= 1e-6)
    cluster = np.zeros(m, np.int64)
    cluster[place] = matching.cluster[rows]
    most = int(cluster.max()) + 1
    sizes = np.bincount(cluster, preferred, most)
    if (sizes > 0).sum() < LEAST:
        return None
    found = ClusterRatios.of(np.bincount(cluster, lost, most)[:, None], sizes).interval(0, level)
    return Interval(found.value, max(0.0, found.low), min(1.0, found.high), level)
