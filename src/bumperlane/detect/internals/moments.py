"""Count, mean and scatter of activations: fitted by streaming, merged over shards, the same in any order."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Activations

BLOCK = 4096


@dataclass(frozen=True)
class Moments:
    """What trusted rows sum up to. Add two to get those of both: shards and workers may come in any order.

    Products of float32 (or bfloat16, float16) rows are taken in float32 on rows centred by their own block, and summed
    in float64; float64 rows stay in float64 throughout.

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".

    Attributes:
        n: rows seen.
        mean: (d,) float64.
        scatter: (d, d) float64, sum over rows of the outer product of what differs from the mean.
        layer: block index the rows were read after, or the name of the site.
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray
    layer: int | str = 0

    @classmethod
    def of(cls, seen: Activations) -> "Moments":
        """Moments of some rows. Raises EvidenceError without rows. `Activations` has refused NaN and infinity."""
        if not len(seen.ids):
            raise EvidenceError(f"moments of no rows at layer {seen.layer} mean nothing. Pass at least one item.")
        n, d = seen.rows.shape
        size = min(n, max(BLOCK, 4 * d))  # adding up a (d, d) product in float64 shall cost little beside taking it
        kind = working(seen.rows[:1]).dtype
        room, product, scatter = np.empty((size, d), kind), np.empty((d, d), kind), np.zeros((d, d))
        counts, means, rests = [], [], []
        for part in map(working, blocks(seen.rows, size)):
            near = part[:: len(part) // 64 + 1].mean(axis=0)  # close enough to the block's mean to keep its digits
            centred = np.subtract(part, near, out=room[: len(part)])
            rest = (np.full(len(part), 1 / len(part), kind) @ centred).astype(np.float64)
            scatter += np.matmul(centred.T, centred, out=product)
            counts.append(len(part))
            means.append(near + rest)
            rests.append(rest)
        return cls._joined(scatter, np.array(counts), np.array(means), np.array(rests), seen.layer)

    @classmethod
    def stream(cls, shards: Iterable[Activations]) -> "Moments":
        """Moments of shards that need never be in memory together."""
        found = None
        for shard in shards:
            found = cls.of(shard) if found is None else found + cls.of(shard)
        if found is None:
            raise EvidenceError("moments of no shards mean nothing. Pass at least one.")
        return found

    @classmethod
    def _joined(
        cls, scatter: np.ndarray, counts: np.ndarray, means: np.ndarray, rests: np.ndarray, layer: int | str
    ) -> "Moments":
        """Blocks as one: to their summed scatter (changed in place) comes that between their means (blocks, d), and
        away goes what comes of each being centred by its `rests` (blocks, d) too little."""
        n = int(counts.sum())
        mean = counts @ means / n
        weight = np.sqrt(counts)[:, None]
        gaps, off = (means - mean) * weight, rests * weight
        scatter += np.concatenate([gaps, off]).T @ np.concatenate([gaps, -off])
        return cls(n, mean, scatter, layer)

    def __add__(self, other: "Moments") -> "Moments":
        """Raises EvidenceError when the two were read at other places."""
        if (self.layer, self.mean.shape) != (other.layer, other.mean.shape):
            raise EvidenceError(
                f"moments at (layer, d) {(self.layer, len(self.mean))} and {(other.layer, len(other.mean))} cannot be "
                "added. Read both at the same place."
            )
        n = self.n + other.n
        gap = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(gap * (self.n * other.n / n), gap)
        return Moments(n, self.mean + gap * (other.n / n), scatter, self.layer)

    @property
    def covariance(self) -> np.ndarray:
        """(d, d), divided by n."""
        return self.scatter / self.n

    @property
    def spread(self) -> np.ndarray:
        """(d,) standard deviations; a dimension that never moved is given the smallest spread of those that did.

        Raises EvidenceError when no dimension moved.
        """
        spread = np.sqrt(np.maximum(np.diag(self.scatter) / self.n, 0.0))
        floor = 1e-6 * np.maximum(np.abs(self.mean), np.finfo(np.float64).tiny)  # rounding of float32 is no spread
        moved = spread > floor
        if not moved.any():
            raise EvidenceError(
                f"all {self.n} trusted rows at layer {self.layer} are equal. "
                "Check that the hook reads the right module."
            )
        return np.where(moved, spread, spread[moved].min())

    @property
    def correlation(self) -> np.ndarray:
        """(d, d): covariance in units of `spread`, so that a few massive dimensions do not set the scale of all."""
        per_spread = 1 / self.spread
        correlation = self.scatter * (per_spread / self.n)[:, None]
        correlation *= per_spread
        return correlation


def blocks(rows: np.ndarray, size: int = BLOCK) -> Iterable[np.ndarray]:
    """Consecutive parts of at most `size` rows."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def working(rows: np.ndarray) -> np.ndarray:
    """Rows in the precision they are worked on: float64 stays, all else becomes float32."""
    return rows if rows.dtype == np.float64 else np.asarray(rows, np.float32)
