"""Distance from trusted rows, in which the directions that the untrusted batch has too much of count most."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, eigh, qr

from ...errors import EvidenceError, SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments, working
from .whitening import FEWEST, Cloud, Shrinkage, checked, ledoit_wolf, same_place, too_few

ROUNDING = 1e-6  # a surplus of trusted variance below this is that of float32, and not one of the batch


@bumper
@dataclass(frozen=True)
class QuantumEntropy:
    """Flags items of an untrusted batch that share a direction in which it varies more than trusted ones do.

    With S = W cov W^T the covariance of the batch in units of the trusted cloud (W whitens), Q = exp(alpha (S - 1) /
    (|S| - 1)) and h the whitened row, the paper scores h^T Q h / Tr Q. Here *both* covariances are shrunk by the same
    share and whitened by the same W, so S - 1 becomes W (cov_untrusted - cov_trusted) W^T: below d rows, shrinking
    one of them alone would show as a difference. It follows from moments; no row of the batch is whitened to fit.

    Watches: Activations, rows (n, d) at one layer; offline, it needs the untrusted batch.
    Score: log of h^T Q h / Tr Q; about 0 on clean data, no bound.
    Blind to: anomalies that move only inside the trusted spread, or each in a direction of its own; it sees what is
        common in the batch.
    Source: Dong, Hopkins and Li 2019, arXiv:1906.11366; with trusted data as in SPECTRE (Hayase et al. 2021,
        arXiv:2104.11315), whose robust estimate of the clean cloud it replaces.

    Args:
        alpha: how much the strongest direction outweighs one in which the batch is like trusted rows: exp(alpha).
            0 gives the Mahalanobis distance; above 50 only the strongest direction would be left.
        shrinkage: of both covariances, in (0, 1], 'oas' or 'ledoit-wolf' (needs the trusted rows).
    """

    watches = Activations
    family = "internals"
    by_default = False
    alpha: float = 4.0
    shrinkage: Shrinkage = "oas"

    def __post_init__(self) -> None:
        checked(self.shrinkage)
        checked_alpha(self.alpha)

    def fit(self, clean: Activations, untrusted: Activations) -> "FittedQuantumEntropy":
        """Learn the trusted cloud, and what the untrusted batch has more of than it.

        Raises EvidenceError below 8 rows of either, without spread, or when the two were read at different places.
        """
        trusted, batch = both_moments(clean, untrusted)
        share = ledoit_wolf(trusted, clean.rows) if self.shrinkage == "ledoit-wolf" else self.shrinkage
        return self._fitted(trusted, batch, share, working(clean.rows[:1]).dtype)

    def fit_moments(self, clean: Moments, untrusted: Moments) -> "FittedQuantumEntropy":
        """Learn it from streamed or merged moments. Raises SettingError at Ledoit-Wolf, which needs the rows."""
        refuse_unlike(clean, untrusted)
        return self._fitted(clean, untrusted, self.shrinkage, np.dtype(np.float32))

    def _fitted(self, clean: Moments, batch: Moments, share: Shrinkage, dtype: np.dtype) -> "FittedQuantumEntropy":
        place = (clean.layer, len(clean.mean))
        white = Cloud.from_moments(clean, share, np.float64).whitening
        root, _ = entropy_root(_on_both_sides(white, surplus(clean, batch)), self.alpha)
        # A triangular factor T with T^T T = (root W)^T (root W): half the work of the square matrix for each row
        triangle = qr((root @ white)[:, ::-1], mode="r", overwrite_a=True, check_finite=False)[0][::-1, ::-1]
        scale = np.sqrt(place[1])  # Cloud.mean_square divides by d
        return FittedQuantumEntropy(*place, clean.mean.astype(dtype), np.ascontiguousarray(triangle * scale, dtype))

    @classmethod
    def trap(cls) -> Trap:
        """A common mode that is one of sixteen directions; the blind spot is the same shift inside a wide axis."""
        rng, scale = np.random.default_rng(0), np.array([20.0, *np.ones(15)])

        def at(n: int, axis: int, shift: float, start: int) -> Activations:
            return Activations(rng.normal(size=(n, 16)) * scale + shift * np.eye(16)[axis], numbered(n, start))

        return Trap(cls(), at(800, 0, 0, 0), at(600, 0, 0, 800), bad=at(60, 5, 5, 1400), blind=at(200, 0, 5, 1460))


@dataclass(frozen=True)
class FittedQuantumEntropy:
    """Trusted mean (d,) and the lower triangular projection (d, d) that whitening and Q^(1/2) are folded into."""

    layer: int | str
    d: int
    mean: np.ndarray
    projection: np.ndarray

    def score_batch(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        values = Cloud(self.mean, self.projection).mean_square(seen.rows)
        return Scores(np.log(np.maximum(values, 1e-12)), seen.ids, "QuantumEntropy")


def both_moments(clean: Activations, untrusted: Activations) -> tuple[Moments, Moments]:
    """Of trusted rows and of the batch. Raises EvidenceError below 8 rows of either, or at different places."""
    trusted, batch = Moments.of(clean), Moments.of(untrusted)
    refuse_unlike(trusted, batch)
    return trusted, batch


def refuse_unlike(clean: Moments, batch: Moments) -> None:
    """Raises EvidenceError below 8 trusted or untrusted rows, or when the two were read at different places."""
    for which, n in (("trusted", clean.n), ("untrusted", batch.n)):
        if n < FEWEST:
            raise EvidenceError(too_few(n, which))
    same_place((clean.layer, len(clean.mean)), (batch.layer, len(batch.mean)))


def checked_alpha(alpha: float) -> None:
    """Raises SettingError outside 0 to 50."""
    if not 0 <= alpha <= 50:
        raise SettingError(f"alpha must be from 0 to 50, got {alpha}. Try 4.")


def surplus(clean: Moments, batch: Moments) -> np.ndarray:
    """(d, d): the batch's covariance around the trusted mean, less the trusted covariance."""
    gap = batch.mean - clean.mean
    more = batch.covariance
    more -= clean.covariance
    more += np.outer(gap, gap)
    return more


def entropy_root(surplus: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """R (k, k) with R^T R = Q / Tr Q, and the batch's mean score less 1: Tr(Q surplus) / Tr Q.

    Where the batch varies no more than trusted rows in any direction, Q is the identity.

    Args:
        surplus: (k, k), what the batch's covariance has more than the trusted one, in units of the trusted cloud.
    """
    values, vectors = eigh(surplus, driver="evd", overwrite_a=True, check_finite=False)
    top = float(values[-1])
    weights = np.exp(alpha * values / top if top > ROUNDING else np.zeros(len(values)))
    weights /= weights.sum()
    return np.sqrt(weights)[:, None] * vectors.T, float(weights @ values)


def _on_both_sides(lower: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """L M L^T for a lower triangular L and a symmetric M, both (d, d) float64."""
    # our rows are the columns of Fortran, so L.T is upper triangular there
    left = blas.dtrmm(1.0, lower.T, middle.T, lower=0, trans_a=1, overwrite_b=1)  # L M
    return blas.dtrmm(1.0, lower.T, left, side=1, lower=0, overwrite_b=1)  # L M L^T
