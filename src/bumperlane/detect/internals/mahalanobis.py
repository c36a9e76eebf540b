"""Distance of an activation from the cloud of trusted ones."""

from dataclasses import dataclass

import numpy as np

from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments
from .whitening import Cloud, Shrinkage, checked, same_place


@bumper
@dataclass(frozen=True)
class Mahalanobis:
    """Flags activations that lie far from trusted ones, in units of trusted spread.

    Watches: Activations, rows (n, d) at one layer.
    Score: log of the mean squared whitened coordinate; about 0 on clean data, no bound.
    Blind to: a mechanism that moves the activation only inside the trusted spread; drift that trusted data shows too.
        It sees novelty: in a check its score is taken relative to the untouched base (`AgainstBase`).
    Source: Lee et al. 2018, arXiv:1807.03888, with one class and a shrunk correlation matrix instead of a covariance.

    Args:
        shrinkage: in (0, 1], share of the correlation matrix replaced by the identity, or how it is estimated:
            'ledoit-wolf' (Ledoit and Wolf 2004) or 'oas' (Chen et al. 2010; the one that merged moments allow).
    """

    watches = Activations
    family = "internals"
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: Activations) -> "FittedMahalanobis":
        """Learn the trusted cloud. Raises EvidenceError below 8 rows or without spread."""
        return _fitted(clean.layer, Cloud.around(clean, self.shrinkage))

    def fit_moments(self, clean: Moments) -> "FittedMahalanobis":
        """Learn it from streamed or merged moments. Raises SettingError at Ledoit-Wolf, which needs the rows."""
        return _fitted(clean.layer, Cloud.from_moments(clean, self.shrinkage))

    @classmethod
    def trap(cls) -> Trap:
        """A shift along an axis in which trusted data barely varies; the blind spot is one inside a wide axis."""
        rng, scale = np.random.default_rng(0), np.array([10.0, 1.0, 0.1, 0.1])

        def at(n: int, axis: int, shift: float, start: int) -> Activations:
            return Activations(rng.normal(size=(n, 4)) * scale + shift * np.eye(4)[axis], numbered(n, start))

        return Trap(cls(1e-6), at(400, 0, 0, 0), at(200, 0, 0, 400), bad=at(50, 2, 3, 600), blind=at(200, 0, 3, 650))


@dataclass(frozen=True)
class FittedMahalanobis:
    """Mean (d,) and lower triangular whitening (d, d) of trusted rows."""

    layer: int | str
    d: int
    mean: np.ndarray
    whitening: np.ndarray

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        distance = Cloud(self.mean, self.whitening).mean_square(seen.rows)
        return Scores(np.log(np.maximum(distance, 1e-12)), seen.ids, "Mahalanobis")


def _fitted(layer: int | str, cloud: Cloud) -> FittedMahalanobis:
    return FittedMahalanobis(layer, len(cloud.mean), cloud.mean, cloud.whitening)
