"""How much emptier it is around an activation than around its trusted neighbours."""

from dataclasses import dataclass

import numpy as np

from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments
from .nearest_neighbours import checked_neighbours, nearest, refuse_too_few, scaled
from .whitening import same_place

COPIES = 1e-10  # keeps the density finite where all neighbours are copies of one row


@bumper
@dataclass(frozen=True)
class LocalOutlierFactor:
    """Flags activations that lie apart from trusted ones, by the measure of how close together those lie there.

    Watches: Activations, rows (n, d) at one layer.
    Score: log of the local outlier factor: the mean local density of the k nearest trusted rows over that of the item;
        about 0 on clean data, no bound.
    Blind to: a mechanism that moves the activation within a loose trusted cluster, even as far as would be much beside
        a tight one, or into another trusted cluster; a change in a few of many dimensions.
    Source: Breunig, Kriegel, Ng and Sander 2000, for new rows ("novelty"), on dimensions in units of trusted spread.

    Fitting n trusted rows costs n^2 d operations, scoring N rows N n d; memory is the trusted rows and a bounded block.

    Args:
        neighbours: how many trusted rows the density is taken over.
    """

    watches = Activations
    family = "internals"
    by_default = False
    neighbours: int = 20

    def __post_init__(self) -> None:
        checked_neighbours(self.neighbours, 20)

    def fit(self, clean: Activations) -> "FittedLocalOutlierFactor":
        """Learn the density around each trusted row. Raises EvidenceError for too few rows or without spread."""
        refuse_too_few(len(clean.ids), self.neighbours)
        moments = Moments.of(clean)
        trusted = scaled(clean.rows, moments.mean, moments.spread)
        distances, indices = nearest(trusted, trusted, self.neighbours, leave=np.arange(len(trusted)))
        reach = distances[:, -1]
        density = _density(distances, reach[indices])
        return FittedLocalOutlierFactor(
            *clean.place, moments.mean, moments.spread, trusted, reach, density, self.neighbours
        )

    @classmethod
    def trap(cls) -> Trap:
        """Beside a tight cluster, as far as is nothing in a loose one; the blind spot is as far, in the loose one."""
        rng = np.random.default_rng(0)

        def at(n: int, tight: np.ndarray, shift: float, start: int) -> Activations:
            cloud = rng.normal(size=(n, 4)) * np.where(tight, 0.1, 3.0)[:, None] + np.where(tight, 0, 20.0)[:, None]
            return Activations(cloud + shift * np.eye(4)[1], numbered(n, start))

        def either(n: int) -> np.ndarray:
            return rng.integers(0, 2, n) == 1

        bad, blind = at(50, np.full(50, True), 1.5, 1000), at(200, np.full(200, False), 1.5, 1050)
        return Trap(cls(), at(400, either(400), 0, 0), at(600, either(600), 0, 400), bad, blind)


@dataclass(frozen=True)
class FittedLocalOutlierFactor:
    """Trusted rows (n, d) in units of their spread; for each the distance to its k-th neighbour, and its density."""

    layer: int | str
    d: int
    mean: np.ndarray
    spread: np.ndarray
    trusted: np.ndarray
    reach: np.ndarray
    density: np.ndarray
    neighbours: int

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        rows = scaled(seen.rows, self.mean, self.spread)
        distances, indices = nearest(rows, self.trusted, self.neighbours)
        around = self.density[indices].mean(axis=1)
        return Scores(np.log(around / _density(distances, self.reach[indices])), seen.ids, "LocalOutlierFactor")


def _density(distances: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """One over the mean reachability distance: no neighbour counts as nearer than it is to its own k-th neighbour."""
    return 1 / (np.maximum(distances, reach).mean(axis=1) + COPIES)
