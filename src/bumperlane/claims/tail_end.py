"""Does a tail bend down, towards an end that no query exceeds? A straight line through it then lies too high."""

from functools import lru_cache

import numpy as np

SHARE, MOST = 0.1, 50  # of the items, and at most so many, are looked at for a bend
FEW = 30  # with fewer an end is often not seen
DRAWS = 20_000  # exponential tails that the scores are compared with
BENDS = 0.1  # share of straight tails that are said to bend


def tail_items(m: int, top: int) -> int:
    """How many of m items are looked at: more than the line goes through, for a bend shows late."""
    return min(max(top, int(m * SHARE)), MOST)


def bend(scores: np.ndarray) -> float | None:
    """The chance that a straight (exponential) tail bends down as much as these scores, falling, of which the last is
    the base that the others stand above. None with too few, or all alike.

    The score test of a generalised Pareto tail with an end (shape below 0) against the exponential one: the sum of
    squares of the excesses over the square of their sum, which is small when there is an end; its null distribution is
    drawn (Greenwood 1946 for the statistic). Not for shares of few samples, which are no exponential tail anyhow.
    """
    above = scores[:-1] - scores[-1]
    if len(above) < 3 or not above.sum():
        return None
    found = (above**2).sum() / above.sum() ** 2
    below = np.searchsorted(_straight(len(above)), found * (1 + 1e-12))
    return float((1 + below) / (1 + DRAWS))


@lru_cache
def _straight(k: int) -> np.ndarray:
    x = np.random.default_rng(0).exponential(size=(DRAWS, k))
    return np.sort((x**2).sum(1) / x.sum(1) ** 2)


def exceeded(p: np.ndarray, queries: int, alpha: float) -> float:
    """What the worst of so many queries exceeds or meets with probability 1 - alpha, whatever the tail, since items and
    queries are drawn alike: the smallest rank j at which all j largest of the m + n being items has a chance of at most
    alpha. `p` falls; 0 where no rank does."""
    chance, m = 1.0, len(p)
    for j in range(m):
        chance *= (m - j) / (m + queries - j)
        if chance <= alpha:
            return float(p[j])
    return 0.0
