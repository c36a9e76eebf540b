"""What is left of an activation outside the main directions of trusted ones."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ...errors import EvidenceError, SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments, working
from .whitening import FEWEST, same_place, squared_length, too_few


@bumper
@dataclass(frozen=True)
class PCAResidual:
    """Flags activations that leave the subspace in which trusted ones vary.

    Each dimension is taken in units of its trusted spread. The subspace is that of the fewest principal directions
    that explain the stated share of trusted variance, and at most of two fewer than there are rows.

    Watches: Activations, rows (n, d) at one layer.
    Score: log of the squared length outside the subspace over its trusted mean; about 0 on clean data, no bound.
    Blind to: whatever stays inside the subspace, however far out it is there.
    Source: Jackson and Mudholkar 1979, "Control procedures for residuals associated with principal component
        analysis" (the Q statistic), on correlations instead of covariances.

    Args:
        explained: share of trusted variance that the subspace holds, above 0 and below 1.
    """

    watches = Activations
    family = "internals"
    by_default = False
    explained: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.explained < 1:
            raise SettingError(f"explained must be above 0 and below 1, got {self.explained}. Try 0.9.")

    def fit(self, clean: Activations) -> "FittedPCAResidual":
        """Learn the subspace. Raises EvidenceError below 8 rows, without spread, or when nothing lies outside it."""
        return self._fitted(Moments.of(clean), working(clean.rows[:1]).dtype)

    def fit_moments(self, clean: Moments) -> "FittedPCAResidual":
        """Learn it from streamed or merged moments."""
        return self._fitted(clean, np.dtype(np.float32))

    def _fitted(self, clean: Moments, dtype: np.dtype) -> "FittedPCAResidual":
        if clean.n < FEWEST:
            raise EvidenceError(too_few(clean.n))
        correlation = clean.correlation
        total, d = float(np.trace(correlation)), len(correlation)
        values, vectors = eigh(correlation, driver="evd", overwrite_a=True, check_finite=False)  # smallest first
        held = np.cumsum(np.maximum(values[::-1], 0.0)) / total
        k = min(int(np.searchsorted(held, self.explained)) + 1, clean.n - 2)
        if k >= d:
            raise EvidenceError(
                f"all {d} principal directions at layer {clean.layer} are needed to explain {self.explained:g} of the "
                "trusted variance: nothing lies outside them. Lower `explained`, or use Mahalanobis."
            )
        # The directions were fitted to these rows: unseen ones leave more outside, by this count of degrees of freedom
        left = float(np.maximum(values[: d - k], 0.0).sum()) * (clean.n + k) / (clean.n - 1 - k)
        left = max(left, float(np.finfo(dtype).eps) * total)  # rows that all lie in the subspace leave rounding only
        outside = (vectors[:, : d - k] / clean.spread[:, None] / np.sqrt(left)).T
        return FittedPCAResidual(clean.layer, d, clean.mean.astype(dtype), np.ascontiguousarray(outside, dtype))

    @classmethod
    def trap(cls) -> Trap:
        """A step out of a plane; the blind spot is a far longer one inside it."""
        rng = np.random.default_rng(0)
        plane = np.array([[1.0] * 8, [1.0, -1.0] * 4])

        def at(n: int, out: float, along: float, start: int) -> Activations:
            rows = (rng.normal(size=(n, 2)) + [along, 0]) @ plane + 0.1 * rng.normal(size=(n, 8))
            return Activations(rows + out * np.eye(8)[3], numbered(n, start))

        return Trap(cls(), at(400, 0, 0, 0), at(400, 0, 0, 400), bad=at(50, 1, 0, 800), blind=at(400, 0, 5, 850))


@dataclass(frozen=True)
class FittedPCAResidual:
    """Trusted mean (d,), and the directions outside the subspace (d - k, d) in units of the trusted residual."""

    layer: int | str
    d: int
    mean: np.ndarray
    outside: np.ndarray

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        values = squared_length(seen.rows, self.mean, self.outside)
        return Scores(np.log(np.maximum(values, 1e-12)), seen.ids, "PCAResidual")
