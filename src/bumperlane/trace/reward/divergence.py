"""When reward terms part from each other, and from checks that are not rewarded."""

import numpy as np

from ...evidence.holm import holm
from ...evidence.rollout_flags import Flags
from ...evidence.rollout_table import RolloutTable
from .changepoint import ChangePoint, Dating, change_in_mean, change_in_rate

MOST_PAIRS = 60


def flagged_onset(table: RolloutTable, flags: Flags, dating: Dating) -> ChangePoint:
    """A change of the flagged rate over steps, among rollouts of which it is known."""
    steps, k, n = _by_step(table.step[flags.known], flags.values[flags.known].astype(float))
    return change_in_rate("flagged rate", steps, k, n, dating)


def divergences(table: RolloutTable, dating: Dating) -> tuple[ChangePoint, ...]:
    """A change of each term less each check, and of each term less each other term, the surest first.

    Each side is in units of its own spread over all rollouts that have both, so that the scales of terms do not matter;
    `before` and `after` are differences in those units. P-values are corrected by Holm's rule over all pairs, and a
    change is found only where the corrected one is at most alpha.
    """
    terms = [(name, table.values[:, i]) for i, name in enumerate(table.terms)]
    checks = [(name, table.check_values[:, i]) for i, name in enumerate(table.checks)]
    pairs = [(t, c) for t in terms for c in checks]
    pairs += [(a, b) for i, a in enumerate(terms) for b in terms[i + 1 :]]
    found = [
        one
        for a, b in pairs[:MOST_PAIRS]
        if (one := _pair(f"{a[0]} less {b[0]}", a[1], b[1], table.step, dating)) is not None
    ]
    corrected = holm([one.p_value for one in found])
    out = []
    for one, p in zip(found, corrected, strict=True):
        if one.found and p > dating.alpha:
            why = "no change-point after correction for the number of pairs."
            out.append(ChangePoint(one.name, False, None, one.before, one.after, p, why))
        else:
            out.append(ChangePoint(one.name, one.found, one.onset, one.before, one.after, p, one.why))
    return tuple(sorted(out, key=lambda c: (not c.found, c.p_value, -abs(c.after - c.before), c.name)))


def _pair(name: str, a: np.ndarray, b: np.ndarray, steps: np.ndarray, dating: Dating) -> ChangePoint | None:
    """None where the two never stand together, or one of them never varies."""
    rows = np.flatnonzero(np.isfinite(a) & np.isfinite(b))
    a, b, of = a[rows].astype(np.float64), b[rows].astype(np.float64), steps[rows]
    if not len(rows) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    apart = (a - a.mean()) / a.std() - (b - b.mean()) / b.std()
    found, total, n = _by_step(of, apart)
    return change_in_mean(name, found, total / n, n, dating)


def _by_step(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ascending steps, sum of the values at each, how many)."""
    found, of, n = np.unique(steps, return_inverse=True, return_counts=True)
    return found, np.bincount(of, values, len(found)), n
