"""A probe that is the difference between the mean bad and the mean good activation."""

from dataclasses import dataclass

import numpy as np

from ....errors import EvidenceError
from ....types import Activations, Labelled, Trap, numbered
from ...contract import bumper
from .labels import two_kinds
from .linear import FittedLinear, mean_and_spread


@bumper
@dataclass(frozen=True)
class MeanDifferenceProbe:
    """Flags activations that lie toward the mean of items labelled bad.

    Watches: Activations, rows (n, d) at one layer; fitted on Labelled.
    Score: projection on the difference of the means, in standard deviations of the good items, each left out of the
        mean in its turn; mean 0 on clean data, no bound.
    Blind to: misbehaviour that moves the activation at right angles to what the labelled items showed; labels that
        stand for another thing (a topic, a style) than the misbehaviour. It weighs dimensions without regard to how
        they go together: where two carry the same noise, LDAProbe sees more.
    Source: Marks and Tegmark 2023, arXiv:2310.06824 (difference of means), here in units of within-kind spread.

    Args:
        standardise: divide each dimension by its spread within the two kinds first, so that a few massive dimensions
            do not set the direction. False gives the plain difference.
    """

    watches = Activations
    learns = Labelled
    family = "internals"
    by_default = False
    standardise: bool = True

    def settled(self, labelled: Labelled) -> "MeanDifferenceProbe":
        """This probe: it has nothing to choose from the evidence."""
        return self

    def fit(self, clean: Labelled) -> FittedLinear:
        """Learn the direction. Raises EvidenceError below 8 items of a kind, or when all rows are equal."""
        rows, bad = two_kinds(clean, "MeanDifferenceProbe")
        centres = rows[~bad].mean(axis=0), rows[bad].mean(axis=0)
        spread = np.ones(rows.shape[1])
        if self.standardise:
            spread = mean_and_spread(rows - np.where(bad[:, None], centres[1], centres[0]))[1]
        direction = (centres[1] - centres[0]) / spread
        away = (rows[~bad] - centres[0]) / spread
        # A good row pulled the good mean, and so the direction, away from itself. With many dimensions and few rows
        # that outweighs all else; leaving row i out adds |away_i|^2 / (n - 1) to its projection.
        own = away @ direction + np.einsum("nd,nd->n", away, away) / (len(away) - 1)
        unit = float(own.std())
        if unit == 0:
            raise EvidenceError(
                f"all {len(own)} good rows at layer {clean.activations.layer} project to one point, so there is no "
                "unit to score in. Pass good items that differ, or look at a layer where the kinds differ."
            )
        weights = direction / spread / unit
        bias = -float(centres[0] @ weights + own.mean() / unit)
        return FittedLinear(*clean.activations.place, weights, bias, "MeanDifferenceProbe")

    @classmethod
    def trap(cls) -> Trap:
        """The bad kind is shifted along one axis beside a massive one; the blind spot is a shift along a third."""
        rng, scale = np.random.default_rng(0), np.array([1.0, 300.0, *[1.0] * 14])

        def at(n: int, axis: int, shift: float, start: int) -> Activations:
            return Activations((rng.normal(size=(n, 16)) + shift * np.eye(16)[axis]) * scale, numbered(n, start))

        good, bad = at(300, 0, 0, 0), at(300, 0, 5, 300)
        rows, labels = np.concatenate([good.rows, bad.rows]), np.arange(600) >= 300
        fit = Labelled(Activations(rows, good.ids + bad.ids), labels)
        return Trap(cls(), fit, at(200, 0, 0, 600), bad=at(50, 0, 5, 800), blind=at(200, 2, 5, 900))
