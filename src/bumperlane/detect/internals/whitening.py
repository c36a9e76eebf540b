"""A trusted cloud of activations as one triangular matrix: distances cost one triangular product."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import blas, solve_triangular

from ...errors import EvidenceError, SettingError
from ...types import Activations
from .moments import Moments, blocks, working

Shrinkage = float | Literal["ledoit-wolf", "oas"]
FEWEST = 8


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
        if shrinkage == "ledoit-wolf":
            shrinkage = ledoit_wolf(moments, trusted.rows)
        return cls.from_moments(moments, shrinkage, working(trusted.rows[:1]).dtype)

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
        spread, correlation = moments.spread, moments.correlation
        share = oas(moments.n, correlation) if isinstance(shrinkage, str) else shrinkage
        d = len(spread)
        mu = float(np.trace(correlation)) / d  # 1, but for dimensions that never moved
        correlation *= 1 - share
        correlation[np.diag_indices(d)] += share * mu
        try:
            chol = np.linalg.cholesky(correlation)
        except np.linalg.LinAlgError as error:
            raise EvidenceError(
                f"the correlation of {moments.n} trusted rows in {d} dimensions lacks full rank at "
                f"shrinkage {share:g}. Raise the shrinkage or pass more trusted prompts."
            ) from error
        whitening = solve_triangular(chol, np.diag(1 / spread), lower=True, check_finite=False)
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


def too_few(n: int) -> str:
    return f"a cloud needs {FEWEST} or more trusted rows, got {n}. Pass more trusted prompts."


def checked(shrinkage: Shrinkage) -> None:
    """Raises SettingError for a shrinkage that is neither in (0, 1] nor the name of an estimate."""
    named = shrinkage in ("ledoit-wolf", "oas")
    if not named and not (isinstance(shrinkage, int | float) and 0 < shrinkage <= 1):
        raise SettingError(f"shrinkage must be in (0, 1], 'ledoit-wolf' or 'oas', got {shrinkage!r}. Try 0.1.")


def ledoit_wolf(moments: Moments, rows: np.ndarray) -> float:
    """The share of the identity that minimises the expected squared error of the correlation matrix, in (0, 1].

    Source: Ledoit and Wolf 2004, on rows in units of their spread.
    """
    spread, n, d = moments.spread, moments.n, len(moments.mean)
    quartic = 0.0  # sum over rows of the fourth power of their length
    for part in blocks(working(rows)):
        scaled = (part - moments.mean.astype(part.dtype)) / spread.astype(part.dtype)
        quartic += float((np.einsum("nd,nd->n", scaled, scaled, dtype=np.float64) ** 2).sum())
    correlation = moments.correlation
    square, mu = float(np.einsum("ij,ij->", correlation, correlation)), float(np.trace(correlation)) / d
    delta = square / d - mu**2
    beta = (quartic / n - square) / (d * n)
    return float(np.clip(beta / delta, 1e-6, 1.0)) if delta > 0 else 1.0


def oas(n: int, correlation: np.ndarray) -> float:
    """Oracle approximating shrinkage: the same from moments alone, for Gaussian rows, in (0, 1].

    Source: Chen, Wiesel, Eldar and Hero 2010.
    """
    d = len(correlation)
    mean_square, mu = float(np.einsum("ij,ij->", correlation, correlation)) / d**2, float(np.trace(correlation)) / d
    over, under = mean_square + mu**2, (n + 1) * (mean_square - mu**2 / d)
    return float(np.clip(over / under, 1e-6, 1.0)) if under > 0 else 1.0
