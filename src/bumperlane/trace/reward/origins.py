"""Where flagged rollouts come from: which environments and which prompts have more than their steps would give.

The rate changes over steps, and so does what is sampled. So each rollout's chance under the null is the rate at its
own step, over all environments.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from ...errors import SettingError
from ...evidence.holm import holm
from ...evidence.rollout_flags import Flags
from ...evidence.rollout_table import RolloutTable
from ...types import Interval
from ..tranches import rank_tranches
from .matching import step_bins

BINS = 200  # of steps, within which the rate counts as one
WORK = 30_000_000  # prompts times permutations
FEWEST_DRAWS = 200


@dataclass(frozen=True)
class Origin:
    """One environment or prompt.

    Attributes:
        flagged, of: rollouts.
        rate: with its exact interval; for an environment widened by how much its prompts differ.
        expected: flagged rollouts that the rates at its steps would give.
        p_value: one-sided, corrected for the number of environments or prompts.
    """

    name: str
    flagged: int
    of: int
    rate: Interval
    expected: float
    p_value: float


def environments(table: RolloutTable, flags: Flags, seed: int = 0, permutations: int = 1999) -> tuple[Origin, ...]:
    """Every environment, the most over its expectation first.

    The p-value permutes whole prompts among environments and takes the largest standardised excess (Westfall & Young
    1993), so that one prompt that is often flagged is not taken for its environment. 1 where there is one environment.
    """
    expected, rows = _expected(table, flags)
    prompts = len(table.group_keys)
    k, n, e = (np.bincount(table.group[rows], w, prompts) for w in (flags.values[rows], None, expected))
    home = np.zeros(prompts, np.int64)
    home[table.group[rows]] = table.environment[rows]
    seen = n > 0
    p = dict.fromkeys(table.environments, 1.0)
    if len(np.unique(home[seen])) > 1:
        draws = max(FEWEST_DRAWS, min(permutations, WORK // int(seen.sum())))
        names = np.asarray(table.environments)[home[seen]].tolist()
        excess = ((k - e) / np.sqrt(np.maximum(e, 0.5)))[
            seen
        ]  # of about equal spread, however often a prompt is sampled
        ranked = rank_tranches(excess, names, None, draws, seed, by_rank=False)
        p |= {tranche.name: tranche.p_value for tranche in ranked}
    found = []
    of = table.environment[rows]
    for code, name in enumerate(table.environments):
        mine = seen & (home == code)
        inside = of == code
        if not inside.any():
            continue
        flagged, size = int(flags.values[rows][inside].sum()), int(inside.sum())
        found.append(
            Origin(name, flagged, size, clustered_rate(k[mine], n[mine]), float(expected[inside].sum()), p[name])
        )
    return tuple(sorted(found, key=lambda o: (o.p_value, o.expected - o.flagged, o.name)))


def prompts(table: RolloutTable, flags: Flags, most: int = 10) -> tuple[Origin, ...]:
    """The `most` prompts with the smallest p-values, of those with a flagged rollout.

    The p-value is the binomial tail at the mean of the rollouts' chances, no smaller than the true tail of unequal
    chances (Hoeffding 1956), corrected by Holm's rule over all prompts.
    """
    if most < 1:
        raise SettingError(f"most must be 1 or more, got {most}.")
    expected, rows = _expected(table, flags)
    size = len(table.group_keys)
    k, n, e = (np.bincount(table.group[rows], w, size) for w in (flags.values[rows], None, expected))
    seen = np.flatnonzero(n > 0)
    k, n, e = k[seen], n[seen], e[seen]
    tail = np.where(k >= e + 1, stats.binom.sf(k - 1, n, np.clip(e / n, 0, 1)), 1.0)
    corrected = np.asarray(holm(tail.tolist()), float)
    best = [i for i in np.lexsort((seen, -k, corrected))[:most].tolist() if k[i] > 0]
    names = table.group_names(seen[best])
    return tuple(
        Origin(name, int(k[i]), int(n[i]), korn_graubard(k[i], n[i], 1.0), float(e[i]), float(corrected[i]))
        for name, i in zip(names, best, strict=True)
    )


def clustered_rate(k: np.ndarray, n: np.ndarray, level: float = 0.95) -> Interval:
    """Rate of k of n over clusters: Clopper-Pearson at the effective sample size (Korn & Graubard 1998)."""
    total, rate = float(n.sum()), float(k.sum() / n.sum())
    clusters = len(n)
    if clusters < 2 or not 0 < rate < 1:
        return korn_graubard(float(k.sum()), total, 1.0, level)
    between = clusters / (clusters - 1) * float(((k - n * rate) ** 2).sum()) / total**2
    return korn_graubard(float(k.sum()), total, max(1.0, between / (rate * (1 - rate) / total)), level)


def korn_graubard(k: float, n: float, design: float, level: float = 0.95) -> Interval:
    """Clopper-Pearson for counts divided by a design effect; the exact interval where that is 1."""
    rate, tail = k / n, (1 - level) / 2
    k, n = k / design, n / design
    low = float(special.betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    high = float(special.betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Interval(rate, min(rate, low), max(rate, high), level)


def _expected(table: RolloutTable, flags: Flags) -> tuple[np.ndarray, np.ndarray]:
    """(flagged rate at each known rollout's step, rows of the known rollouts)."""
    rows = np.flatnonzero(flags.known)
    bins = step_bins(table.step, BINS)[rows]
    n = np.bincount(bins)
    rate = np.bincount(bins, flags.values[rows]) / np.maximum(n, 1)
    return rate[bins], rows
