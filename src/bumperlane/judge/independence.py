"""How many independent bumpers a set of them is worth, by what they miss together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EvidenceError
from ..types import Interval
from .rates import exact_interval

DRAWS, LEVEL = 2000, 0.95
LEAST = 5  # organisms


@dataclass(frozen=True)
class Independence:
    """What bumpers add up to.

    Attributes:
        effective: number of independent bumpers that would miss with as little in common, with a bootstrap interval
            over organisms; 0 where none of them ever catches anything.
        missed_by_all: share of organisms that every bumper misses, with its exact interval.
        idle: bumpers that caught nothing here; they count for nothing.
        always: bumpers that caught everything; each counts for one.
    """

    effective: Interval
    missed_by_all: Interval
    idle: tuple[str, ...]
    always: tuple[str, ...]


def independence(bumpers: Sequence[str], caught: Sequence[Sequence[bool]], seed: int = 0) -> Independence:
    """Estimate it from which bumper caught which organism.

    The effective number is (sum of l)^2 / (sum of l^2) over the eigenvalues l of the correlation matrix of what was
    caught: the number of bumpers when they err apart, 1 when all err alike. Bumpers that caught nothing are left out,
    for they add nothing whatever they correlate with; one that caught everything has nothing to correlate and stands
    alone.

    Source: the participation ratio of a correlation matrix, as used for the effective number of tests by Nyholt 2004,
    doi:10.1086/383251 (who takes the variance of the same eigenvalues).

    Args:
        caught: one row an organism, one column a bumper; a blind bumper caught nothing.

    Raises EvidenceError with fewer than 5 organisms, or rows of another length.
    """
    table = np.array([list(row) for row in caught], bool)
    if table.ndim != 2 or table.shape != (len(caught), len(bumpers)) or len(caught) < LEAST:
        raise EvidenceError(
            f"independence needs {LEAST} or more organisms and one column for each of {len(bumpers)} bumpers, got a "
            f"table of shape {table.shape}."
        )
    rng = np.random.default_rng(seed)
    drawn = [_effective(table[rng.integers(0, len(table), len(table))]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = _effective(table)
    rates = table.mean(axis=0)
    return Independence(
        Interval(value, min(float(low), value), max(float(high), value), LEVEL),
        exact_interval(int((~table.any(axis=1)).sum()), len(table)),
        tuple(name for name, rate in zip(bumpers, rates, strict=True) if rate == 0),
        tuple(name for name, rate in zip(bumpers, rates, strict=True) if rate == 1),
    )


def _effective(table: np.ndarray) -> float:
    rates = table.mean(axis=0)
    alone = int((rates == 1).sum())
    varying = table[:, (rates > 0) & (rates < 1)].astype(float)
    if varying.shape[1] < 2:
        return float(alone + varying.shape[1])
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(varying, rowvar=False))
    return alone + float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
