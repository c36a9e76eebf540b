"""Who is compared with whom, and what counts as equal."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..errors import EvidenceError
from ..percent import percent
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
        tries: how many fixes of a case sealed evidence was read for, this one included. Each is one more chance that
            one passes by luck, so a pass is held to a share of the usual chance.
    """

    share: float = 0.33
    rate: float = 0.2
    capability: float = 0.25
    tries: int = 1

    @property
    def level(self) -> float:
        """Of two-sided intervals that must lie inside a margin: two one-sided tests at 5%, shared among the tries."""
        return 1 - 0.1 / self.tries

    @property
    def one_sided(self) -> float:
        """The same, of one of their limits."""
        return 1 - 0.05 / self.tries

    @property
    def interval(self) -> str:
        """What stands before the limits of such an interval."""
        return f"{percent(self.level)} interval"


@dataclass(frozen=True)
class Trio:
    """The subject that was hit, the fixed one, and a control that was trained without the cause."""

    hit: Subject
    fixed: Subject
    control: Subject


def mean_interval(values: np.ndarray, level: float) -> Interval:
    """Mean with its t interval over requests. It knows nothing of the spread between training seeds.

    Raises EvidenceError for fewer than two values, which have no spread, and for one that is not finite.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        odd = int((~np.isfinite(values)).sum())
        raise EvidenceError(
            f"an interval takes two finite numbers or more, got {len(values)}, of which {odd} are not finite. Ask more "
            "requests, or look whether a subject is broken."
        )
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values))
    return Interval(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half, level)
