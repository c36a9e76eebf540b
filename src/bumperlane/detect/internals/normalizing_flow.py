"""How unlikely an activation is under a density that was bent to fit trusted ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .reduction import Reduction, Weights, minimise

FOLD = 2.0  # a coupling stretches by at most e^2: rows far outside stay finite


@bumper
@dataclass(frozen=True)
class NormalizingFlow:
    """Flags activations that are unlikely under a density learnt from trusted ones.

    Watches: Activations, rows (n, d) at one layer.
    Score: negative log-likelihood in nats a coordinate, less its median on trusted rows; about 0 on clean data, no
        bound.
    Blind to: a mechanism that moves the activation to where trusted ones are as dense; the direction, though not the
        size, of a change outside the leading axes.
    Source: Dinh, Sohl-Dickstein and Bengio 2017, arXiv:1605.08803 (affine couplings, here with random halves), on
        leading axes of correlation-scaled rows (`Reduction`). It begins as a Gaussian, and remains one where rows that
        were kept aside are no likelier under what it learns.

    Fitting costs an eigendecomposition, O(d^3), and `steps` steps on batches of 128.

    Args:
        axes: principal axes that are kept, at most; no more than a quarter of the rows that give them.
        couplings: affine couplings; each changes one half of the coordinates by a function of the other.
        hidden: width of the hidden layer in each.
        steps: training steps.
        prior: precision of the weights' prior; much of it leaves a Gaussian with independent coordinates.
        seed: of halves, first weights and batches.
    """

    watches = Activations
    family = "internals"
    by_default = False
    axes: int = 16
    couplings: int = 6
    hidden: int = 32
    steps: int = 300
    prior: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.axes, self.couplings, self.hidden, self.steps) < 1 or not self.prior >= 0:
            raise SettingError(
                f"axes, couplings, hidden and steps must be 1 or more and prior 0 or more, got {self.axes}, "
                f"{self.couplings}, {self.hidden}, {self.steps} and {self.prior}. Try 16, 6, 32, 300 and 5."
            )

    def fit(self, clean: Activations) -> "FittedNormalizingFlow":
        """Train it. Raises EvidenceError below 40 rows or without spread, SettingError without torch."""
        reduction, rows = Reduction.halved(clean, self.axes)
        keep, weights = self._first(rows.shape[1])

        def loss(torch: Any, held: dict[str, Any], batch: Any, noise: Any) -> Any:
            return unlikely(torch, torch.from_numpy(keep), held, batch).mean()

        weights = minimise(loss, weights, rows, self.steps, self.seed, self.prior)
        usual = float(np.median(unlikely(np, keep, weights, rows)))
        return FittedNormalizingFlow(**vars(reduction), keep=keep, **weights, usual=usual)

    def _first(self, width: int) -> tuple[np.ndarray, Weights]:
        """Which coordinates each coupling keeps, (couplings, width) of 0 and 1, and weights of the identity."""
        rng, keep = np.random.default_rng(self.seed), np.zeros((self.couplings, width))
        for i in range(self.couplings):  # a random half, then the other half
            keep[i] = 1 - keep[i - 1] if i % 2 else rng.permutation(width) < width // 2
        return keep, {
            "into": rng.normal(size=(self.couplings, width + 1, self.hidden)) / np.sqrt(width + 1),
            "out": np.zeros((self.couplings, self.hidden + 1, 2 * width)),
        }

    @classmethod
    def trap(cls) -> Trap:
        """Trusted rows lie along a parabola, the bad ones inside it; the blind spot is its other arm."""
        rng = np.random.default_rng(0)

        def at(n: int, arm: tuple[float, float], shift: float, start: int) -> Activations:
            x = rng.uniform(*arm, n)
            curve = np.c_[x, x**2 + shift, np.zeros((n, 2))]
            return Activations(curve + rng.normal(size=(n, 4)) * 0.1, numbered(n, start))

        fit, clean = at(1000, (-2, 2), 0, 0), at(200, (-2, 2), 0, 1000)
        return Trap(
            cls(couplings=4, steps=200), fit, clean, bad=at(50, (-0.5, 0.5), 3, 1200), blind=at(200, (1, 1.9), 0, 1250)
        )


@dataclass(frozen=True)
class FittedNormalizingFlow(Reduction):
    """The reduction; for each coupling the coordinates `keep` that it does not change, and its two layers of weights
    with their biases in the last row: first all that is added, then the log of all that is stretched."""

    keep: np.ndarray
    into: np.ndarray
    out: np.ndarray
    usual: float

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        rows = self.coordinates(seen)
        found = unlikely(np, self.keep, vars(self), rows)
        return Scores((found - self.usual) / rows.shape[1], seen.ids, "NormalizingFlow")

    def straighten(self, rows: np.ndarray) -> np.ndarray:
        """Coordinates (n, k) to the space in which trusted ones are a standard normal."""
        return straightened(np, self.keep, vars(self), rows)[0]

    def bend(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `straighten`."""
        for keep, into, out in zip(self.keep[::-1], self.into[::-1], self.out[::-1], strict=True):
            added, stretch = _coupling(np, keep, into, out, rows)
            rows = (rows - added) * np.exp(-stretch)
        return rows


def straightened(xp: Any, keep: Any, weights: Any, rows: Any) -> tuple[Any, Any]:
    """Rows (n, k) after all couplings, and the log determinant of the Jacobian, (n,); `xp` is numpy or torch."""
    volume: Any = 0.0
    for i in range(len(keep)):
        added, stretch = _coupling(xp, keep[i], weights["into"][i], weights["out"][i], rows)
        rows, volume = rows * xp.exp(stretch) + added, volume + stretch.sum(1)
    return rows, volume


def unlikely(xp: Any, keep: Any, weights: Any, rows: Any) -> Any:
    """Negative log-likelihood (n,) in nats."""
    white, volume = straightened(xp, keep, weights, rows)
    return (white**2).sum(1) / 2 + white.shape[1] * (np.log(2 * np.pi) / 2) - volume


def _coupling(xp: Any, keep: Any, into: Any, out: Any, rows: Any) -> tuple[Any, Any]:
    """What is added, and the log of what is multiplied: both 0 on the kept coordinates and functions of those alone."""
    hidden = xp.tanh((rows * keep) @ into[:-1] + into[-1])
    both, width = hidden @ out[:-1] + out[-1], rows.shape[1]
    return both[:, :width] * (1 - keep), FOLD * xp.tanh(both[:, width:] / FOLD) * (1 - keep)
