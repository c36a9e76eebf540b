"""Whether an activation keeps its trusted neighbours from layer to layer."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Activations, Layers, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments, working
from .nearest_neighbours import CELLS, checked_neighbours, nearest, scaled
from .whitening import FEWEST, Cloud


@bumper
@dataclass(frozen=True)
class TopologicalEvolution:
    """Flags items that have other trusted neighbours at the last layer than at earlier ones.

    Watches: Layers, rows (n, L, d), L of 2 or more, shallow to deep.
    Score: log of the mean squared whitened log rank, about 0 on clean data; no bound but that of the ranks.
    Blind to: a mechanism that acts before the first layer read, or moves an item together with its neighbours; how far
        the item is, since ranks have no unit.
    Source: Mo et al. 2023, arXiv:2312.02673 ("TED"), adapted. There the rank of the nearest trusted item of the same
        predicted class is taken at each layer; we know no classes, so the item's nearest trusted items at the last
        layer stand for its class. Rank vectors of trusted items leave the item itself out. The outlier score over PCA
        axes is here a Mahalanobis distance (Ledoit and Wolf 2004), on logs, as ranks spread over decades.

    Cost: L d operations for each pair of trusted rows to fit, and of an item and a trusted row to score; the trusted
    rows are kept at every layer. `most_rows` caps both.

    Args:
        neighbours: trusted items at the last layer that stand for the item's class; the nearest alone is a noisy class.
        most_rows: trusted items kept; from more, this many are drawn at a fixed seed.
    """

    watches = Layers
    family = "internals"
    by_default = False
    neighbours: int = 5
    most_rows: int = 2000

    def __post_init__(self) -> None:
        checked_neighbours(self.neighbours, 5)
        if self.most_rows < self._fewest:
            raise SettingError(
                f"{self.neighbours} neighbours need most_rows of {self._fewest} or more, got {self.most_rows}. "
                "Try 2000."
            )

    @property
    def _fewest(self) -> int:
        """The items that stand for a class may be a quarter of all at most: ranks beyond them must mean something."""
        return max(FEWEST, 4 * self.neighbours)

    def fit(self, clean: Layers) -> "FittedTopologicalEvolution":
        """Learn the usual ranks. Raises EvidenceError for one layer, too few items, or ranks that never change."""
        n, deep = len(clean.ids), len(clean.layers)
        if deep < 2:
            raise EvidenceError(f"ranks change between layers, got only {clean.layers}. Read 2 or more layers.")
        if n < self._fewest:
            raise EvidenceError(
                f"{self.neighbours} neighbours that stand for a class need {self._fewest} or more trusted items, "
                f"got {n}. Pass more trusted prompts or lower neighbours."
            )
        some = np.sort(np.random.default_rng(0).permutation(n)[: self.most_rows])
        kept = Layers(clean.rows[some], tuple(clean.ids[i] for i in some), clean.layers)
        moments = [Moments.of(kept.at(i)) for i in range(deep)]
        mean, spread = np.stack([m.mean for m in moments]), np.stack([m.spread for m in moments])
        trusted = scaled(kept.rows, mean, spread)
        ranks = _log_ranks(trusted, trusted, self.neighbours, leave=np.arange(len(trusted)))
        if not np.ptp(ranks, axis=0).any():
            raise EvidenceError(
                f"all {len(some)} trusted items have the same ranks at layers {clean.layers}: no layer reorders them. "
                "Read layers that lie further apart."
            )
        cloud = Cloud.around(Activations(ranks, kept.ids))
        return FittedTopologicalEvolution(
            *clean.place, mean, spread, trusted, self.neighbours, cloud.mean, cloud.whitening
        )

    @classmethod
    def trap(cls) -> Trap:
        """Trusted items stay in their cluster, the bad ones change over on the way; the blind spot did so before."""
        rng, d, layers = np.random.default_rng(0), 8, (2, 4, 6, 8, 10)
        centres = 4 * rng.normal(size=(4, d))

        def at(n: int, first: np.ndarray, last: np.ndarray, start: int) -> Layers:
            way = np.stack([first, first, first, last, last], axis=1)
            return Layers(centres[way] + rng.normal(size=(n, len(layers), d)), numbered(n, start), layers)

        def stay(n: int, start: int) -> Layers:
            cluster = rng.integers(0, 4, n)
            return at(n, cluster, cluster, start)

        zero, one = np.zeros(200, int), np.ones(200, int)
        return Trap(
            cls(), stay(400, 0), stay(200, 400), bad=at(50, zero[:50], one[:50], 600), blind=at(200, one, one, 650)
        )


@dataclass(frozen=True)
class FittedTopologicalEvolution:
    """Trusted rows (n, L, d) in units of `spread` (L, d); mean (L - 1,) and whitening of their log ranks."""

    layers: tuple[int, ...]
    d: int
    mean: np.ndarray
    spread: np.ndarray
    trusted: np.ndarray
    neighbours: int
    rank_mean: np.ndarray
    rank_whitening: np.ndarray

    def score(self, seen: Layers) -> Scores:
        """Raises EvidenceError for other layers or another width than the fitted ones."""
        if seen.place != (self.layers, self.d):
            raise EvidenceError(
                f"fitted at (layers, d) {(self.layers, self.d)}, cannot score {seen.place}. Read the same layers."
            )
        ranks = _log_ranks(scaled(seen.rows, self.mean, self.spread), self.trusted, self.neighbours)
        distance = Cloud(self.rank_mean, self.rank_whitening).mean_square(ranks)
        return Scores(np.log(np.maximum(distance, 1e-12)), seen.ids, "TopologicalEvolution")


def _log_ranks(rows: np.ndarray, trusted: np.ndarray, k: int, leave: np.ndarray | None = None) -> np.ndarray:
    """Log of 1 + how many trusted items lie nearer than the nearest of the k that are nearest at the last layer.

    At every layer but the last, where it is 0: (n, L - 1) float64. `leave` as for `nearest`.
    """
    kin = nearest(working(rows[:, -1]), trusted[:, -1], k, leave)[1]
    ranks, step = np.zeros((len(rows), rows.shape[1] - 1)), max(1, CELLS // len(trusted))
    for layer in range(rows.shape[1] - 1):
        near = np.ascontiguousarray(trusted[:, layer])
        lengths = np.einsum("nd,nd->n", near, near)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            away = lengths - 2 * (rows[part, layer] @ near.T)  # squared distance, but for what is equal along a row
            if leave is not None:
                away[np.arange(len(away)), leave[part]] = np.inf
            nearest_kin = np.take_along_axis(away, kin[part], axis=1).min(axis=1)
            ranks[part, layer] = (away < nearest_kin[:, None]).sum(axis=1)
    return np.log1p(ranks)
