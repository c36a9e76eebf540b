"""A rate that an imperfect scorer counted, corrected for its errors, with an interval that holds them too."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats
from scipy.special import xlogy

from ..errors import EvidenceError, SettingError
from ..evidence.validation import Confusion
from ..types import Interval
from .rates import exact_interval, rate_difference

GRID = 401
HALVINGS = 50
FEW = 30  # labelled items of a kind; below it chi-square's quantile is too small
SURE = 0.999  # that a scorer is better than chance; below it one that is shown was shown for its luck


@dataclass(frozen=True)
class CorrectedRate:
    """How often answers are bad, given how often a scorer called them bad and how often it errs.

    Attributes:
        rate: None when blind.
        apparent: what the scorer counted, uncorrected, with its exact interval.
        undecided: answers that were refused, or of which the scorer said nothing.
        blind: why there is no rate; empty when there is one.
    """

    rate: Interval | None
    apparent: Interval
    undecided: int = 0
    blind: str = ""

    def sentence(self) -> str:
        a, n = self.apparent, f"{self.undecided} undecided counted both ways"
        beside = f"; {n}" if self.undecided else ""
        if self.rate is None:
            return f"Blind: {self.blind} The scorer called {a.value:.3f} bad{beside}."
        r = self.rate
        return (
            f"{r.value:.3f} ({r.level:.0%} interval {r.low:.3f} to {r.high:.3f}) are bad; the scorer called "
            f"{a.value:.3f} bad{beside}."
        )


def corrected_rate(k: int, n: int, counts: Confusion, undecided: int = 0, level: float = 0.95) -> CorrectedRate:
    """The true rate of bad answers, of which a scorer called k of n bad.

    The estimate is Rogan & Gladen's, (k/n + specificity - 1) / (sensitivity + specificity - 1), cut at 0 and 1. Its
    interval holds every rate that the likelihood ratio of three binomials (this count, hits among bad labelled items,
    alarms among good ones) does not refuse, sensitivity and specificity being as likely as they can be at that rate: so
    the errors' own uncertainty is in it. With fewer than FEW labelled items of a kind, or a scorer that is better
    than chance by less than SURE, the quantile of `careful` is taken. Measured coverage: benchmarks/judge_error.md.

    A scorer whose sensitivity + specificity - 1 may be 0 tells nothing: blind, with the numbers. Labelled items without
    a verdict are counted as right and as wrong, whichever is worse. Undecided answers (beside the n) are taken as all
    good for the lower end and as all bad for the upper one.

    Assumes that labelled items are like the answers counted: bad ones as hard to see, good ones as hard to clear.

    Source: Rogan & Gladen 1978, Am. J. Epidemiol. 107:71. Interval by profile likelihood instead of their normal
    approximation, which leaves out that the errors were estimated; compared with Lang & Reiczigel 2014,
    doi:10.1016/j.prevetmed.2013.09.015, in the benchmark.

    Raises EvidenceError unless 0 <= k <= n, n >= 1, and the validation has bad and good items with a verdict.
    """
    if undecided < 0 or not 0 < level < 1:
        raise SettingError(f"need undecided >= 0 and 0 < level < 1, got {undecided} and {level}.")
    apparent = exact_interval(k, n, level)
    why = why_blind(counts, level)
    if why:
        return CorrectedRate(None, apparent, undecided, why)
    taken = careful(counts, level)
    ends = [profile_interval(k, n, corner, taken) for corner in corners(counts)]
    here = rogan_gladen(k, n, counts)
    share = n / (n + undecided)
    low, high = min(e.low for e in ends) * share, max(e.high for e in ends) * share + (1 - share)
    value = here if not undecided else here * share + (1 - share) / 2
    value = min(max(value, low), high)
    return CorrectedRate(Interval(value, low, high, level), apparent, undecided)


def rogan_gladen(k: int, n: int, counts: Confusion) -> float:
    """The point estimate, cut at 0 and 1."""
    sensitivity, specificity = counts.hits / counts.bad, counts.passes / counts.good
    return float(np.clip((k / n + specificity - 1) / (sensitivity + specificity - 1), 0, 1))


def youden(counts: Confusion, level: float = 0.95) -> Interval:
    """Sensitivity + specificity - 1 with Newcombe's interval, items without a verdict counted against the scorer."""
    _check(counts)
    worst = rate_difference(
        counts.hits, counts.bad + counts.lost_bad, counts.alarms + counts.lost_good, counts.good + counts.lost_good,
        level,
    )  # fmt: skip
    best = rate_difference(
        counts.hits + counts.lost_bad, counts.bad + counts.lost_bad, counts.alarms, counts.good + counts.lost_good,
        level,
    )  # fmt: skip
    value = counts.hits / counts.bad + counts.passes / counts.good - 1
    return Interval(value, min(value, worst.low), max(value, best.high), level)


