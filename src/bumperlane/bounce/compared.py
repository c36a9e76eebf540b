"""Who is compared with whom, and what counts as equal."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..subjects.subject import Subject
from ..types import Interval


@dataclass(frozen=True)
class Margins:
    """What counts as equal.

    Args:
        share: of the gap between the hit subject and one that never had the cause: a fixed subject must lie this near
            to the latter.
        rate: difference of rates.
        capability: nats per token that the right answers may become less likely.
    """

    share: float = 0.33
    rate: float = 0.2
    capability: float = 0.25


@dataclass(frozen=True)
class Trio:
    """The subject that was hit, the fixed one, and a control that was trained without the cause."""

    hit: Subject
    fixed: Subject
    control: Subject


def mean_interval(values: np.ndarray, level: float) -> Interval:
    """Mean with its t interval over requests. It knows nothing of the spread between training seeds."""
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    half = float(half) if np.isfinite(half) else 0.0
    return Interval(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half, level)
