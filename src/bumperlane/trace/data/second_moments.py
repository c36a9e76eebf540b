"""How the gradients of the training examples spread, and scores in units of that spread."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError, SettingError

MOST_BYTES = 2 * 2**30  # of one matrix of second moments, in float64


@dataclass(frozen=True)
class Whitening:
    """Takes gradients to a space where the training examples' spread alike in every direction.

    The second moments are F = mean of g g^T, with damping x (mean of F's diagonal) added to the diagonal, by site or
    over all sites at once. With W from the Cholesky factor of its inverse, a . b there is a^T F^-1 b here: the
    influence of one gradient on another under a Gauss-Newton step.

    Source: Park et al. 2023, "TRAK: Attributing Model Behavior at Scale", arXiv:2303.14186, for the projected space. We
    take losses for their gradients as they are, and damp, since fewer examples than numbers leave F singular.

    Attributes:
        parts: (columns, W) of each site, or one for all.
        n: examples that it was made from.
    """

    parts: tuple[tuple[slice, np.ndarray], ...]
    n: int

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], columns: Mapping[str, slice], damping: float, whole: bool) -> "Whitening":
        """From blocks (m, K) of gradients. Products are taken in float32 and added up in float64.

        Raises SettingError for damping that is not above 0, or when a matrix would not fit into 2 GB.
        """
        if not damping > 0:
            raise SettingError(f"damping must be above 0, got {damping}.")
        slices = list(columns.values())
        if whole:
            slices = [slice(slices[0].start, slices[-1].stop)]
        most = max(s.stop - s.start for s in slices)
        if 8 * most**2 > MOST_BYTES:
            raise SettingError(
                f"second moments of {most} numbers would take {8 * most**2 / 2**30:.0f} GB. Take a smaller k, or "
                "whole=False, which takes each site by itself."
            )
        sums, n = [np.zeros((s.stop - s.start,) * 2) for s in slices], 0
        for rows in blocks:
            n += len(rows)
            for total, where in zip(sums, slices, strict=True):
                part = np.ascontiguousarray(rows[:, where])
                unit = float(np.abs(part).max(initial=0)) or 1.0  # squares of small gradients would vanish in float32
                part = part / np.float32(unit)
                total += (part.T @ part).astype(np.float64) * unit**2
        if not n:
            raise EvidenceError("no gradients to take second moments of. Fill the store first.")
        return cls(tuple((w, _inverse_root(s / n, damping)) for w, s in zip(slices, sums, strict=True)), n)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(m, K) to (m, K) float32: W g."""
        out = np.empty(rows.shape, np.float32)
        for where, w in self.parts:
            out[:, where] = rows[:, where] @ w.T
        return out

    def back(self, rows: np.ndarray) -> np.ndarray:
        """W^T g, so that `back` after the call itself is F^-1 g."""
        out = np.empty(rows.shape, np.float32)
        for where, w in self.parts:
            out[:, where] = rows[:, where] @ w
        return out


def _inverse_root(moments: np.ndarray, damping: float) -> np.ndarray:
    """W with W^T W = (F + damping x mean diagonal)^-1, float32. Nought for a site that has no gradient at all."""
    size = np.trace(moments) / len(moments)
    if size <= 0:
        return np.zeros(moments.shape, np.float32)
    from scipy.linalg import solve_triangular

    lower = np.linalg.cholesky(moments / size + damping * np.eye(len(moments)))
    return (solve_triangular(lower, np.eye(len(moments)), lower=True) / np.sqrt(size)).astype(np.float32)
