"""How well scores tell odd items from ordinary ones: AUROC, and the share caught at a low false-alarm rate.

AUROC hides evasion: on a toy we measured it falling from 1.00 to 0.93 while the share caught at 1% fell from 1.00 to
0.15. So both are given, always with intervals, and nothing is given that the number of items cannot carry.
All intervals take items to be independent draws, negatives and positives apart, that no detector was fitted on.
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from scipy import special, stats

from ..errors import EvidenceError, SettingError
from ..types import Interval
from .conformal import needed, rank
from .rates import exact_interval


@dataclass(frozen=True)
class RateAtFpr:
    """Share of items above the line that a stated share of negatives passes.

    Attributes:
        fpr: share of negatives allowed above the line.
        threshold: the conformal line: ceil((n + 1)(1 - fpr))-th smallest of n negatives. None when n < 1/fpr - 1.
        rate: share at the line; its interval covers the share at the *true* 1 - fpr quantile of negatives, whatever
            their distribution: both the line and the share are counted as uncertain. None when it cannot be given.
        at_threshold: the same share with the exact (Clopper-Pearson) interval of this very line.
        missing_negatives, missing_items: how many more it takes, where it cannot be given.
    """

    fpr: float
    negatives: int
    items: int
    threshold: float | None
    rate: Interval | None
    at_threshold: Interval | None
    missing_negatives: int = 0
    missing_items: int = 0


@dataclass(frozen=True)
class DetectionMetrics:
    """AUROC, and the share of positives above the lines that 1% and 0.1% of negatives pass.

    `auroc` is None with fewer than 2 items of either kind; the missing numbers say how many more it takes.
    """

    negatives: int
    positives: int
    auroc: Interval | None
    tpr_at_1pct: RateAtFpr
    tpr_at_01pct: RateAtFpr
    missing_negatives: int = 0
    missing_positives: int = 0


@dataclass(frozen=True)
class AgreementSplit:
    """Metrics for the positives whose answer agrees with the trusted mechanism's, and for those where it does not.

    Where the answers agree, nothing in the output gives the other mechanism away: only the internals can.

    Attributes:
        agree, disagree: these positives against all negatives, so that both have the same lines.
        agree_alike, disagree_alike: against the negatives with the same value of `agree` only: harder where the two
            kinds of question differ in themselves. Empty of numbers where there are no such negatives.
    """

    agree: DetectionMetrics
    disagree: DetectionMetrics
    agree_alike: DetectionMetrics
    disagree_alike: DetectionMetrics


def auroc(negatives: np.ndarray, positives: np.ndarray, level: float = 0.95) -> Interval:
    """Chance that a positive scores above a negative, ties counting half, with DeLong's interval on the logit scale.

    Where DeLong's variance is 0 (no overlap at all, or all scores equal) it would give an interval without width; then
    it is Clopper-Pearson's for min(n, m) disjoint pairs, which covers at AUROC 1. Measured coverage at level 0.95: 0.93
    to 0.98 for 30 + 30 and 100 + 100 normal scores at AUROC 0.6 to 0.99.
    Source: DeLong, DeLong & Clarke-Pearson 1988, by mid-ranks (Sun & Xu 2014); logit: Pepe 2003.

    Args:
        negatives: scores (n,) of ordinary items.
        positives: scores (m,) of odd items; higher is worse.

    Raises EvidenceError below 2 of either, or for scores that are not finite.
    """
    low, high = _checked(negatives, "negative"), _checked(positives, "positive")
    n, m = len(low), len(high)
    if min(n, m) < 2:
        raise EvidenceError(f"an AUROC with an interval takes 2 or more items of either kind, got {n} and {m}.")
    tail = _tail(level)
    both = stats.rankdata(np.concatenate([high, low]))
    over_negatives = (both[:m] - stats.rankdata(high)) / n  # each positive: share of negatives below it
    under_positives = 1 - (both[m:] - stats.rankdata(low)) / m  # each negative: share of positives above it
    area = float(over_negatives.mean())
    variance = float(over_negatives.var(ddof=1)) / m + float(under_positives.var(ddof=1)) / n
    if variance < 1e-15 or not 0 < area < 1:
        wins, pairs = area * min(n, m), min(n, m)
        lower = 0.0 if area <= 0 else float(stats.beta.ppf(tail, wins, pairs - wins + 1))
        upper = 1.0 if area >= 1 else float(stats.beta.ppf(1 - tail, wins + 1, pairs - wins))
        return Interval(area, min(area, lower), max(area, upper), level)
    half = float(stats.norm.ppf(1 - tail)) * sqrt(variance) / (area * (1 - area))
    ends = special.expit(special.logit(area) + np.array([-half, half]))
    return Interval(area, min(area, float(ends[0])), max(area, float(ends[1])), level)


def rate_at_fpr(negatives: np.ndarray, items: np.ndarray, fpr: float, level: float = 0.95) -> RateAtFpr:
    """Share of items above the line that `fpr` of negatives pass: the TPR of positives, the decoy rate of decoys.

    The interval of `rate` joins, by Bonferroni at half the error each, the order statistics that enclose the true
    1 - fpr quantile of negatives and the Clopper-Pearson limits of the share above each. It is conservative, for any
    distribution and size. Below about 4.4/fpr negatives nothing bounds that quantile from above, and `low` is 0.
    """
    if not 0 < fpr < 1:
        raise SettingError(f"fpr must be between 0 and 1, got {fpr}. Try 0.01.")
    low, high = np.sort(_checked(negatives, "negative")), np.sort(_checked(items, "item"))
    n, m = len(low), len(high)
    short, few = max(0, needed(fpr) - n), max(0, 1 - m)
    if short or few:
        line = None if short else float(low[rank(n, fpr) - 1])
        return RateAtFpr(fpr, n, m, line, None, None, short, few)
    quarter = _tail(level) / 2
    line = float(low[rank(n, fpr) - 1])
    first = int(stats.binom.ppf(quarter, n, 1 - fpr))
    last = int(stats.binom.ppf(1 - quarter, n, 1 - fpr)) + 1
    floor, ceiling = (low[first - 1] if first else -inf), (low[last - 1] if last <= n else inf)
    shared = 1 - (1 - level) / 2
    at = exact_interval(_above(high, line), m, level)
    lower = exact_interval(_above(high, ceiling), m, shared).low
    upper = exact_interval(_above(high, floor), m, shared).high
    rate = Interval(at.value, min(at.value, lower), max(at.value, upper), level)
    return RateAtFpr(fpr, n, m, line, rate, at)


def decoy_rate(negatives: np.ndarray, decoys: np.ndarray, fpr: float = 0.01, level: float = 0.95) -> RateAtFpr:
    """Share of decoys - novel inputs that are mechanistically ordinary - above the line at `fpr`. See `rate_at_fpr`.

    `at_threshold` holds its exact interval. A detector of mechanisms has a decoy rate near `fpr`; one that sees mere
    novelty has one near its TPR.
    """
    return rate_at_fpr(negatives, decoys, fpr, level)


def detection_metrics(negatives: np.ndarray, positives: np.ndarray, level: float = 0.95) -> DetectionMetrics:
    """All of it, for scores (n,) of negatives and (m,) of positives that no detector was fitted or calibrated on."""
    short, few = max(0, 2 - len(negatives)), max(0, 2 - len(positives))
    return DetectionMetrics(
        len(negatives), len(positives), None if short or few else auroc(negatives, positives, level),
        rate_at_fpr(negatives, positives, 0.01, level), rate_at_fpr(negatives, positives, 0.001, level), short, few,
    )  # fmt: skip


def metrics_by_agreement(
    scores: np.ndarray, positive: np.ndarray, agree: np.ndarray, level: float = 0.95
) -> AgreementSplit:
    """Metrics split by whether the model's answer agrees with the trusted mechanism's.

    Args:
        scores: (n,), higher is worse.
        positive: (n,) bool, whether the answer came about by the other mechanism.
        agree: (n,) bool, whether both mechanisms give the same answer to the item.
    """
    scores, n = _checked(scores, "item"), len(scores)
    for name, values in (("positive", positive), ("agree", agree)):
        if values.shape != (n,) or values.dtype != bool:
            raise EvidenceError(
                f"{name} must be {n} booleans, one an item, got {values.dtype} of shape {values.shape}."
            )

    def of(kind: np.ndarray, alike: bool) -> DetectionMetrics:
        negatives = ~positive & kind if alike else ~positive
        return detection_metrics(scores[negatives], scores[positive & kind], level)

    return AgreementSplit(of(agree, False), of(~agree, False), of(agree, True), of(~agree, True))


def _above(ordered: np.ndarray, line: float) -> int:
    return len(ordered) - int(np.searchsorted(ordered, line, side="right"))


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise SettingError(f"level must be between 0 and 1, got {level}. Try 0.95.")
    return (1 - level) / 2


def _checked(scores: np.ndarray, which: str) -> np.ndarray:
    scores = np.asarray(scores, float)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise EvidenceError(
            f"{which} scores must be one finite number an item, got shape {scores.shape} with "
            f"{int((~np.isfinite(scores)).sum())} not finite. A bumper must never score NaN."
        )
    return scores
