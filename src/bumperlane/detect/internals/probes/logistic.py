"""A probe by penalised logistic regression."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ....errors import EvidenceError, SettingError
from ....types import Activations, Labelled, Trap, numbered
from ...contract import bumper
from .labels import folds_of, two_kinds
from .linear import FittedLinear, mean_and_spread

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)


@bumper
@dataclass(frozen=True)
class LogisticProbe:
    """Flags activations that a logistic regression takes for the kind labelled bad.

    Watches: Activations, rows (n, d) at one layer; fitted on Labelled.
    Score: log-odds of bad against good at the labelled share of bad; below 0 on clean data, no bound.
    Blind to: misbehaviour by another mechanism than the labelled items showed, however far it moves the activation;
        labels that do not transfer, as when all bad examples share a topic; what no single direction can tell.
    Source: Alain and Bengio 2016, arXiv:1610.01644, with an L2 penalty on rows in units of their spread.

    Args:
        strength: L2 penalty on the weights: sum of log-losses + strength / 2 * |weights|^2 (scikit-learn's 1 / C).
            'cross-validated' takes the one of 0.1, 1, ... 1e5 with the lowest held-out log-loss, the strongest of
            equals. Items are held out one by one: near-copies of an item make it choose too weak a penalty.
        folds: number of parts for cross-validation.
    """

    watches = Activations
    learns = Labelled
    family = "internals"
    by_default = False
    strength: float | Literal["cross-validated"] = "cross-validated"
    folds: int = 5

    def __post_init__(self) -> None:
        named = self.strength == "cross-validated"
        if not named and not (isinstance(self.strength, int | float) and 0 < self.strength < np.inf):
            raise SettingError(f"strength must be above 0 or 'cross-validated', got {self.strength!r}. Try 10.")
        if not 2 <= self.folds <= 8:
            raise SettingError(f"folds must be from 2 to 8, got {self.folds}. Try 5.")

    def settled(self, labelled: Labelled) -> "LogisticProbe":
        """The same probe with its strength chosen on this evidence, for refits on parts of it."""
        rows, bad = two_kinds(labelled, "LogisticProbe")
        return replace(self, strength=self._strength(rows, bad))

    def fit(self, clean: Labelled) -> FittedLinear:
        """Learn the direction. Raises EvidenceError below 8 items of a kind, or when all rows are equal."""
        rows, bad = two_kinds(clean, "LogisticProbe")
        weights, bias = regression(rows, bad, (self._strength(rows, bad),))[0]
        return FittedLinear(*clean.activations.place, weights, bias, "LogisticProbe")

    def _strength(self, rows: np.ndarray, bad: np.ndarray) -> float:
        if self.strength != "cross-validated":
            return float(self.strength)
        losses, fold = np.zeros(len(STRENGTHS)), folds_of(bad, self.folds)
        for held in (fold == k for k in range(self.folds)):
            for i, (weights, bias) in enumerate(regression(rows[~held], bad[~held], STRENGTHS)):
                losses[i] += log_loss(rows[held] @ weights + bias, bad[held])
        best = len(STRENGTHS) - 1 - int(np.argmin(losses[::-1]))
        return STRENGTHS[best]

    @classmethod
    def trap(cls) -> Trap:
        """The bad kind is shifted along one axis; the blind spot is a shift along one that the labels did not show."""
        rng = np.random.default_rng(0)

        def at(n: int, axis: int, shift: float, start: int) -> Activations:
            return Activations(rng.normal(size=(n, 8)) + shift * np.eye(8)[axis], numbered(n, start))

        good, bad = at(100, 0, 0, 0), at(100, 0, 5, 100)
        rows, labels = np.concatenate([good.rows, bad.rows]), np.arange(200) >= 100
        fit = Labelled(Activations(rows, good.ids + bad.ids), labels)
        return Trap(cls(10.0), fit, at(200, 0, 0, 200), bad=at(50, 0, 5, 400), blind=at(200, 1, 5, 500))


def regression(rows: np.ndarray, bad: np.ndarray, strengths: tuple[float, ...]) -> list[tuple[np.ndarray, float]]:
    """(weights (d,), bias) in raw rows for each strength; the penalty acts on rows in units of their spread.

    With more dimensions than rows the best weights are a combination of rows, so the fit is done in their span.
    Each fit starts from that of the next stronger penalty. Raises EvidenceError when a fit does not converge.
    """
    mean, spread = mean_and_spread(rows)
    x = (rows - mean) / spread
    basis = np.linalg.qr(x.T)[0] if x.shape[1] > len(x) else None
    x = x if basis is None else x @ basis
    start, found = np.zeros(x.shape[1] + 1), {}
    for strength in sorted(strengths, reverse=True):
        start = _minimum(x, bad, strength, start)
        weights = (start[:-1] if basis is None else basis @ start[:-1]) / spread
        found[strength] = weights, float(start[-1] - mean @ weights)
    return [found[strength] for strength in strengths]


def log_loss(log_odds: np.ndarray, bad: np.ndarray) -> float:
    """Sum over items of -log p(label), in nats."""
    return float(np.logaddexp(0, np.where(bad, -log_odds, log_odds)).sum())


def _minimum(x: np.ndarray, bad: np.ndarray, strength: float, start: np.ndarray) -> np.ndarray:
    """(d + 1,) weights and bias at which the penalised sum of log-losses is least."""

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        odds = x @ at[:-1] + at[-1]
        over = expit(odds) - bad
        slope = np.append(x.T @ over + strength * at[:-1], over.sum())
        return (log_loss(odds, bad) + strength / 2 * (at[:-1] @ at[:-1])) / len(x), slope / len(x)

    settings = {"maxiter": 5000, "maxfun": 20000, "maxcor": 20, "ftol": 0.0, "gtol": 1e-9}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=settings)
    left = float(np.abs(loss(found.x)[1]).max())
    if left > 1e-6:  # in the flat last steps the line search may stop short of gtol; this much it may leave
        raise EvidenceError(
            f"logistic regression of {x.shape[0]} rows at strength {strength:g} did not converge: a slope of "
            f"{left:.2g} is left after {found.nit} steps. Raise the strength."
        )
    return found.x
