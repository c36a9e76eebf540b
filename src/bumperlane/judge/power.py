"""How many items a context needs, so that a check of many bumpers can still see what one alone would see."""

from functools import lru_cache

from scipy import stats

from ..errors import SettingError
from .judge import JudgeSettings
from .rates import binomial_tail

MOST = 48


@lru_cache(maxsize=64)
def items_needed(
    bumpers: int, settings: JudgeSettings, rate: float = 0.6, power: float = 0.8, contexts: int = 10
) -> int:
    """Items a context, so that a fault that shows on `rate` of them is hit with probability `power`.

    Holm's correction divides alpha among the bumpers and their contexts, and a bumper that is enough alone may be blind
    to all but the crudest faults among twenty: with 8 items a context, half of them over is p = 0.005.

    Args:
        bumpers: judged together.
        contexts: of each bumper.

    Raises SettingError for a rate that the judge tolerates. At most MOST: what takes more is not seen so.
    """
    if not settings.tolerated_rate < rate <= 1 or not 0 < power < 1 or bumpers < 1 or contexts < 1:
        raise SettingError(
            f"need a rate above the tolerated {settings.tolerated_rate:g}, power in (0, 1) and bumpers and contexts of "
            f"1 or more, got {rate}, {power}, {bumpers} and {contexts}."
        )
    alpha = settings.alpha * settings.levels[0].share / (bumpers * contexts)
    for n in range(2, MOST):
        least = next((k for k in range(1, n + 1) if binomial_tail(k, n, settings.tolerated_rate) <= alpha), None)
        if least is not None and stats.binom.sf(least - 1, n, rate) >= power:
            return n
    return MOST
