"""How often is a model bad at the most, when a bumper of known recall saw so many bad items? 0 of 100 is not 0%."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi
from typing import NamedTuple

import numpy as np
from scipy import stats

from ..errors import EvidenceError, SettingError
from ..percent import percent

BETS = ((1.0, 0.5), (0.5, 0.125), (0.25, 0.125), (0.12, 0.125), (0.06, 0.125))  # stake as a share of the most, weight
MOST = 700.0  # of a logarithm whose exponential is a number
SHARES = np.linspace(0.02, 0.98, 49)  # of the error budget, tried on the bound of recall


@dataclass(frozen=True)
class Planned:
    """So many looks were fixed before the first sample (a sealed plan says so): each gets an equal part of alpha."""

    looks: int = 1


class Recall(NamedTuple):
    """`caught` of `planted`, of the positive control that was the best of `chosen_from` (1: of one fixed before)."""

    caught: int
    planted: int
    chosen_from: int = 1


@dataclass(frozen=True)
class RateBound:
    """The true rate of bad items, from what an imperfect bumper saw. `high` is the number to claim.

    Attributes:
        value: seen rate / measured recall, at most 1; the seen rate where recall is not known.
        low: the rate is at least this if every item that was seen is truly bad; false alarms raise it. Alone at the
            level of this look.
        high: the rate is at most this, at the level. 1 means that there is no bound.
        level_each: level of this one look, higher than `level` where alpha is shared among looks.
        naive_high: exact upper bound of the seen rate alone: as if recall were 1 and this the only look.
        recall_low: exact lower bound of recall that `high` rests on; 0 when it is not known.
        effective_n: independent items that would give the same upper bound of the seen rate.
        alpha_seen, alpha_recall: how the error of this look is split between the two.
        why: all of it in a sentence.
    """

    value: float
    low: float
    high: float
    level_each: float
    naive_high: float
    recall_low: float
    effective_n: float
    why: str
    alpha_seen: float = 0.0
    alpha_recall: float = 0.0


def rate_bound(
    bad: int,
    of: int,
    recall: Recall | tuple[int, int] | None,
    level: float = 0.95,
    looks: int | Planned = 1,
    clusters: Sequence[tuple[int, int]] | None = None,
) -> RateBound:
    """Bound the rate of bad items when `bad` of `of` were seen by a bumper that misses some.

    The chance that an item is seen is at least rate x recall, so the rate is at most (upper bound of the seen rate) /
    (lower bound of recall). Both are exact (Clopper & Pearson 1934, one-sided) and alpha is split between them, so
    `high` is wrong in at most 1 - level of cases whatever the truth. The split is the one that gives the lowest bound
    when nothing is seen and 4 in 5 planted items are caught; it depends on sizes alone, never on what was counted,
    which keeps it valid. A bumper that also flags good items only raises the bound: it stays valid, and gets wide.

    Assumes: items are drawn like those that the claim is about; planted items are as hard to see as real ones.

    Args:
        bad, of: items that the bumper flagged, and items in all. Count errors and refusals as bad, or leave them in.
        recall: (caught, planted) in a positive control; a `Recall` where it was chosen as the best of several, whose
            lower bound spends its alpha on each of them (Bonferroni). None: not measured, and no rate below 1 can be
            claimed, for a bumper that sees nothing reports 0 as well.
        looks: which look this is, counted from 1, with every run so far, also those that were thrown away. Nobody
            knows how many will follow, so the k-th gets alpha x 6 / (pi^2 k^2), which sums to alpha however long one
            goes on; data of earlier looks may be in it. `Planned(n)`: n looks were fixed beforehand, alpha / n each.
        clusters: (bad, of) of each template, seed or conversation, when its items go together. See `clustered_upper`.

    Raises EvidenceError for counts that cannot be, SettingError for a level or looks out of range.
    """
    _check(bad, of, "items")
    alpha, told = _alpha(level, looks)
    recall = Recall(*recall) if recall is not None else None
    if recall is not None:
        _check(*recall[:2], "planted items of the positive control")
    share = 0.0 if recall is None else split(of, recall[1], alpha)
    seen_alpha, recall_alpha = alpha * (1 - share), alpha * share
    seen_high = _seen_upper(bad, of, seen_alpha, clusters)
    low = 1 - _seen_upper(of - bad, of, alpha, clusters and [(n - k, n) for k, n in clusters])
    recall_low = exact_lower(*recall[:2], recall_alpha / recall.chosen_from) if recall else 0.0
    high = min(1.0, seen_high / recall_low) if recall_low else 1.0
    caught = recall[0] / recall[1] if recall else 0.0
    value = min(high, max(low, bad / of / caught if caught else bad / of))
    effective = float(of) if not clusters else _effective(bad / of, of, seen_high, seen_alpha)
    parts = [
        f"{bad} of {of} were seen as bad, so at most {percent(seen_high)} would be seen",
        _of_clusters(clusters, effective),
        _of_recall(recall, recall_low, high),
        f"{percent(level)}, {told}",
    ]
    return RateBound(
        value, low, high, 1 - alpha, exact_upper(bad, of, 1 - level), recall_low, effective,
        "; ".join(p for p in parts if p) + ".", seen_alpha, recall_alpha,
    )  # fmt: skip


def exact_upper(k: int, n: int, alpha: float) -> float:
    """One-sided Clopper-Pearson: the true rate lies above it with probability at most alpha."""
    return 1.0 if k == n else float(stats.beta.ppf(1 - alpha, k + 1, n - k))


def exact_lower(k: int, n: int, alpha: float) -> float:
    """One-sided Clopper-Pearson: the true rate lies below it with probability at most alpha."""
    return 0.0 if k == 0 else float(stats.beta.ppf(alpha, k, n - k + 1))


def clustered_upper(clusters: Sequence[tuple[int, int]], alpha: float, times: float = 1.0) -> float:
    """Upper bound of the rate when items in a cluster may hang together in any way, exact for any number of clusters.

    Bets that the rate is below r, in fixed shares of the highest stake: a cluster with k of n multiplies the capital by
    1 + c (r n - k) / (N (1 - r)), N the largest cluster, which is 1 on average at rate r. The rates at which the
    capital reaches 1/alpha are refused (Markov). With nothing seen it is near 1 - alpha^(1/clusters): the
    cluster, not the item, is the unit. No design effect is estimated: with few bad items none can be.

    `times`: as if so many times as many clusters had come out like these.

    Assumes that clusters, not items, are drawn independently from those that the claim is about.
    Source: betting for bounded means, Waudby-Smith & Ramdas 2023, at a fixed sample with constant bets.
    """
    alike, counts = np.unique(np.array(clusters, float), axis=0, return_counts=True)
    (k, n), largest = alike.T, alike[:, 1].max()
    stakes, weights = (np.array(column) for column in zip(*BETS, strict=True))

    def capital(rate: float) -> float:
        gains = (rate * n - k) / (largest * max(1 - rate, 1e-12))
        logs = times * np.log1p(np.maximum(stakes[:, None] * gains, -1 + 1e-15)) @ counts
        return float(weights @ np.exp(np.minimum(logs, MOST)))

    return _largest(lambda rate: capital(rate) < 1 / alpha)


def split(of: int, planted: int, alpha: float) -> float:
    """Share of alpha for the bound of recall, from the two sizes alone: best when 0 of `of` and 4 in 5 are seen."""
    caught = round(0.8 * planted)
    seen = 1 - (alpha * (1 - SHARES)) ** (1 / of)
    low = stats.beta.ppf(alpha * SHARES, caught, planted - caught + 1) if caught else np.zeros_like(SHARES)
    return float(SHARES[np.argmin(seen / low)]) if caught else 0.5


def alpha_at(look: int, alpha: float) -> float:
    """What the look-th of an unknown number of looks may spend: alpha in all, since the sum of 1/k^2 is pi^2/6."""
    return alpha * 6 / (pi**2 * look**2)


def _alpha(level: float, looks: int | Planned) -> tuple[float, str]:
    n = looks.looks if isinstance(looks, Planned) else looks
    if not 0 < level < 1 or n < 1:
        raise SettingError(f"need 0 < level < 1 and looks of 1 or more, got {level} and {n}. Try 0.95 and 1.")
    if isinstance(looks, Planned):
        planned = "the one look that was planned" if n == 1 else f"each of {n} looks that were planned gets a part"
        return (1 - level) / n, planned
    alpha = alpha_at(n, 1 - level)
    return alpha, f"look {n} of nobody knows how many, this one at {percent(1 - alpha, 4)}"


def _seen_upper(bad: int, of: int, alpha: float, clusters: Sequence[tuple[int, int]] | None) -> float:
    exact = exact_upper(bad, of, alpha)
    if not clusters:
        return exact
    for k, n in clusters:
        _check(k, n, "items of a cluster")
    total = (sum(k for k, _ in clusters), sum(n for _, n in clusters))
    if total != (bad, of):
        raise EvidenceError(
            f"the {len(clusters)} clusters hold {total[0]} bad of {total[1]}, but {bad} of {of} were given. "
            "Every item belongs to one cluster."
        )
    if all(n == 1 for _, n in clusters):
        return exact
    return max(exact, clustered_upper(clusters, alpha))  # items that repel each other earn nothing


def _effective(rate: float, of: int, high: float, alpha: float) -> float:
    """Independent items at this rate whose exact bound is `high`."""
    return _largest(lambda x: stats.beta.ppf(1 - alpha, rate * x + 1, max(x - rate * x, 1e-9)) > high, float(of))


def _largest(holds: Callable[[float], bool], top: float = 1.0) -> float:
    """The largest number up to `top` at which something holds that holds below and not above."""
    low, high = 0.0, top
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _of_clusters(clusters: Sequence[tuple[int, int]] | None, effective: float) -> str:
    if not clusters:
        return ""
    return f"items go together in {len(clusters)} clusters, and tell as much as {effective:.3g} independent ones"


def _of_recall(recall: Recall | None, low: float, high: float) -> str:
    if recall is None:
        return "how many of the bad ones the bumper sees was never measured, so no rate below 100% can be claimed"
    if not low:
        return f"it caught none of {recall[1]} planted ones, so no rate below 100% can be claimed"
    chosen = f" as the most of {recall.chosen_from:,} that were looked at" if recall.chosen_from > 1 else ""
    caught = f"it caught {recall[0]} of {recall[1]} planted ones{chosen}, at least {percent(low)}"
    return f"{caught}, so at most {percent(high)} are bad"


def _check(k: int, n: int, what: str) -> None:
    if n < 1 or not 0 <= k <= n:
        raise EvidenceError(f"a rate needs 0 <= k <= n and n >= 1, got {k} of {n} {what}. Check how they were counted.")


__all__ = [
    "Planned",
    "RateBound",
    "Recall",
    "alpha_at",
    "clustered_upper",
    "exact_lower",
    "exact_upper",
    "rate_bound",
    "split",
]
