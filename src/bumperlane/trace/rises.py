"""Gradual rises: logistic curves over the checkpoints, as hypotheses of when a rate came halfway to its end value."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

WIDTHS = 6  # from a jump to a rise that takes most of the run
PLACES = 2  # midpoints tried for each checkpoint
NARROWEST = 0.25  # gaps
FLOOR = 0.005  # no rate is surer than this


@dataclass(frozen=True)
class Rises:
    """Curves that rise from one rate to another, all equally likely at first.

    r_i = before + (after - before) s((i - c) / w) / s((T - 1 - c) / w) with the logistic function s: at the last
    checkpoint the rate is `after`, however late and slow the rise.

    Attributes:
        log_hit, log_miss: (T, curves) log of the rate, and of 1 less the rate.
        onset: (curves,) first checkpoint at which the rate is halfway from the floor to `after`, or more.
    """

    log_hit: np.ndarray
    log_miss: np.ndarray
    onset: np.ndarray

    @classmethod
    def of(cls, checkpoints: int, before: float, plateaus: np.ndarray, floor: float = 0.0) -> "Rises":
        """Curves for each of the plateaus (values of `after`), over midpoints and widths in gaps."""
        at = np.arange(checkpoints)
        middles = np.linspace(-0.5, checkpoints - 1, PLACES * checkpoints)
        widths = np.geomspace(NARROWEST, max(2 * NARROWEST, checkpoints / 6), WIDTHS)
        place, width, after = (grid.ravel()[:, None] for grid in np.meshgrid(middles, widths, plateaus, indexing="ij"))
        shape = expit((at - place) / width) / expit((checkpoints - 1 - place) / width)
        rates = before + (after - before) * shape
        onset = (rates >= (after + floor) / 2).argmax(axis=1)
        rates = np.clip(rates, FLOOR, 1 - FLOOR)
        return cls(np.log(rates).T.copy(), np.log1p(-rates).T.copy(), onset)

    def posterior(self, k: np.ndarray, n: np.ndarray) -> tuple[float, np.ndarray]:
        """log probability of all the counts (T,), and P(checkpoint j is the first) given them, (T,)."""
        seen = np.flatnonzero(n)
        logs = k[seen] @ self.log_hit[seen] + (n - k)[seen] @ self.log_miss[seen]
        total = float(logsumexp(logs))
        weights = np.exp(logs - total)
        return total - float(np.log(len(logs))), np.bincount(self.onset, weights=weights, minlength=len(k))
