"""How far an item reaches along the one direction in which the untrusted batch reaches farthest."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments, working
from .quantum_entropy import both_moments, refuse_unlike, surplus
from .whitening import oas, same_place, squared_length


@bumper
@dataclass(frozen=True)
class SpectralSignature:
    """Flags items of an untrusted batch that reach far along its top singular direction.

    Rows are centred by the trusted mean, and each dimension is in units of its trusted spread.

    Watches: Activations, rows (n, d) at one layer; offline, it needs the untrusted batch.
    Score: log of 1 plus the squared projection in units of its trusted variance; 0 or more, mean 0.5 on clean data.
    Blind to: anomalies that do not carry the top direction: where trusted rows vary strongly together, that is the
        top direction of any batch. SPECTRE and quantum entropy whiten, and see those.
    Source: Tran, Li and Madry 2018, arXiv:1811.00636, on one class, with mean and spread of trusted rows.
    """

    watches = Activations
    family = "internals"
    by_default = False

    def fit(self, clean: Activations, untrusted: Activations) -> "FittedSpectralSignature":
        """Learn the direction. Raises EvidenceError below 8 rows of either, without spread, or at different places."""
        return _fitted(*both_moments(clean, untrusted), working(clean.rows[:1]).dtype)

    def fit_moments(self, clean: Moments, untrusted: Moments) -> "FittedSpectralSignature":
        """Learn it from streamed or merged moments."""
        refuse_unlike(clean, untrusted)
        return _fitted(clean, untrusted, np.dtype(np.float32))

    @classmethod
    def trap(cls) -> Trap:
        """A strong common mode; the blind spot is a weaker one, across a direction that all dimensions share."""
        rng, mix = np.random.default_rng(0), np.eye(12) + np.ones((12, 12)) / 4

        def at(n: int, shift: float, start: int) -> Activations:
            across = np.r_[shift, -shift, np.zeros(10)]
            return Activations(rng.normal(size=(n, 12)) @ mix + across, numbered(n, start))

        return Trap(cls(), at(800, 0, 0), at(600, 0, 800), bad=at(120, 12, 1400), blind=at(300, 3, 1520))


@dataclass(frozen=True)
class FittedSpectralSignature:
    """Trusted mean (d,), and the direction (1, d) in units of the trusted spread along it."""

    layer: int | str
    d: int
    mean: np.ndarray
    direction: np.ndarray

    def score_batch(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        values = squared_length(seen.rows, self.mean, self.direction)
        return Scores(np.log1p(values), seen.ids, "SpectralSignature")


def _fitted(clean: Moments, batch: Moments, dtype: np.dtype) -> FittedSpectralSignature:
    d, spread, trusted = len(clean.mean), clean.spread, clean.correlation
    second = trusted + surplus(clean, batch) / spread[:, None] / spread
    top = eigh(second, subset_by_index=(d - 1, d - 1), overwrite_a=True, check_finite=False)[1][:, 0]
    share = oas(clean.n, trusted)  # without it, too few trusted rows may not vary along it at all
    variance = (1 - share) * float(top @ trusted @ top) + share * float(np.trace(trusted)) / d
    direction = top / spread / np.sqrt(variance)
    return FittedSpectralSignature(clean.layer, d, clean.mean.astype(dtype), direction[None].astype(dtype))
