"""A trusted cloud of activations as one triangular matrix: distances cost one triangular product."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import blas, lapack

from ...errors import EvidenceError, SettingError
from ...types import Activations
from .moments import Moments, blocks, working

Shrinkage = float | Literal["ledoit-wolf", "oas"]
FEWEST = 8
SMALL = 512  # rows that stay in cache while they are worked on


@dataclass(frozen=True)
class Cloud:
    """Mean (d,) and lower triangular whitening (d, d): white = (row - mean) @ whitening.T has unit spread.

    The spread of each dimension is divided out before the correlations are shrunk toward the identity: a few massive
    dimensions would otherwise set the shrinkage target, and with it the rank, for all others.
    """

    mean: np.ndarray
    whitening: np.ndarray

    @classmethod
    def around(cls, trusted: Activations, shrinkage: Shrinkage = "ledoit-wolf") -> "Cloud":
        """Fit to rows. Raises EvidenceError below 8 rows or without spread."""
        moments = Moments.of(trusted) if len(trusted.ids) >= FEWEST else None
        if moments is None:
            raise EvidenceError(too_few(len(trusted.ids)))
        dtype = working(trusted.rows[:1]).dtype
        if shrinkage != "ledoit-wolf":
            return cls.from_moments(moments, shrinkage, dtype)
        correlation = moments.correlation
        return cls._shrunk(moments, correlation, ledoit_wolf(moments, trusted.rows, correlation), dtype)

    @classmethod
    def from_moments(
        cls, moments: Moments, shrinkage: Shrinkage = "oas", dtype: np.dtype | type = np.float32
    ) -> "Cloud":
        """Fit to merged moments. Ledoit-Wolf needs the rows themselves, so here it is an error."""
        if moments.n < FEWEST:
            raise EvidenceError(too_few(moments.n))
        if shrinkage == "ledoit-wolf":
            raise SettingError(
                "Ledoit-Wolf shrinkage needs the rows, which moments do not keep. Use 'oas' or a number."
            )
        correlation = moments.correlation
        share = oas(moments.n, correlation) if isinstance(shrinkage, str) else shrinkage
        return cls._shrunk(moments, correlation, share, dtype)

    @classmethod
    def _shrunk(cls, moments: Moments, correlation: np.ndarray, share: float, dtype: np.dtype | type) -> "Cloud":
        """With a share of the correlation (changed in place) replaced by the identity."""
        d = len(correlation)
        mu = float(np.trace(correlation)) / d  # 1, but for dimensions that never moved
        correlation *= 1 - share
        correlation[np.diag_indices(d)] += share * mu
        # LAPACK reads our rows as columns: its upper triangle is our lower one, and nothing is copied
        upper, failed = lapack.dpotrf(correlation.T, lower=0, clean=1, overwrite_a=1)
        if failed:
            raise EvidenceError(
                f"the correlation of {moments.n} trusted rows in {d} dimensions lacks full rank at "
                f"shrinkage {share:g}. Raise the shrinkage or pass more trusted prompts."
            )
        whitening = lapack.dtrtri(upper, lower=0, overwrite_c=1)[0].T
        whitening *= 1 / moments.spread
        return cls(moments.mean.astype(dtype), np.ascontiguousarray(whitening, dtype))

    def white(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) in units of the trusted cloud, in the higher precision of the fit and of the rows."""
        kind = np.promote_types(working(rows[:1]).dtype, self.mean.dtype)
        centred = np.ascontiguousarray(rows - self.mean.astype(kind), kind)
        trmm = blas.dtrmm if kind == np.float64 else blas.strmm
        # (d, n) in Fortran order is (n, d) in ours, and the transpose of the whitening is upper triangular there
        return trmm(1.0, self.whitening.astype(kind, copy=False).T, centred.T, lower=0, trans_a=1, overwrite_b=1).T

    def mean_square(self, rows: np.ndarray) -> np.ndarray:
        """Mean squared whitened coordinate, (n,) float64; about 1 on trusted rows."""
        out = [np.einsum("nd,nd->n", w, w, dtype=np.float64) / w.shape[1] for w in map(self.white, blocks(rows, 4096))]
        return np.concatenate(out) if out else np.zeros(0)


def squared_length(rows: np.ndarray, mean: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Squared length of projection @ (row - mean), (n,) float64, in the higher precision of the fit and of the rows.

    Args:
        rows: (n, d).
        mean: (d,).
        projection: (k, d).
    """
    kind = np.promote_types(working(rows[:1]).dtype, mean.dtype)
    centre, across = mean.astype(kind), projection.astype(kind, copy=False).T
    out = [np.einsum("nk,nk->n", p, p, dtype=np.float64) for p in ((b - centre) @ across for b in blocks(rows))]
    return np.concatenate(out) if out else np.zeros(0)


def same_place(fitted: tuple, seen: tuple) -> None:
    """Raises EvidenceError for another layer or width than the fitted one."""
    if seen != fitted:
        raise EvidenceError(f"fitted at (layer, d) {fitted}, cannot score {seen}. Read the same layer.")


def too_few(n: int, which: str = "trusted") -> str:
    return f"a cloud needs {FEWEST} or more {which} rows, got {n}. Pass more {which} prompts."


def checked(shrinkage: Shrinkage) -> None:
    """Raises SettingError for a shrinkage that is neither in (0, 1] nor the name of an estimate."""
    named = shrinkage in ("ledoit-wolf", "oas")
    if not named and not (isinstance(shrinkage, int | float) and 0 < shrinkage <= 1):
        raise SettingError(f"shrinkage must be in (0, 1], 'ledoit-wolf' or 'oas', got {shrinkage!r}. Try 0.1.")


def ledoit_wolf(moments: Moments, rows: np.ndarray, correlation: np.ndarray | None = None) -> float:
    """The share of the identity that minimises the expected squared error of the correlation matrix, in (0, 1].

    Source: Ledoit and Wolf 2004, on rows in units of their spread.
    """
    correlation = moments.correlation if correlation is None else correlation
    n, d, kind = moments.n, len(moments.mean), working(rows[:1]).dtype
    mean, per_variance, room = moments.mean.astype(kind), (moments.spread**-2).astype(kind), np.empty((SMALL, d), kind)
    quartic = 0.0  # sum over rows of the fourth power of their length
    for part in map(working, blocks(rows, SMALL)):
        squared = np.subtract(part, mean, out=room[: len(part)])
        squared *= squared
        quartic += float(((squared @ per_variance).astype(np.float64) ** 2).sum())
    square, mu = float(np.vdot(correlation, correlation)), float(np.trace(correlation)) / d
    delta = square / d - mu**2
    beta = (quartic / n - square) / (d * n)
    return float(np.clip(beta / delta, 1e-6, 1.0)) if delta > 0 else 1.0


def oas(n: int, correlation: np.ndarray) -> float:
    """Oracle approximating shrinkage: the same from moments alone, for Gaussian rows, in (0, 1].

    Source: Chen, Wiesel, Eldar and Hero 2010.
    """
    d = len(correlation)
    mean_square, mu = float(np.vdot(correlation, correlation)) / d**2, float(np.trace(correlation)) / d
    over, under = mean_square + mu**2, (n + 1) * (mean_square - mu**2 / d)
    return float(np.clip(over / under, 1e-6, 1.0)) if under > 0 else 1.0
