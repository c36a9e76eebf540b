"""Is one rate above another, is it not, or is neither shown? For two subjects that were asked the same requests."""

from collections.abc import Callable

from ..types import Interval
from .rates import rate_difference

FAMILY = 0.05  # chance that any of the looks calls two equal rates different


def settled(counts: tuple[int, int, int], tolerated: float, level: float, looks: int = 1) -> bool | None:
    """`settled_by` of counts: (k of the first, k of the second, n of each)."""
    k1, k2, n = counts
    return settled_by(lambda level: rate_difference(k1, n, k2, n, level), tolerated, level, looks)


def settled_by(difference: Callable[[float], Interval], tolerated: float, level: float, looks: int = 1) -> bool | None:
    """True: the first rate is shown to be above the second by less than `tolerated`. False: it is above beyond chance.
    None: neither, for not significant is not equal.

    A pass takes one one-sided test, and a verdict takes every pass, so passes need no correction for their number
    (intersection-union; Berger 1982, Technometrics 24:295). One failure of many is enough for a verdict: these are
    corrected (Bonferroni).

    Args:
        difference: its interval at a level.
        level: two-sided level whose upper limit must lie below `tolerated`: 0.9 is 5% one-sided.
        looks: how many are taken together.
    """
    if difference(1 - FAMILY / looks).low > 0:
        return False
    return True if difference(level).high < tolerated else None
