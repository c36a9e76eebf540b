"""A rate from many verdicts of a scorer and labels of a few of the same items: prediction-powered inference."""

from dataclasses import dataclass
from math import sqrt

from scipy import stats

from ..errors import EvidenceError, SettingError
from ..evidence.validation import Confusion
from ..types import Interval
from .rates import exact_interval


@dataclass(frozen=True)
class PredictionPowered:
    """`rate` by verdicts and labels together; `labels_alone` by the labelled items only, with the exact interval.

    Choose between the two before you see them: the shorter of two intervals does not keep its level.
    """

    rate: Interval
    labels_alone: Interval


def prediction_powered(k: int, n: int, counts: Confusion, level: float = 0.95) -> PredictionPowered:
    """The rate of bad answers among items of which a random sample was labelled.

    The estimate is k/n + (misses - alarms) / labelled: what the scorer counts, plus how much it undercounts where the
    truth is known. It is right for any scorer, also one worse than chance: a bad one only makes it wide. Nothing is
    assumed of labelled items of other origin.

    Args:
        k, n: items called bad, of n that were not labelled.
        counts: the labelled items: a random sample of the same. Ones without a verdict count as called good, and so
            must those among the n.

    Source: Angelopoulos et al. 2023, arXiv:2301.09633, mean estimation. Their interval is normal
    (`normal_interval`) and has no width where labels and verdicts agree; here Wilson's interval of the count and
    Tango's score interval of the paired difference (Tango 1998) are joined by the variance estimates recovered from
    their limits (MOVER, Zou & Donner 2008). Measured coverage: benchmarks/judge_error.md.

    Raises EvidenceError unless 0 <= k <= n, n >= 1 and an item is labelled.
    """
    misses, alarms, labelled = _paired(k, n, counts)
    count, less = _wilson(k, n, level), tango(misses, alarms, labelled, level)
    value = k / n + (misses - alarms) / labelled
    low = value - sqrt((k / n - count.low) ** 2 + (less.value - less.low) ** 2)
    high = value + sqrt((count.high - k / n) ** 2 + (less.high - less.value) ** 2)
    here = min(max(value, 0.0), 1.0)
    rate = Interval(here, min(here, max(low, 0.0)), max(here, min(high, 1.0)), level)
    bad = counts.bad + counts.lost_bad
    return PredictionPowered(rate, exact_interval(bad, labelled, level))


def normal_interval(k: int, n: int, counts: Confusion, level: float = 0.95) -> Interval:
    """The paper's own interval, uncut: variances of the verdicts and of label minus verdict, and a normal quantile."""
    misses, alarms, labelled = _paired(k, n, counts)
    less = (misses - alarms) / labelled
    variance = k / n * (1 - k / n) / n + ((misses + alarms) / labelled - less**2) / labelled
    half = float(stats.norm.ppf((1 + level) / 2)) * sqrt(variance)
    return Interval(k / n + less, k / n + less - half, k / n + less + half, level)


def tango(only_first: int, only_second: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a difference of paired rates: of n pairs, so many have the first only, so many the second only.

    Source: Tango 1998, Statist. Med. 17:891. It holds every difference d with |b - c - n d| <= z sd(d), sd at the
    likeliest shares of discordant pairs that have this difference.
    """
    if n < 1 or min(only_first, only_second) < 0 or only_first + only_second > n:
        raise EvidenceError(
            f"paired rates need n >= 1 and at most n discordant pairs, got {only_first} and {only_second} of {n}."
        )
    z = float(stats.norm.ppf((1 + level) / 2))
    value = (only_first - only_second) / n
    ends = []
    for edge in (-1.0, 1.0):
        good, wrong = value, edge
        for _ in range(60):
            middle = (good + wrong) / 2
            if abs(_score(only_first, only_second, n, middle)) <= z:
                good = middle
            else:
                wrong = middle
        ends.append(good)
    return Interval(value, ends[0], ends[1], level)


def _score(b: int, c: int, n: int, d: float) -> float:
    gap = b - c - n * d
    second = constrained_share(b, c, n, d)
    variance = n * (2 * second + d * (1 - d))
    if variance <= 0:
        return 0.0 if abs(gap) < 1e-12 else float("inf")
    return gap / sqrt(variance)


def constrained_share(b: int, c: int, n: int, d: float) -> float:
    """The likeliest share of pairs with the second only, given that the shares differ by d."""
    linear = (2 * n - b + c) * d - b - c
    root = sqrt(max(0.0, linear**2 + 8 * n * c * d * (1 - d)))
    return max(0.0, -d, (root - linear) / (4 * n))


def _paired(k: int, n: int, counts: Confusion) -> tuple[int, int, int]:
    """(bad but called good, good but called bad, labelled)."""
    if n < 1 or not 0 <= k <= n:
        raise EvidenceError(f"a rate needs 0 <= k <= n and n >= 1, got k={k} of n={n}. Check how items were counted.")
    misses = counts.misses + counts.lost_bad
    labelled = counts.bad + counts.good + counts.lost_bad + counts.lost_good
    if labelled < 1:
        raise EvidenceError("no item is labelled. Label a random sample of the items that the scorer was run on.")
    return misses, counts.alarms, labelled


def _wilson(k: int, n: int, level: float) -> Interval:
    if not 0 < level < 1:
        raise SettingError(f"level must be between 0 and 1, got {level}. Try 0.95.")
    found = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    return Interval(k / n, min(k / n, float(found.low)), max(k / n, float(found.high)), level)
