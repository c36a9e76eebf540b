"""Where the line of a filter lies, and what share of off-topic examples it costs, with intervals that are exact."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import stats

from ...errors import EvidenceError, SettingError
from ...judge.rates import exact_interval
from ...types import Interval


@dataclass(frozen=True)
class Line:
    """An example whose score is above `at` is on the topic.

    Attributes:
        how: in words, where it comes from.
        false_drop: share of off-topic examples above it; None where no example is known to be off the topic.
        recall: share of on-topic examples above it; None where no example is known to be on it.
        off, on: how many labelled examples these shares rest on.
    """

    at: float
    how: str
    false_drop: Interval | None = None
    recall: Interval | None = None
    off: int = 0
    on: int = 0


def line_at_rate(off: np.ndarray, rate: float, level: float = 0.95) -> tuple[float, Interval]:
    """The line that loses a share of `rate` of off-topic examples on average, and an interval of the share it loses.

    The line is the k-th smallest of n off-topic scores, k = ceil((n + 1) (1 - rate)). Whatever their distribution, the
    share of it above the line is then Beta(n + 1 - k, k), with mean at most `rate`; with ties it is smaller.

    Args:
        off: (n,) scores of off-topic examples, drawn like those that are to be filtered.

    Raises:
        SettingError: rate outside (0, 1).
        EvidenceError: fewer than 1 / rate - 1 scores, with the number that is missing.

    Source: Wilks 1941, "Determination of sample sizes for setting tolerance limits"; as in split conformal prediction.
    """
    if not 0 < rate < 1:
        raise SettingError(f"the false-drop rate must be between 0 and 1, got {rate}. Try 0.01.")
    n = len(off)
    k = ceil(round((n + 1) * (1 - rate), 9))
    if k > n:
        needed = ceil(round(1 / rate - 1, 9))
        raise EvidenceError(
            f"a false-drop rate of {rate:g} needs {needed} labelled off-topic examples, there are {n}. Review "
            f"{needed - n} more, or allow a rate of {1 / (n + 1):.2g}."
        )
    tail = (1 - level) / 2
    low, high = (float(stats.beta.ppf(q, n + 1 - k, k)) for q in (tail, 1 - tail))
    return float(np.sort(off)[k - 1]), Interval((n + 1 - k) / (n + 1), low, high, level)


def draw_line(off: np.ndarray, on: np.ndarray, rate: float | None, at: float | None) -> Line:
    """The line at a false-drop rate, at a score, or, with both, at the higher of the two.

    Args:
        off, on: scores of labelled examples, each from a model that has not seen it.

    Raises SettingError when neither is given, and as `line_at_rate`.
    """
    if rate is None and at is None:
        raise SettingError("no line is stated. Give a false-drop rate, with reviewed examples, or a score.")
    by_rate = None if rate is None else line_at_rate(off, rate)
    score = max(at if at is not None else -np.inf, by_rate[0] if by_rate else -np.inf)
    recall = exact_interval(int((on > score).sum()), len(on)) if len(on) else None
    if by_rate and score == by_rate[0]:
        return Line(score, f"false-drop rate {rate:g}", by_rate[1], recall, len(off), len(on))
    lost = exact_interval(int((off > score).sum()), len(off)) if len(off) else None
    return Line(score, f"score {at:g}", lost, recall, len(off), len(on))