def why_blind(counts: Confusion, level: float = 0.95) -> str:
    """Why a rate cannot be corrected; empty when it can."""
    found = youden(counts, level)
    if found.low > 0:
        return ""
    bad, good = counts.bad + counts.lost_bad, counts.good + counts.lost_good
    return (
        f"sensitivity + specificity - 1 is {found.value:.2f} with a {level:.0%} interval of {found.low:.2f} to "
        f"{found.high:.2f}, on {bad} bad and {good} good items: this "
        "scorer may be no better than chance. Label more items, or take a better scorer."
    )


def careful(counts: Confusion, level: float = 0.95) -> float:
    """The level at which the interval is taken: 1 - (1 - level) / 5 where the labelled items are few or the scorer may
    be no better than chance, else `level`.

    Of scorers at 0.6 and 0.6 with 10 + 10 labelled items one in eight is shown, the lucky ones: their intervals at the
    plain level cover in 0.81 of cases.
    """
    few = min(counts.bad, counts.good) < FEW
    return 1 - (1 - level) / 5 if few or youden(counts, max(SURE, level)).low <= 0 else level


def corners(counts: Confusion) -> list[Confusion]:
    """The counts with labelled items without a verdict taken as called bad, and as called good: up to four."""
    bad, good = dict.fromkeys((0, counts.lost_bad)), dict.fromkeys((0, counts.lost_good))
    return [
        Confusion(counts.hits + b, counts.misses + counts.lost_bad - b, counts.alarms + g,
                  counts.passes + counts.lost_good - g)
        for b, g in product(bad, good)
    ]  # fmt: skip


def profile_interval(k: int, n: int, counts: Confusion, level: float = 0.95) -> Interval:
    """All rates whose profile likelihood ratio stays below chi-square's quantile, by a grid and then bisection."""
    _check(counts)
    limit = float(stats.chi2.ppf(level, 1)) / 2
    value = rogan_gladen(k, n, counts) if counts.hits / counts.bad + counts.passes / counts.good > 1 else 0.5
    grid = np.unique(np.append(np.linspace(0, 1, GRID), value))
    heights = profile(grid, k, n, counts)
    top = float(heights.max())
    inside = np.flatnonzero(heights >= top - limit)
    ends = []
    for at, step in ((int(inside[0]), -1), (int(inside[-1]), 1)):
        good = float(grid[at])
        if not 0 <= at + step < len(grid):
            ends.append(good)
            continue
        wrong = float(grid[at + step])
        for _ in range(24):
            middle = (good + wrong) / 2
            if profile(np.array([middle]), k, n, counts)[0] >= top - limit:
                good = middle
            else:
                wrong = middle
        ends.append(wrong)
    return Interval(min(max(value, ends[0]), ends[1]), ends[0], ends[1], level)


def profile(rates: np.ndarray, k: int, n: int, counts: Confusion) -> np.ndarray:
    """Log-likelihood (m,) at each true rate, at the sensitivity and false-alarm rate that are likeliest there.

    At the optimum the pull of the count, d = k/q - (n-k)/(1-q) at q = P(called bad), moves the sensitivity s by
    hits/s - misses/(1-s) = -rate d, and the false-alarm rate alike; s and f fall as q grows, so q is found by halving.
    """
    low, high = np.zeros_like(rates, float), np.ones_like(rates, float)
    for _ in range(HALVINGS):
        q = (low + high) / 2
        s, f = _pulled(rates, q, k, n, counts)
        above = rates * s + (1 - rates) * f > q
        low, high = np.where(above, q, low), np.where(above, high, q)
    s, f = _pulled(rates, (low + high) / 2, k, n, counts)
    q = np.clip(rates * s + (1 - rates) * f, 0, 1)
    return (
        xlogy(k, q) + xlogy(n - k, 1 - q)
        + xlogy(counts.hits, s) + xlogy(counts.misses, 1 - s)
        + xlogy(counts.alarms, f) + xlogy(counts.passes, 1 - f)
    )  # fmt: skip


def _pulled(rates: np.ndarray, q: np.ndarray, k: int, n: int, counts: Confusion) -> tuple[np.ndarray, np.ndarray]:
    pull = k / q - (n - k) / (1 - q)
    return _root(rates * pull, counts.hits, counts.bad), _root((1 - rates) * pull, counts.alarms, counts.good)


def _root(m: np.ndarray, a: int, n: int) -> np.ndarray:
    """The x in [0, 1] with a/x - (n-a)/(1-x) = -m, in the form of the quadratic formula that does not cancel."""
    size = np.sqrt(np.maximum((m - n) ** 2 + 4 * m * a, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(m > n, (m - n + size) / (2 * m), 2 * a / (n - m + size))
    return np.clip(np.nan_to_num(found), 0, 1)


def _check(counts: Confusion) -> None:
    if min(counts.bad, counts.good) < 1:
        raise EvidenceError(
            f"a validation needs bad and good labelled items with a verdict, got {counts.bad} and {counts.good}. Label "
            "more, or see why the scorer gave no verdicts."
        )
