"""Rates and differences of rates, with intervals that hold for a dozen requests and two or three seeds."""

from collections.abc import Sequence
from math import sqrt

from scipy import stats

from ..errors import EvidenceError, SettingError
from ..types import Interval

Counts = Sequence[tuple[int, int]]


def exact_interval(k: int, n: int, level: float = 0.95) -> Interval:
    """Clopper-Pearson interval of a rate: covers with probability >= `level` for every true rate.

    Source: Clopper & Pearson 1934. Raises EvidenceError unless 0 <= k <= n and n >= 1.
    """
    _check_counts(k, n)
    tail = _tail(level)
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.ppf(1 - tail, k + 1, n - k))
    return Interval(k / n, low, high, level)


def rate_difference(k1: int, n1: int, k2: int, n2: int, level: float = 0.95) -> Interval:
    """Interval of k1/n1 - k2/n2 for independent items: Newcombe 1998, method 10 (hybrid of two Wilson scores)."""
    _check_counts(k1, n1)
    _check_counts(k2, n2)
    z = float(stats.norm.ppf(1 - _tail(level)))
    return _hybrid((k1 / n1, n1), (k2 / n2, n2), z, level)


def binomial_tail(k: int, n: int, rate: float) -> float:
    """P(X >= k) for X ~ Binomial(n, rate)."""
    _check_counts(k, n)
    if not 0 <= rate <= 1:
        raise SettingError(f"a rate must be in [0, 1], got {rate}.")
    return float(stats.binom.sf(k - 1, n, rate))


def clustered_difference(a: Counts, b: Counts, level: float = 0.95) -> Interval:
    """Difference of mean rates (a - b) between two arms of an experiment, each a list of retrains (k of n items).

    Each arm's mean gets a Wilson interval on an effective number of items: the number of items divided by
    max(1, between-seed variance of the mean / binomial variance), the binomial variance with one success and one
    failure added (Agresti-Caffo 2000), so that seeds that all agree at 0 or 1 still give a width. The two are joined
    by Newcombe's hybrid score. The quantile is Student's t with Satterthwaite's degrees of freedom, where only the
    variance beyond the binomial counts as estimated from (seeds - 1); without such excess it is the normal quantile.
    An arm with one seed says nothing of the variation between seeds: then the other arm's design effect is used,
    and with one seed in each arm the interval holds for these two retrains only.

    Measured coverage at level 0.95, n = 8..24, 2-3 seeds, rates 0, 0.02, 0.5, 0.95, 1: 0.92 or more (mean 0.98) when
    seeds share one rate; 0.90 or more (mean 0.97) when seeds' true rates vary with SD 0.1. With two seeds and SD 0.2
    it can fall to 0.84: two seeds cannot show how much seeds differ.
    """
    arms = [_arm(a, "first"), _arm(b, "second")]
    borrowed = max((design for _, _, design, seeds in arms if seeds > 1), default=1.0)
    designs = [design if seeds > 1 else borrowed for _, _, design, seeds in arms]
    variances = [d * _smoothed_variance(rate, items) for d, (rate, items, _, _) in zip(designs, arms, strict=True)]
    excess = [variance * (1 - 1 / d) for d, variance in zip(designs, variances, strict=True)]
    freedom = [seeds - 1 for *_, seeds in arms]
    if min(freedom) > 0:
        estimated = sum(e**2 / f for e, f in zip(excess, freedom, strict=True))
    else:  # both excesses come from the one arm that has several seeds, if any: they err together
        estimated = sum(excess) ** 2 / max(1, *freedom)
    first, second = ((rate, items / d) for d, (rate, items, _, _) in zip(designs, arms, strict=True))
    return _hybrid(first, second, _quantile(sum(variances), estimated, level), level)


def _arm(counts: Counts, which: str) -> tuple[float, float, float, int]:
    """(mean of the seeds' rates, items that carry as much as that mean, design effect, seeds)."""
    if not counts:
        raise EvidenceError(f"the {which} arm of the experiment has no retrains. Run at least one seed an arm.")
    for k, n in counts:
        _check_counts(k, n)
    seeds = len(counts)
    observed = [k / n for k, n in counts]
    rate = sum(observed) / seeds
    items = seeds**2 / sum(1 / n for _, n in counts)  # equals the sum of n when all n are equal
    if seeds == 1:
        return rate, items, 1.0, 1
    between = sum((r - rate) ** 2 for r in observed) / (seeds - 1) / seeds
    return rate, items, max(1.0, between / _smoothed_variance(rate, items)), seeds


def _smoothed_variance(rate: float, items: float) -> float:
    centre = (rate * items + 1) / (items + 2)
    return centre * (1 - centre) / (items + 2)


def _quantile(variance: float, estimated: float, level: float) -> float:
    upper = 1 - _tail(level)
    if estimated == 0:
        return float(stats.norm.ppf(upper))
    return float(stats.t.ppf(upper, max(1.0, variance**2 / estimated)))


def _hybrid(first: tuple[float, float], second: tuple[float, float], quantile: float, level: float) -> Interval:
    """Join two (rate, items) by the distances from each rate to its Wilson limits."""
    (p1, n1), (p2, n2) = first, second
    low1, high1 = _wilson(p1, n1, quantile)
    low2, high2 = _wilson(p2, n2, quantile)
    value = p1 - p2
    low = value - sqrt((p1 - low1) ** 2 + (high2 - p2) ** 2)
    high = value + sqrt((high1 - p1) ** 2 + (p2 - low2) ** 2)
    return Interval(value, max(-1.0, low), min(1.0, high), level)


def _wilson(rate: float, items: float, quantile: float) -> tuple[float, float]:
    square = quantile**2
    centre = (rate + square / (2 * items)) / (1 + square / items)
    half = quantile / (1 + square / items) * sqrt(rate * (1 - rate) / items + square / (4 * items**2))
    return min(rate, max(0.0, centre - half)), max(rate, min(1.0, centre + half))


def _check_counts(k: int, n: int) -> None:
    if n < 1 or not 0 <= k <= n:
        raise EvidenceError(f"a rate needs 0 <= k <= n and n >= 1, got k={k} of n={n}. Check how items were counted.")


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise SettingError(f"level must be between 0 and 1, got {level}. Try 0.95.")
    return (1 - level) / 2
