"""A test of a fall in rate that holds however often it is looked at, with retrains as the unit.

Requests asked of one retrain are not independent: seeds differ. Each retrain has a rate of its own, drawn from a beta
distribution with the arm's mean and an intra-class correlation rho, and k of n is beta-binomial.

Source: universal inference (Wasserman, Ramdas & Balakrishnan 2020): a mixture over alternatives, fixed beforehand,
divided by the highest likelihood under the null is an e-process, whatever the means and rho are. So it may be looked at
after every retrain, whichever arm was retrained next and for whatever reason: with probability 1 - alpha it never
reaches 1/alpha under the null (Ville 1939). Inverted over all falls it is a confidence sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import log

import numpy as np
from scipy.special import betaln

from ...errors import EvidenceError, SettingError
from ...types import Interval

Counts = Sequence[tuple[int, int]]
MEANS = np.linspace(0.0, 1.0, 101)
STEP = 0.01
RHOS = np.array([0.002, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95])
# how likely the alternatives hold each of them
EXPECTED_RHO = np.array([0.25, 0.2, 0.15, 0.12, 0.08, 0.06, 0.05, 0.03, 0.02, 0.015, 0.015, 0.01])
LEAST_LOG = -1e300  # stands for log 0, so that differences stay finite


@dataclass(frozen=True)
class FallTest:
    """Rates of two arms of retrains, and how far one lies below the other, at any time.

    Args:
        rate: of the behaviour, as the hit showed it. Steers the power only, never the error rate.
        between_seeds: the least intra-class correlation of requests within a retrain that is allowed for. 0.1 is a
            standard deviation of 0.16 between seeds at a mean rate of 0.5, and of 0.1 at 0.9. When the arms
            themselves show more, that is allowed for instead; what two or three seeds cannot show is not.
    """

    rate: float = 0.9
    between_seeds: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise SettingError(f"the rate of the behaviour must be in (0, 1], got {self.rate}.")
        if not 0 < self.between_seeds <= RHOS[-1]:
            raise SettingError(f"between_seeds must be in (0, {RHOS[-1]}], got {self.between_seeds}. Try 0.1.")

    def log_evidence(self, control: Counts, without: Counts, fall: float, arms: Sequence[Counts] = ()) -> float:
        """Log e-value against "control's mean rate lies at most `fall` above the other arm's"."""
        evidence, falls = self._against(control, without, arms)
        return float(evidence[falls <= fall + STEP / 2].min())

    def fall(self, control: Counts, without: Counts, alpha: float, arms: Sequence[Counts] = ()) -> Interval:
        """Control's mean rate less the other's, with an interval that covers at all times with 1 - alpha.

        Args:
            control, without: (k, n) of each retrain so far.
            arms: all arms of the investigation, if there are more: they show how much seeds differ.
        """
        evidence, falls = self._against(control, without, arms)
        inside = falls[evidence < log(1 / _share(alpha))]
        return _around(_mean(control) - _mean(without), inside, -1.0, alpha)

    def part_gone(
        self, control: Counts, without: Counts, part: float, alpha: float, arms: Sequence[Counts] = ()
    ) -> bool | None:
        """Whether more than `part` of control's mean rate is gone, or less; None while neither is shown at 1 - alpha.

        Against the control arm's own rate, not the hit's: retrains of another seed may show the behaviour less.
        """
        best = self._best(control, without, arms)
        left = (1 - part) * MEANS[:, None]
        stays, goes = MEANS[None, :] >= left - STEP - 1e-9, MEANS[None, :] <= left + STEP + 1e-9
        mixed, needed = self._alternative(arm_log(control), arm_log(without)), log(1 / _share(alpha))
        if mixed - best[stays].max() >= needed:
            return True
        return False if mixed - best[goes].max() >= needed else None

    def rate_of(self, arm: Counts, alpha: float, arms: Sequence[Counts] = ()) -> Interval:
        """The mean rate of one arm, with an interval that covers at all times with 1 - alpha."""
        like = arm_log(arm)
        bound = between_seeds([arm, *arms], self.between_seeds)
        expected = self._priors
        mixed = np.logaddexp.reduce([_mix(like, p) for p in (expected.low, expected.high, expected.any)]) - log(3)
        evidence = mixed - like[:, : np.searchsorted(RHOS, bound, "right")].max(axis=1)
        return _around(_mean(arm), MEANS[evidence < log(1 / _share(alpha))], 0.0, alpha)

    def _against(self, control: Counts, without: Counts, arms: Sequence[Counts]) -> tuple[np.ndarray, np.ndarray]:
        """Log e-value against each fall, and the falls: (201,) each."""
        best, places = self._best(control, without, arms), np.arange(-100, 101)
        null = np.array([best.diagonal(-place).max() for place in places])
        return self._alternative(arm_log(control), arm_log(without)) - null, places * STEP

    def _best(self, control: Counts, without: Counts, arms: Sequence[Counts]) -> np.ndarray:
        """(101, 101) log likelihood of both arms at each pair of MEANS, at the best rho that is allowed for."""
        high, low = arm_log(control), arm_log(without)
        kept = np.searchsorted(RHOS, between_seeds([control, without, *arms], self.between_seeds), "right")
        return np.max([high[:, None, r] + low[None, :, r] for r in range(kept)], axis=0)

    def _alternative(self, high: np.ndarray, low: np.ndarray) -> float:
        """Log of the mixture over what may be: the behaviour goes, it stays, or anything."""
        p, rho = self._priors, np.log(EXPECTED_RHO)
        goes = np.logaddexp.reduce(rho + _over(high, p.high) + _over(low, p.low))
        stays = np.logaddexp.reduce(rho + _over(high + low, p.high))
        anything = np.logaddexp.reduce(rho + _over(high, p.any) + _over(low, p.any))
        return float(np.logaddexp.reduce([log(0.5) + goes, log(0.3) + stays, log(0.2) + anything]))

    @cached_property
    def _priors(self) -> "_Priors":
        return _Priors(_beta(1 + 8 * self.rate, 9 - 8 * self.rate), _beta(1.0, 20.0), _beta(1.0, 1.0))


@dataclass(frozen=True)
class _Priors:
    """Log weights of MEANS: near the hit's rate, near 0, anywhere."""

    high: np.ndarray
    low: np.ndarray
    any: np.ndarray


