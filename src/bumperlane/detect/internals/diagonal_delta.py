"""How unusual the step from each layer to the next is."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Layers, Scores, Trap, numbered
from ..contract import bumper
from .moments import blocks, working
from .whitening import FEWEST, too_few


@bumper
@dataclass(frozen=True)
class DiagonalDelta:
    """Flags items whose activation moves in another way from layer to layer than it does on trusted items.

    Watches: Layers, rows (n, L, d) at two layers or more.
    Score: log of the mean squared step from a layer to the next, each dimension in units of its trusted spread; about
        0 on clean data, no bound.
    Blind to: what is there before the first layer and is only carried on; steps whose dimensions are each usual and
        only their combination is not.
    Source: our own; Mahalanobis distance (Lee et al. 2018) with a diagonal covariance, on differences of layers.
    """

    watches = Layers
    family = "internals"
    by_default = False

    def fit(self, clean: Layers) -> "FittedDiagonalDelta":
        """Learn mean and spread of each step. Raises EvidenceError below 8 rows or 2 layers, or without spread."""
        n, count, d = clean.rows.shape
        if n < FEWEST:
            raise EvidenceError(too_few(n))
        if count < 2:
            raise EvidenceError(f"a step takes 2 or more layers, got layers {clean.layers}. Read a second layer.")
        near = next(_steps(clean.rows[:1]))[0].astype(np.float64)  # rows less this one: a large offset costs no digits
        first, second = np.zeros((count - 1, d)), np.zeros((count - 1, d))
        for step in _steps(clean.rows):
            away = step - near
            first += away.sum(axis=0)
            second += np.einsum("nld,nld->ld", away, away)
        mean = first / n
        spread = np.sqrt(np.maximum(second / n - mean**2, 0.0))
        mean += near
        still = spread <= 1e-6 * np.maximum(np.abs(mean), np.finfo(np.float64).tiny)  # rounding is no spread
        stuck = [
            pair for pair, s in zip(zip(clean.layers, clean.layers[1:], strict=False), still, strict=True) if s.all()
        ]
        if stuck:
            raise EvidenceError(
                f"all {n} trusted rows take the same step between layers {stuck[0][0]} and {stuck[0][1]}. "
                "Check that the hooks read two different modules."
            )
        least = np.where(still, np.inf, spread).min(axis=1, keepdims=True)  # of the dimensions that did move
        return FittedDiagonalDelta(clean.layers, d, mean, np.where(still, least, spread))

    @classmethod
    def trap(cls) -> Trap:
        """A step the other way in a quiet dimension; the blind spot comes in before the first layer."""
        rng, widths = np.random.default_rng(0), np.array([20.0, 1.0, 1.0, 0.1])

        def walk(n: int, start: int, before: float = 0.0, between: float = 0.0) -> Layers:
            rows = np.cumsum(rng.normal(size=(n, 3, 4)) * widths, axis=1)
            rows[:, :, 3] += before
            rows[:, 1:, 3] += between
            return Layers(rows, numbered(n, start), (4, 8, 12))

        return Trap(
            cls(), walk(400, 0), walk(200, 400), bad=walk(50, 600, between=1.0), blind=walk(200, 650, before=9.0)
        )


@dataclass(frozen=True)
class FittedDiagonalDelta:
    """Mean and spread of the steps between layers, each (L - 1, d)."""

    layers: tuple[int, ...]
    d: int
    mean: np.ndarray
    spread: np.ndarray

    def score(self, seen: Layers) -> Scores:
        """Raises EvidenceError for other layers or another width than the fitted ones."""
        if seen.place != (self.layers, self.d):
            raise EvidenceError(
                f"fitted at (layers, d) {(self.layers, self.d)}, cannot score {seen.place}. Read the same layers."
            )
        values = [np.zeros(0)]
        for step in _steps(seen.rows):
            away = (step - self.mean) / self.spread
            values.append(np.einsum("nld,nld->n", away, away) / self.mean.size)
        return Scores(np.log(np.maximum(np.concatenate(values), 1e-12)), seen.ids, "DiagonalDelta")


def _steps(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Differences of consecutive layers, (n, L - 1, d), part by part, in the rows' working precision."""
    return (np.diff(working(part), axis=1) for part in blocks(rows, 256))
