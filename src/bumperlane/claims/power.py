"""Would the evaluation have told, if the claim were false? Exact power of a pass line, and of a difference."""

from collections.abc import Callable
from math import ceil, sqrt

import numpy as np
from scipy import stats

from ..errors import SettingError
from .reckon import MOST_ITEMS

ENOUGH = 0.8
SPREAD = 8.0  # standard deviations of a count beyond which its probability is left out: 1e-15


def power_to_refuse(allowed: float, n: float, rate: float) -> float:
    """P(more than `allowed` bad of n are seen), when each is seen as bad with probability `rate`.

    Both may be fractions, where n is an effective number of items: then by the incomplete beta function, which is the
    binomial at whole numbers.
    """
    _check(n, rate)
    if allowed >= n:
        return 0.0
    return float(stats.beta.cdf(rate, allowed + 1, n - allowed))


def power_to_fall_short(needed: float, n: float, rate: float) -> float:
    """P(fewer than `needed` of n are seen), when each is seen with probability `rate`."""
    _check(n, rate)
    if needed <= 0:
        return 0.0
    return 1.0 if needed > n else float(1 - stats.beta.cdf(rate, needed, n - needed + 1))


def items_to_refuse(allowed_share: float, rate: float, power: float = ENOUGH) -> int | None:
    """Smallest n at which a claim made on at most this share of bad items is refused at `rate` with this power.

    None when the share that is allowed is not below the rate: then no number of items does it.
    """
    if not 0 <= allowed_share < rate:
        return None
    n = 1
    while power_to_refuse(int(allowed_share * n), n, rate) < power:
        n *= 2
        if n > MOST_ITEMS:
            return None
    low = n // 2
    while n - low > 1:
        middle = (low + n) // 2
        low, n = (low, middle) if power_to_refuse(int(allowed_share * middle), middle, rate) >= power else (middle, n)
    return n


def power_of_difference(rate: float, other: float, n: int, m: int, level: float = 0.95) -> float:
    """P(the interval of the difference of two counted rates excludes 0), summed over both binomials.

    The interval is Newcombe's, as in `judge.rates.rate_difference`; counts beyond SPREAD standard deviations are left
    out.
    """
    _check(n, rate)
    _check(m, other)
    z = float(stats.norm.ppf((1 + level) / 2))
    a, b = _likely(n, rate), _likely(m, other)
    p, low_p, high_p = _wilson(a, n, z)

    def above(at: np.ndarray) -> np.ndarray:
        q, _, high_q = _wilson(b[at], m, z)
        return p - q > np.sqrt((p - low_p) ** 2 + (high_q - q) ** 2)

    def not_below(at: np.ndarray) -> np.ndarray:
        q, low_q, _ = _wilson(b[at], m, z)
        return p - q >= -np.sqrt((high_p - p) ** 2 + (q - low_q) ** 2)

    # Of each count of one arm the counts of the other that exclude 0 are two tails: to look for their ends, and not
    # at every pair, keeps millions of items within memory.
    tail = np.concatenate([[0.0], np.cumsum(stats.binom.pmf(b, m, other))])
    first, last = _until(above, len(a), len(b)), _until(not_below, len(a), len(b))
    return float(stats.binom.pmf(a, n, rate) @ (tail[first] + tail[-1] - tail[last]))


def _until(holds: Callable[[np.ndarray], np.ndarray], rows: int, size: int) -> np.ndarray:
    """(rows,) the first place in range(size) at which something no longer holds; `size` where it always does."""
    low, high = np.zeros(rows, int), np.full(rows, size)
    while (low < high).any():
        middle = (low + high) // 2
        true = holds(np.minimum(middle, size - 1)) & (low < high)
        low, high = np.where(true, middle + 1, low), np.where(true, high, np.minimum(middle, high))
    return low


def items_for_difference(rate: float, other: float, level: float = 0.95, power: float = ENOUGH) -> int | None:
    """Items in each arm at which such a difference is found with this power. None above 20,000."""
    n = 8
    while power_of_difference(rate, other, n, n, level) < power:
        n *= 2
        if n > 20_000:
            return None
    low = n // 2
    while n - low > max(1, n // 200):
        middle = (low + n) // 2
        low, n = (low, middle) if power_of_difference(rate, other, middle, middle, level) >= power else (middle, n)
    return n


def _likely(n: int, rate: float) -> np.ndarray:
    spread = SPREAD * sqrt(n * rate * (1 - rate)) + 8
    return np.arange(max(0, int(n * rate - spread)), min(n, ceil(n * rate + spread)) + 1)


def _wilson(k: np.ndarray, n: int, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rate = k / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return rate, np.minimum(rate, np.maximum(0, centre - half)), np.maximum(rate, np.minimum(1, centre + half))


def _check(n: float, rate: float) -> None:
    if n <= 0 or not 0 <= rate <= 1:
        raise SettingError(f"power needs more than 0 items and a rate in [0, 1], got {n} and {rate}.")