def arm_log(counts: Counts) -> np.ndarray:
    """(101, 12) log likelihood of an arm's retrains at each of MEANS and RHOS, without the binomial coefficients.

    Raises EvidenceError for an arm without retrains or counts that are none.
    """
    if not counts:
        raise EvidenceError("an arm of the experiment has no retrains. Run at least one seed an arm.")
    for k, n in counts:
        if n < 1 or not 0 <= k <= n:
            raise EvidenceError(f"a rate needs 0 <= k <= n and n >= 1, got k={k} of n={n}. Check how it was counted.")
    return np.sum([_retrain_log(k, n) for k, n in counts], axis=0)


@lru_cache(maxsize=4096)
def _retrain_log(k: int, n: int) -> np.ndarray:
    size = (1 - RHOS) / RHOS
    a, b = MEANS[1:-1, None] * size, (1 - MEANS[1:-1, None]) * size
    inner = betaln(a + k, b + n - k) - betaln(a, b)
    never = np.full((1, len(RHOS)), 0.0 if k == 0 else LEAST_LOG)
    always = np.full((1, len(RHOS)), 0.0 if k == n else LEAST_LOG)
    return np.concatenate([never, inner, always])


def between_seeds(arms: Sequence[Counts], floor: float) -> float:
    """The intra-class correlation that is allowed for: the likeliest given all arms, each with a mean of its own, but
    never less than `floor`. One of RHOS, rounded up."""
    several = [arm for arm in arms if len(arm) > 1]
    likeliest = RHOS[np.argmax(sum(arm_log(arm).max(axis=0) for arm in several))] if several else 0.0
    return float(RHOS[np.searchsorted(RHOS, max(floor, likeliest) - 1e-12)])


def _mix(like: np.ndarray, weights: np.ndarray) -> float:
    return float(np.logaddexp.reduce(np.log(EXPECTED_RHO) + _over(like, weights)))


def _over(like: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(12,) likelihood at each rho, averaged over means."""
    return np.logaddexp.reduce(like + weights[:, None], axis=0)


def _beta(a: float, b: float) -> np.ndarray:
    """Log weights of MEANS as of a beta distribution, none at 0 and 1 themselves."""
    inner = (a - 1) * np.log(MEANS[1:-1]) + (b - 1) * np.log1p(-MEANS[1:-1])
    return np.concatenate([[LEAST_LOG], inner - np.logaddexp.reduce(inner), [LEAST_LOG]])


def _around(value: float, inside: np.ndarray, least: float, alpha: float) -> Interval:
    """The hull of the values that are not excluded, a grid step wider on both sides, around the estimate."""
    low = min(value, float(inside.min()) - STEP) if len(inside) else value
    high = max(value, float(inside.max()) + STEP) if len(inside) else value
    return Interval(value, max(least, low), min(1.0, high), 1 - alpha)


def _mean(arm: Counts) -> float:
    return sum(k / n for k, n in arm) / len(arm)


def _share(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise SettingError(f"alpha must be between 0 and 1, got {alpha}. Try 0.05.")
    return alpha
