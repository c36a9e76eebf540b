"""A probe that is one direction: scores are a projection and an offset."""

from dataclasses import dataclass

import numpy as np

from ....types import Activations, Scores
from ..moments import blocks
from .labels import refuse_other_place


@dataclass(frozen=True)
class FittedLinear:
    """Weights (d,) and bias in the unit of the scores, in rows as they are read."""

    layer: int | str
    d: int
    weights: np.ndarray
    bias: float
    bumper: str

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        refuse_other_place(self.layer, self.d, seen)
        return Scores(projected(seen.rows, self.weights) + self.bias, seen.ids, self.bumper)


def projected(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """rows (n, d) @ weights (d,) or (d, m) in float64, a block of rows at a time."""
    out = [part.astype(np.float64) @ weights for part in blocks(rows)]
    return np.concatenate(out) if out else np.zeros((0, *weights.shape[1:]))


def mean_and_spread(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(d,) mean and standard deviation of float64 rows; 1 for a dimension that never moved, which then has no say."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    moved = spread > 1e-9 * np.abs(mean)  # rounding of the mean is no spread
    return mean, np.where(moved, spread, 1.0)
