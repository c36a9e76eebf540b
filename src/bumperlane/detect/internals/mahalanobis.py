"""Distance of an activation from the cloud of trusted ones, beyond what the untouched base already shows."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from ...errors import EvidenceError, SettingError
from ...types import Activations, PairedActivations, Scores, Trap, numbered
from ..contract import bumper


@bumper
@dataclass(frozen=True)
class Mahalanobis:
    """Flags prompts whose activation lies further from trusted ones than it does in the model's own base.

    An unusual prompt is far from trusted data in any model, the untouched base included: a tag that nobody taught
    stands out as much as one that was taught. So the base's own distance for the same prompt is taken away.

    Watches: PairedActivations, rows (n, d) of subject and base at one layer.
    Score: log ratio of the two mean squared distances, subject over base; about 0 on clean data, no bound.
    Blind to: a mechanism that moves the activation only inside the trusted spread, or along directions in which the
        base had moved as far; drift that trusted data shows too.
    Source: Lee et al. 2018, arXiv:1807.03888, with one class, a shrunk correlation matrix (Ledoit and Wolf 2004) and
        our difference from the base.

    Args:
        shrinkage: in (0, 1], share of the correlation matrix replaced by the identity; None estimates it by
            Ledoit-Wolf.
    """

    watches = PairedActivations
    family = "internals"
    shrinkage: float | None = None

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0 < self.shrinkage <= 1:
            raise SettingError(f"shrinkage must be in (0, 1] or None, got {self.shrinkage}. Try 0.1.")

    def fit(self, clean: PairedActivations) -> "FittedMahalanobis":
        """Learn both trusted clouds. Raises EvidenceError below 8 rows or without spread."""
        ours, theirs = cloud(clean.subject, self.shrinkage), cloud(clean.base, self.shrinkage)
        return FittedMahalanobis(*clean.subject.place, *ours, *theirs)

    @classmethod
    def trap(cls) -> Trap:
        """Shifts along an axis in which trusted data barely varies; the clean twin is as novel, in both models."""
        rng, scale = np.random.default_rng(0), np.array([10.0, 1.0, 0.1, 0.1])

        def pair(n: int, ours: float, theirs: float, start: int) -> PairedActivations:
            a, b = (rng.normal(size=(n, 4)) * scale for _ in range(2))
            a[:, 2] += ours
            b[:, 2] += theirs
            ids = numbered(n, start)
            return PairedActivations(Activations(a, ids), Activations(b, ids))

        fit, clean = pair(400, 0, 0, 0), pair(200, 3, 3, 400)
        return Trap(cls(shrinkage=1e-6), fit, clean, bad=pair(50, 30, 0, 600), blind=pair(200, 3, 3, 650))


@dataclass(frozen=True)
class FittedMahalanobis:
    """Mean (d,), spread (d,) and lower Cholesky factor (d, d) of the correlation, of subject and base."""

    layer: int
    d: int
    mean: np.ndarray
    spread: np.ndarray
    chol: np.ndarray
    base_mean: np.ndarray
    base_spread: np.ndarray
    base_chol: np.ndarray

    def score(self, seen: PairedActivations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        place = (self.layer, self.d)
        if seen.subject.place != place:
            raise EvidenceError(
                f"fitted at (layer, d) {place}, cannot score {seen.subject.place}. Read the same layer."
            )
        ours = mean_square(seen.subject.rows, self.mean, self.spread, self.chol)
        theirs = mean_square(seen.base.rows, self.base_mean, self.base_spread, self.base_chol)
        return Scores(np.log(ours) - np.log(theirs), seen.ids, "Mahalanobis")


def cloud(trusted: Activations, shrinkage: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, d = trusted.rows.shape
    if n < 8:
        raise EvidenceError(f"a cloud needs 8 or more trusted rows, got {n}. Pass more trusted prompts.")
    rows = trusted.rows.astype(np.float64)  # a float32 covariance can lose definiteness
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    if not spread.any():
        raise EvidenceError(
            f"all {n} trusted rows at layer {trusted.layer} are equal. Check that the hook reads the right module."
        )
    # correlation scaling: a few massive dimensions would otherwise set the shrinkage target for all others
    spread = np.where(spread > 0, spread, spread[spread > 0].min())
    scaled = (rows - mean) / spread
    share = ledoit_wolf(scaled) if shrinkage is None else shrinkage
    correlation = scaled.T @ scaled / n
    shrunk = (1 - share) * correlation + share * np.trace(correlation) / d * np.eye(d)
    return mean, spread, np.linalg.cholesky(shrunk)


def ledoit_wolf(centred: np.ndarray) -> float:
    """The shrinkage that minimises expected squared error of a covariance of centred rows (n, d), in (0, 1]."""
    n, d = centred.shape
    squares = centred**2
    product = centred.T @ centred
    mu = squares.sum() / n / d
    delta = ((product / n) ** 2).sum() / d - mu**2
    beta = ((squares.T @ squares).sum() / n - ((product / n) ** 2).sum()) / (d * n)
    return float(np.clip(beta / delta, 1e-6, 1.0)) if delta > 0 else 1.0


def mean_square(rows: np.ndarray, mean: np.ndarray, spread: np.ndarray, chol: np.ndarray) -> np.ndarray:
    """Mean squared whitened coordinate, (n,)."""
    white = solve_triangular(chol, ((rows - mean) / spread).T.astype(np.float64), lower=True)
    return np.maximum((white**2).mean(axis=0), 1e-12)
