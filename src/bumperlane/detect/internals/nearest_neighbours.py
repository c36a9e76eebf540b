"""Distance of an activation to the nearest trusted ones."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments, working
from .whitening import FEWEST, Cloud, same_place

CELLS = 1 << 24  # distances held at once: 64 MB of float32
LEFT_OUT = 2000  # trusted rows, at most, from which the usual distance is taken
NEAREST = 1e-3  # of the usual distance; below it a float32 distance is rounding


@bumper
@dataclass(frozen=True)
class NearestNeighbours:
    """Flags activations that have no trusted ones near them, whatever the shape of the trusted cloud.

    Watches: Activations, rows (n, d) at one layer.
    Score: log of the distance to the k-th nearest trusted row, over the median of that distance among trusted rows;
        about 0 on clean data, at least log 0.001.
    Blind to: a mechanism that moves the activation to where other trusted rows lie (from one trusted cluster into
        another); a change in a few of many dimensions, which the distance over all of them drowns.
    Source: Sun et al. 2022, arXiv:2204.06507. They set rows to unit length; we divide each dimension by its trusted
        spread, so that a few massive dimensions are not the whole distance.

    Scoring N rows against n trusted ones costs N n d operations; memory is the trusted rows and a bounded block.

    Args:
        neighbours: which neighbour's distance is taken. One alone is noisy, many reach past small clusters.
        whitened: divide out correlations too (Ledoit-Wolf), so that distances are Mahalanobis distances.
        unit: set centred rows to unit length, as the paper does. Then only the direction of a row counts.
    """

    watches = Activations
    family = "internals"
    by_default = False
    neighbours: int = 10
    whitened: bool = False
    unit: bool = False

    def __post_init__(self) -> None:
        checked_neighbours(self.neighbours, 10)

    def fit(self, clean: Activations) -> "FittedNearestNeighbours":
        """Keep the trusted rows. Raises EvidenceError below 8 or too few rows, without spread, or if most are equal."""
        refuse_too_few(len(clean.ids), self.neighbours)
        moments = Moments.of(clean)
        if self.whitened:
            cloud = Cloud.around(clean)
            mean, scale = cloud.mean, cloud.whitening
        else:
            mean, scale = moments.mean, moments.spread
        trusted = _placed(clean.rows, mean, scale, self.unit)
        some = np.random.default_rng(0).permutation(len(trusted))[:LEFT_OUT]
        usual = float(np.median(nearest(trusted[some], trusted, self.neighbours, leave=some)[0][:, -1]))
        if usual < 1e-6:
            raise EvidenceError(
                f"most of the {len(trusted)} trusted rows at layer {clean.layer} have {self.neighbours} or more exact "
                "copies, so no distance is usual. Pass trusted prompts that differ, or raise neighbours."
            )
        return FittedNearestNeighbours(*clean.place, mean, scale, trusted, self.neighbours, self.unit, usual)

    @classmethod
    def trap(cls) -> Trap:
        """A row between two trusted clusters, near their common mean; the blind spot goes over into the other one."""
        rng = np.random.default_rng(0)

        def at(n: int, cluster: np.ndarray, start: int) -> Activations:
            return Activations(rng.normal(size=(n, 4)) + 10 * cluster[:, None], numbered(n, start))

        def either(n: int) -> np.ndarray:
            return rng.integers(0, 2, n)

        bad, blind = at(50, np.full(50, 0.5), 1000), at(200, np.ones(200), 1050)
        return Trap(cls(), at(400, either(400), 0), at(600, either(600), 400), bad, blind)


@dataclass(frozen=True)
class FittedNearestNeighbours:
    """Trusted rows (n, d), centred at `mean` (d,) and divided by `scale`: spreads (d,), or a whitening (d, d)."""

    layer: int | str
    d: int
    mean: np.ndarray
    scale: np.ndarray
    trusted: np.ndarray
    neighbours: int
    unit: bool
    usual: float

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        rows = _placed(seen.rows, self.mean, self.scale, self.unit)
        distance = nearest(rows, self.trusted, self.neighbours)[0][:, -1]
        return Scores(np.log(np.maximum(distance / self.usual, NEAREST)), seen.ids, "NearestNeighbours")


def nearest(
    rows: np.ndarray, trusted: np.ndarray, k: int, leave: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distances (n, k) float64, ascending, to the k nearest trusted rows, and their indices (n, k).

    Takes |a|^2 - 2ab + |b|^2 in the rows' own precision: in float32 a distance below about 1e-3 of the rows' length is
    rounding. At most `CELLS` distances are held at once.

    Args:
        leave: (n,) for each row the trusted row that does not count, which is itself where it is trusted.
    """
    lengths = np.einsum("nd,nd->n", trusted, trusted)
    step = max(1, CELLS // len(trusted))
    distances, indices = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        square = lengths - 2 * (part @ trusted.T)  # less |a|^2, which is the same along a row
        if leave is not None:
            square[np.arange(len(part)), leave[start : start + step]] = np.inf
        found = np.argpartition(square, k - 1, axis=1)[:, :k]
        close = np.take_along_axis(square, found, axis=1).astype(np.float64)
        order = np.argsort(close, axis=1, kind="stable")
        close = np.take_along_axis(close, order, axis=1) + np.einsum("nd,nd->n", part, part)[:, None]
        distances[start : start + step] = np.sqrt(np.maximum(close, 0))
        indices[start : start + step] = np.take_along_axis(found, order, axis=1)
    return distances, indices


def scaled(rows: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Rows (..., d) centred and divided by the spread of each dimension; float64 stays, all else becomes float32."""
    rows = working(rows)
    return (rows - mean.astype(rows.dtype)) / spread.astype(rows.dtype)


def checked_neighbours(neighbours: int, usual: int) -> None:
    """Raises SettingError for no neighbour at all."""
    if not (isinstance(neighbours, int) and neighbours >= 1):
        raise SettingError(f"neighbours must be a whole number, 1 or more, got {neighbours!r}. Try {usual}.")


def refuse_too_few(n: int, neighbours: int) -> None:
    """Raises EvidenceError where a trusted row has fewer than `neighbours` others, and below 8 rows."""
    if n < max(FEWEST, neighbours + 1):
        raise EvidenceError(
            f"{neighbours} neighbours need {max(FEWEST, neighbours + 1)} or more trusted rows, got {n}. "
            "Pass more trusted prompts or lower neighbours."
        )


def _placed(rows: np.ndarray, mean: np.ndarray, scale: np.ndarray, unit: bool) -> np.ndarray:
    rows = Cloud(mean, scale).white(rows) if scale.ndim == 2 else scaled(rows, mean, scale)
    if not unit:
        return rows
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows / np.where(lengths > 0, lengths, 1)
