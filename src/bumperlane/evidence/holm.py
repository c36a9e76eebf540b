"""Control of the chance of any false alarm among several tests."""

from collections.abc import Sequence

import numpy as np

from ..errors import EvidenceError


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in input order; those <= alpha may be rejected, under any dependence between the tests.

    Source: Holm 1979.
    """
    p = np.asarray(p_values, float)
    if not p.size:
        return ()
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise EvidenceError(f"p-values must be a list of numbers in [0, 1], got {p_values}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())
