"""A probe that is optimal for two Gaussian clouds of one shape."""

from dataclasses import dataclass

import numpy as np

from ....types import Activations, Labelled, Trap, numbered
from ...contract import bumper
from ..whitening import Cloud, Shrinkage, checked
from .labels import two_kinds
from .linear import FittedLinear


@bumper
@dataclass(frozen=True)
class LDAProbe:
    """Flags activations that lie toward the items labelled bad, in units of the spread that both kinds share.

    Watches: Activations, rows (n, d) at one layer; fitted on Labelled.
    Score: log-odds of bad against good at the labelled share of bad, if both kinds are Gaussian with one covariance;
        below 0 on clean data, no bound. Too sure of itself where there are not many more rows than dimensions.
    Blind to: a bad kind with the same mean and another shape (spread, correlation); whatever the labelled items did
        not show; labels that stand for another thing than the misbehaviour.
    Source: Fisher 1936; shrunk as in Friedman 1989, on correlations instead of covariances. Agrees with
        scikit-learn's LinearDiscriminantAnalysis(solver='lsqr') on rows in units of their within-kind spread.

    Args:
        shrinkage: in (0, 1], share of the within-kind correlation matrix replaced by the identity, or how it is
            estimated: 'ledoit-wolf' or 'oas'.
    """

    watches = Activations
    learns = Labelled
    family = "internals"
    by_default = False
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def settled(self, labelled: Labelled) -> "LDAProbe":
        """This probe: it has nothing to choose from the evidence."""
        return self

    def fit(self, clean: Labelled) -> FittedLinear:
        """Learn the direction. Raises EvidenceError below 8 items of a kind, or when rows differ only between kinds."""
        rows, bad = two_kinds(clean, "LDAProbe")
        good_mean, bad_mean = rows[~bad].mean(axis=0), rows[bad].mean(axis=0)
        within = rows - np.where(bad[:, None], bad_mean, good_mean)
        cloud = Cloud.around(Activations(within, clean.ids, clean.activations.layer), self.shrinkage)
        weights = cloud.whitening.T @ (cloud.whitening @ (bad_mean - good_mean))
        prior = np.log(bad.sum() / (~bad).sum())
        bias = float(prior - (good_mean + bad_mean) @ weights / 2)
        return FittedLinear(*clean.activations.place, weights, bias, "LDAProbe")

    @classmethod
    def trap(cls) -> Trap:
        """A small shift against noise that two axes share; the blind spot is a bad kind of another shape."""
        rng = np.random.default_rng(0)

        def at(n: int, shift: float, twist: float, start: int) -> Activations:
            rows = rng.normal(size=(n, 8))
            rows[:, 1] += 8 * rows[:, 0]  # most of axis 1 is axis 0 again
            rows[:, 3] += twist * rows[:, 2]
            rows[:, 1] += shift
            return Activations(rows, numbered(n, start))

        good, bad = at(300, 0, 0, 0), at(300, 5, 0, 300)
        rows, labels = np.concatenate([good.rows, bad.rows]), np.arange(600) >= 300
        fit = Labelled(Activations(rows, good.ids + bad.ids), labels)
        return Trap(cls(1e-6), fit, at(200, 0, 0, 600), bad=at(50, 5, 0, 800), blind=at(200, 0, 4, 900))
