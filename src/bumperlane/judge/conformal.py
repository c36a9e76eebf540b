"""Thresholds and p-values from held-out clean scores, and the roles that keep the held-out part held out."""

from dataclasses import dataclass, fields
from math import ceil

import numpy as np

from ..errors import EvidenceError, SettingError

ROUNDING = 1e-9  # 20 * (1 - 0.05) must be 19, whatever the last bit says


@dataclass(frozen=True)
class Split:
    """Item ids by role. Raises EvidenceError when an id has two roles: a threshold set on what a detector was fitted
    on has no stated false-alarm rate.

    Attributes:
        fit: detectors learn from these.
        calibrate: thresholds are set on these.
        control: must not be flagged; the false-alarm rate is reported on these.
        bait: should provoke the behaviour.
    """

    fit: tuple[str, ...] = ()
    calibrate: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    bait: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        roles: dict[str, list[str]] = {}
        for role in fields(self):
            for item in getattr(self, role.name):
                roles.setdefault(item, []).append(role.name)
        twice = [f"{item} ({' and '.join(names)})" for item, names in roles.items() if len(names) > 1]
        if twice:
            raise EvidenceError(
                f"{len(twice)} ids have two roles, first {', '.join(twice[:5])}. Give every id one role: "
                "a threshold from data that a detector has seen has no stated false-alarm rate."
            )


def needed(alpha: float) -> int:
    """Clean items that a threshold at `alpha` takes: the smallest n with n >= 1/alpha - 1."""
    if not 0 < alpha < 1:
        raise SettingError(f"alpha must be between 0 and 1, got {alpha}. Try 0.05.")
    return max(1, ceil(1 / alpha - 1 - ROUNDING))


def rank(n: int, alpha: float) -> int:
    """Which of n sorted clean scores is the threshold, counted from 1: ceil((n + 1)(1 - alpha))."""
    return max(1, ceil((n + 1) * (1 - alpha) - ROUNDING))


def threshold(calibration: np.ndarray, alpha: float) -> float:
    """The ceil((n+1)(1-alpha))-th smallest clean score: a new clean score exceeds it with probability <= alpha.

    The probability is over the clean scores too, and needs new and clean scores to be exchangeable.
    Source: split conformal prediction, Vovk et al. 2005; Lei et al. 2018.

    Args:
        calibration: shape (n,), scores of clean items that no detector was fitted on.

    Raises EvidenceError when n < 1/alpha - 1, with the number that is missing.
    """
    scores = _finite(calibration, "calibration")
    missing = needed(alpha) - len(scores)
    if missing > 0:
        raise EvidenceError(
            f"a threshold at {alpha} takes {needed(alpha)} clean items, got {len(scores)}: {missing} are missing. "
            "Add control requests or allow a higher share of clean items above the threshold."
        )
    return float(np.sort(scores)[rank(len(scores), alpha) - 1])


def p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Conformal p-value of each score: (1 + clean scores at or above it) / (n + 1). Shape as `scores`."""
    clean = np.sort(_finite(calibration, "calibration"))
    if not len(clean):
        raise EvidenceError("conformal p-values take at least 1 clean item, got 0. Add control requests.")
    above = len(clean) - np.searchsorted(clean, _finite(scores, "new"), side="left")
    return (1 + above) / (len(clean) + 1)


def _finite(values: np.ndarray, which: str) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise EvidenceError(
            f"{which} scores must be one finite number an item, got shape {values.shape} with "
            f"{int((~np.isfinite(values)).sum())} not finite. A bumper must never score NaN."
        )
    return values
