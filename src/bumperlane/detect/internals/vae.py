"""How badly a small autoencoder, trained on trusted activations, explains another one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .reduction import Reduction, Weights, minimise

LEAST_NOISE = 1e-3  # variance, in units of a coordinate's own


@bumper
@dataclass(frozen=True)
class VariationalAutoencoder:
    """Flags activations that a few latent numbers, learnt on trusted ones, do not explain.

    Watches: Activations, rows (n, d) at one layer.
    Score: log of the negative evidence lower bound over its median on trusted rows, both less the least that the bound
        can be; about 0 on clean data, no bound.
    Blind to: a mechanism that moves the activation along the trusted surface; the direction, though not the size, of a
        change outside the leading axes.
    Source: Kingma and Welling 2014, arXiv:1312.6114, with the noise of each coordinate at its best value (Rybkin et al.
        2021, arXiv:2006.13202), on leading axes of correlation-scaled rows (`Reduction`). Scored at the mean of the
        posterior instead of a sample, so that the same item always has the same score.

    One hidden layer each way. Fitting costs an eigendecomposition, O(d^3), and `steps` steps on batches of 128.

    Args:
        axes: principal axes that are kept, at most; no more than a quarter of the rows that give them.
        latent: latent numbers, at most; fewer than coordinates.
        hidden: width of the hidden layers.
        steps: training steps.
        prior: precision of the weights' prior; more makes it simpler.
        seed: of the first weights, batches and noise.
    """

    watches = Activations
    family = "internals"
    by_default = False
    axes: int = 32
    latent: int = 8
    hidden: int = 64
    steps: int = 400
    prior: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.axes, self.latent, self.hidden, self.steps) < 1 or not self.prior >= 0:
            raise SettingError(
                f"axes, latent, hidden and steps must be 1 or more and prior 0 or more, got {self.axes}, "
                f"{self.latent}, {self.hidden}, {self.steps} and {self.prior}. Try 32, 8, 64, 400 and 1."
            )

    def fit(self, clean: Activations) -> "FittedVariationalAutoencoder":
        """Train it. Raises EvidenceError below 40 rows or without spread, SettingError without torch."""
        reduction, rows = Reduction.halved(clean, self.axes)
        weights = minimise(_loss, self._first(rows.shape[1]), rows, self.steps, self.seed, self.prior)
        noise = np.random.default_rng(self.seed).normal(size=rows.shape)
        weights["log_noise"] = _log_noise(np, _terms(np, weights, rows, noise)[0])
        usual = float(np.median(_cost(weights, rows)))
        return FittedVariationalAutoencoder(**vars(reduction), **weights, usual=usual)

    def _first(self, width: int) -> Weights:
        rng, latent = np.random.default_rng(self.seed), min(self.latent, max(1, width - 1))

        def layer(ins: int, outs: int) -> np.ndarray:
            """Weights and, in the last row, biases."""
            return np.r_[rng.normal(size=(ins, outs)) / np.sqrt(ins), np.zeros((1, outs))]

        posterior = layer(self.hidden, 2 * latent) * 0.5
        posterior[-1, latent:] = -3  # begin narrow: from a wide posterior the latent numbers often end up unused
        return {
            "encode": layer(width, self.hidden),
            "posterior": posterior,
            "decode": layer(latent, self.hidden),
            "rebuild": layer(self.hidden, width) * 0.1,
        }

    @classmethod
    def trap(cls) -> Trap:
        """Five pairs of dimensions tell one angle, in the bad rows five; the blind spot is one part of the circle.

        Means, variances and correlations are the same in all but the blind rows.
        """
        rng, times = np.random.default_rng(0), np.arange(1, 6)

        def at(n: int, angle: np.ndarray, start: int) -> Activations:
            ring = np.c_[np.cos(times * angle), np.sin(times * angle)]
            return Activations(ring + rng.normal(size=(n, 10)) * 0.1, numbered(n, start))

        def one(n: int, most: float = 2 * np.pi) -> np.ndarray:
            return rng.uniform(0, most, (n, 1))

        fit, clean = at(600, one(600), 0), at(200, one(200), 600)
        bad, blind = at(50, rng.uniform(0, 2 * np.pi, (50, 5)), 800), at(200, one(200, 2), 850)
        return Trap(cls(steps=300), fit, clean, bad, blind)


@dataclass(frozen=True)
class FittedVariationalAutoencoder(Reduction):
    """The reduction, and the weights of each layer with its biases in the last row."""

    encode: np.ndarray
    posterior: np.ndarray
    decode: np.ndarray
    rebuild: np.ndarray
    log_noise: np.ndarray
    usual: float

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        cost = _cost(vars(self), self.coordinates(seen))
        return Scores(np.log(np.maximum(cost / self.usual, 1e-12)), seen.ids, "VariationalAutoencoder")


def _terms(xp: Any, weights: Any, rows: Any, noise: Any = None) -> tuple[Any, Any]:
    """Squared errors of the rebuilt rows (n, k), and divergences of the posterior from the prior (n,) in nats.

    Rebuilt from the mean of the posterior, or with noise from a sample. `xp` is numpy or torch.
    """
    both = _through(xp.tanh(_through(rows, weights["encode"])), weights["posterior"])
    width = both.shape[1] // 2
    mean, log_variance = both[:, :width], both[:, width:]
    latent = mean if noise is None else mean + xp.exp(log_variance / 2) * noise[:, :width]
    rebuilt = _through(xp.tanh(_through(latent, weights["decode"])), weights["rebuild"])
    return (rows - rebuilt) ** 2, (mean**2 + xp.exp(log_variance) - log_variance - 1).sum(1) / 2


def _cost(weights: Any, rows: np.ndarray) -> np.ndarray:
    """Negative evidence lower bound (n,) in nats, less the terms that are equal for all rows; 0 or more."""
    missed, divergence = _terms(np, weights, rows)
    return (missed * np.exp(-weights["log_noise"])).sum(axis=1) / 2 + divergence


def _log_noise(xp: Any, missed: Any) -> Any:
    """Log variance of each coordinate at which the bound is best."""
    return xp.log(missed.mean(0) + LEAST_NOISE)


def _loss(torch: Any, weights: dict[str, Any], batch: Any, noise: Any) -> Any:
    missed, divergence = _terms(torch, weights, batch, noise)
    return divergence.mean() + _log_noise(torch, missed).sum() / 2


def _through(rows: Any, layer: Any) -> Any:
    return rows @ layer[:-1] + layer[-1]
