"""Quantum entropy in the few directions in which the untrusted batch varies most."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, solve_triangular

from ...errors import SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments, working
from .quantum_entropy import both_moments, checked_alpha, entropy_root, refuse_unlike, surplus
from .whitening import oas, same_place, squared_length


@bumper
@dataclass(frozen=True)
class Spectre:
    """Flags items of an untrusted batch that share one of its main directions, where it varies more than trusted ones.

    The batch is cut to its first k principal directions (around the trusted mean, each dimension in units of its
    trusted spread), whitened there by the trusted covariance, and scored by quantum entropy. k is the power of two, up
    to `most`, at which the batch's mean score is highest: too few directions miss the anomaly, too many dilute it.

    Watches: Activations, rows (n, d) at one layer; offline, it needs the untrusted batch.
    Score: log of h^T Q h / Tr Q for the whitened k coordinates h; about 0 on clean data, no bound.
    Blind to: anomalies outside the batch's `most` main directions, however far they lie in units of trusted spread;
        anomalies inside the trusted spread.
    Source: Hayase et al. 2021, arXiv:2104.11315, with the covariance of trusted rows where they estimate a robust one
        from the batch, and powers of two as candidates for k.

    Args:
        most: largest number of principal directions that is tried.
        alpha: how much the strongest direction outweighs one in which the batch is like trusted rows: exp(alpha).
    """

    watches = Activations
    family = "internals"
    by_default = False
    most: int = 64
    alpha: float = 4.0

    def __post_init__(self) -> None:
        checked_alpha(self.alpha)
        if self.most < 1:
            raise SettingError(f"most must be 1 or more principal directions, got {self.most}. Try 64.")

    def fit(self, clean: Activations, untrusted: Activations) -> "FittedSpectre":
        """Learn the directions. Raises EvidenceError below 8 rows of either, without spread, or at different places."""
        return self._fitted(*both_moments(clean, untrusted), working(clean.rows[:1]).dtype)

    def fit_moments(self, clean: Moments, untrusted: Moments) -> "FittedSpectre":
        """Learn them from streamed or merged moments."""
        refuse_unlike(clean, untrusted)
        return self._fitted(clean, untrusted, np.dtype(np.float32))

    def _fitted(self, clean: Moments, batch: Moments, dtype: np.dtype) -> "FittedSpectre":
        d, spread, trusted = len(clean.mean), clean.spread, clean.correlation
        share = oas(clean.n, trusted)
        more = surplus(clean, batch) / spread[:, None] / spread
        k = min(self.most, d, batch.n)
        directions = eigh(trusted + more, subset_by_index=(d - k, d - 1), check_finite=False)[1][:, ::-1]
        inside, extra = directions.T @ trusted @ directions, directions.T @ more @ directions
        inside = (1 - share) * inside + share * np.trace(trusted) / d * np.eye(k)
        tried = [_root(inside[:j, :j], extra[:j, :j], self.alpha) for j in _powers_of_two(k)]
        best, _ = max(tried, key=lambda found: found[1])
        projection = best @ (directions[:, : len(best)] / spread[:, None]).T
        return FittedSpectre(clean.layer, d, clean.mean.astype(dtype), np.ascontiguousarray(projection, dtype))

    @classmethod
    def trap(cls) -> Trap:
        """A mode that is one of the batch's two main directions; the blind spot is a weaker one, which three groups
        of correlated dimensions outdo."""
        rng, mix = np.random.default_rng(0), np.eye(12) + np.kron(np.eye(3), np.ones((4, 4))) / 2

        def at(n: int, shift: float, start: int) -> Activations:
            across = np.r_[shift, -shift, np.zeros(10)]
            return Activations(rng.normal(size=(n, 12)) @ mix + across, numbered(n, start))

        return Trap(cls(2), at(800, 0, 0), at(600, 0, 800), bad=at(80, 7, 1400), blind=at(300, 2, 1480))


@dataclass(frozen=True)
class FittedSpectre:
    """Trusted mean (d,) and projection (k, d): principal directions, whitening and Q^(1/2) in one."""

    layer: int | str
    d: int
    mean: np.ndarray
    projection: np.ndarray

    def score_batch(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        values = squared_length(seen.rows, self.mean, self.projection)
        return Scores(np.log(np.maximum(values, 1e-12)), seen.ids, "Spectre")


def _root(inside: np.ndarray, extra: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """Whitening by `inside` (k, k) and Q^(1/2) in one, and the batch's mean score less 1."""
    chol = np.linalg.cholesky(inside)
    white = solve_triangular(chol, np.eye(len(chol)), lower=True, check_finite=False)
    root, gain = entropy_root(white @ extra @ white.T, alpha)
    return root @ white, gain


def _powers_of_two(most: int) -> list[int]:
    """1, 2, 4 and so on, and `most` itself."""
    return sorted({min(2**i, most) for i in range(most.bit_length() + 1)})
