"""Levels of a series of counts: exact posterior of where a rate changes, and to how many levels.

The rate is piecewise constant, each level with Jeffreys' prior, and each gap between neighbours holds a change with
the same prior probability. Source: exact posterior of multiple change points by recursion (Fearnhead 2006), for
binomial counts. Costs K T^2 for K levels.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, logsumexp

JEFFREYS = 0.5  # both parameters of the Beta prior of a level
MOST_LEVELS = 10


@dataclass(frozen=True)
class Levels:
    """Log marginal likelihoods of stretches, summed over all ways to cut a curve.

    Attributes:
        stretch: (T + 1, T + 1) log probability of the counts from i up to j (without j) under one level; -inf for
            j <= i. The prior of what its gaps hold is in it.
        forward: (K + 1, T + 1) log sum over the ways to cut the first j checkpoints into m levels.
        backward: the same for the checkpoints from j on.
    """

    k: np.ndarray
    n: np.ndarray
    stretch: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    @classmethod
    def of(cls, k: np.ndarray, n: np.ndarray, changes: float) -> "Levels":
        """k (T,) of n (T,) at T >= 2 places in order; `changes`: number of changes expected beforehand."""
        length = len(k)
        chance = min(0.5, changes / (length - 1))
        over, of = np.concatenate([[0.0], np.cumsum(k)]), np.concatenate([[0.0], np.cumsum(n)])
        hits, items = over[None, :] - over[:, None], of[None, :] - of[:, None]
        inside = np.arange(length + 1)[None, :] - np.arange(length + 1)[:, None]
        ahead = inside > 0
        hits, items = np.where(ahead, hits, 0.0), np.where(ahead, items, 0.0)
        same = betaln(hits + JEFFREYS, items - hits + JEFFREYS) - betaln(JEFFREYS, JEFFREYS)
        stretch = np.where(ahead, same + (inside - 1) * np.log1p(-chance), -np.inf)
        most = min(MOST_LEVELS, length)
        forward, backward = (np.full((most + 1, length + 1), -np.inf) for _ in range(2))
        forward[0, 0] = backward[0, length] = 0.0
        for m in range(1, most + 1):
            joint = np.log(chance) if m > 1 else 0.0
            forward[m] = logsumexp(forward[m - 1][:, None] + stretch, axis=0) + joint
            backward[m] = logsumexp(stretch + backward[m - 1][None, :], axis=1) + joint
        return cls(k, n, stretch, forward, backward)

    @property
    def evidence(self) -> float:
        """log probability of all the counts, over all numbers of levels."""
        return float(logsumexp(self.forward[:, -1]))

    def most_probable_number(self) -> int:
        return int(np.argmax(self.forward[:, -1]))

    def places(self, levels: int) -> list[np.ndarray]:
        """For each change, the probability that the new level begins at checkpoint 0..T (never 0 or T)."""
        found = []
        for m in range(1, levels):
            logs = self.forward[m] + self.backward[levels - m]
            found.append(np.exp(logs - logsumexp(logs)))
        return found

    def best_cuts(self, levels: int) -> list[int]:
        """The most probable places for so many levels, by dynamic programming."""
        length = self.stretch.shape[0] - 1
        best, back = self.stretch[0], []
        for _ in range(levels - 1):
            joint = best[:, None] + self.stretch
            back.append(np.argmax(joint, axis=0))
            best = joint.max(axis=0)
        cuts, at = [], length
        for choice in reversed(back):
            at = int(choice[at])
            cuts.append(at)
        return cuts[::-1]

    def change_chances(self) -> np.ndarray:
        """(T,) probability that a level begins at each checkpoint, over all numbers of levels; entry 0 is 0."""
        total = np.zeros(self.stretch.shape[0])
        weights = np.exp(self.forward[:, -1] - self.evidence)
        for levels in range(2, len(weights)):
            for place in self.places(levels) if weights[levels] > 1e-9 else ():
                total += weights[levels] * place
        return total[:-1]

    def draw(self, rng: np.random.Generator, curves: int) -> np.ndarray:
        """(curves, T) rates drawn from the posterior: number of levels, places from the last to the first, rates."""
        weights = np.exp(self.forward[:, -1] - self.evidence)
        levels = rng.choice(len(weights), size=curves, p=weights)
        ends, rates = np.full(curves, len(self.k)), np.zeros((curves, len(self.k)))
        for m in range(levels.max(), 0, -1):
            open_ = levels >= m
            for end in np.unique(ends[open_]):
                here = np.flatnonzero(open_ & (ends == end))
                logs = self.forward[m - 1] + self.stretch[:, end]
                starts = rng.choice(len(logs), size=len(here), p=np.exp(logs - logsumexp(logs)))
                for start in np.unique(starts):
                    rows = here[starts == start]
                    over, of = self.k[start:end].sum(), self.n[start:end].sum()
                    drawn = rng.beta(over + JEFFREYS, of - over + JEFFREYS, size=len(rows))
                    rates[rows, start:end] = drawn[:, None]
                ends[here] = starts
        return rates
