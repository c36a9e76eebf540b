"""When does it start: one change of level in a rate or a mean that is seen at many steps.

Whether there is a change at all is tested by permuting the steps, which holds at its nominal rate for any spread among
them. Only then is it dated: a posterior over the first changed step and over the way from one level to the other (a
jump, a ramp or a logistic curve, of many lengths), with the levels profiled out and the spread between steps estimated
from the residuals. A logistic curve begins where 5% of the change has come.
Blind to: more than one change; trends that began before the log did; drift that is no change (neighbouring steps that
are alike for another reason count as a change).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, xlogy

from ...errors import EvidenceError, SettingError
from ...types import Interval

FEWEST = 6  # steps; permuting fewer cannot give a small p-value
MOST = 200  # points on the axis of steps; neighbouring steps are put together beyond it
RAMPS = (0.0, *(2 ** (-i / 2) for i in range(10)))  # length of the ramp, in units of the logged range of steps
PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of a point's steps that a jump within it leaves changed
EDGE = float(np.log(0.95 / 0.05))  # a smooth change begins where 5% of it has come, and ends at 95%
ROUNDS = 15  # of expectation-maximisation for the two levels of a rate


@dataclass(frozen=True)
class ChangePoint:
    """A change of level, or that none was found.

    Attributes:
        name: of what.
        found: whether the p-value is at most alpha.
        onset: first changed step, with the steps between which it lies; None where none was found.
        before, after: level before the onset and at the last step; the overall level twice where none was found.
        p_value: of the permutation test.
        why: what a reader must know.
    """

    name: str
    found: bool
    onset: Interval | None
    before: float
    after: float
    p_value: float
    why: str


@dataclass(frozen=True)
class Dating:
    """How to test and date. Args: level and alpha in (0, 1); permutations; seed."""

    level: float = 0.95
    alpha: float = 0.05
    permutations: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or not 0 < self.alpha < 1:
            raise SettingError(f"level and alpha must be in (0, 1), got {self.level} and {self.alpha}.")
        if (self.permutations + 1) * self.alpha < 1:
            raise SettingError(
                f"{self.permutations} permutations cannot reach alpha {self.alpha}. Take {int(1 / self.alpha)} or more."
            )


def change_in_rate(
    name: str,
    steps: np.ndarray,
    k: np.ndarray,
    n: np.ndarray,
    dating: Dating = Dating(),  # noqa: B008
) -> ChangePoint:
    """A change in k of n at each step. `steps` ascend; n >= 1. Raises EvidenceError for impossible counts."""
    if (n < 1).any() or (k < 0).any() or (k > n).any():
        raise EvidenceError(f"the counts of {name} must be 0 <= k <= n with n >= 1 at every step.")
    steps, edges = _fewer(steps, n)
    k, n = (np.add.reduceat(np.asarray(v, float), edges) for v in (k, n))
    p = _p_value(np.stack([k, n]), _rate_gain, dating) if len(n) >= FEWEST else 1.0

    def fit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _fit_rate(x, k, n)

    return _dated(name, steps, (p, float(k.sum() / n.sum())), fit, dating)


def change_in_mean(
    name: str,
    steps: np.ndarray,
    mean: np.ndarray,
    n: np.ndarray,
    dating: Dating = Dating(),  # noqa: B008
) -> ChangePoint:
    """A change in the mean of n values at each step. `steps` ascend; n >= 1."""
    if (n < 1).any() or not np.isfinite(mean).all():
        raise EvidenceError(f"the means of {name} must be finite, of n >= 1 values at every step.")
    total = mean * n
    steps, edges = _fewer(steps, n)
    total, n = (np.add.reduceat(np.asarray(v, float), edges) for v in (total, n))
    p = _p_value(np.stack([total, n]), _mean_gain, dating) if len(n) >= FEWEST else 1.0

    def fit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _fit_mean(x, total / n, n)

    return _dated(name, steps, (p, float(total.sum() / n.sum())), fit, dating)


def _fewer(steps: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((points, 2) first and last step of each point, where each point begins), at most MOST points."""
    if len(steps) != len(n) or (np.diff(steps) <= 0).any():
        raise EvidenceError(f"steps must ascend without repeats, one a count, got {len(steps)} for {len(n)} counts.")
    edges = np.unique(np.linspace(0, len(steps), min(MOST, len(steps)), endpoint=False).astype(int))
    last = np.append(edges[1:], len(steps)) - 1
    return np.stack([steps[edges], steps[last]], axis=1), edges


def _p_value(pairs: np.ndarray, gain: Callable[[np.ndarray], np.ndarray], dating: Dating) -> float:
    """Of the largest gain over all places of a jump, among orders of the steps. `pairs` (2, points)."""
    rng = np.random.default_rng(dating.seed)
    seen = float(gain(pairs[:, None]).max())
    above, left = 0, dating.permutations
    while left:
        batch = min(left, 200)
        order = rng.permuted(np.tile(np.arange(pairs.shape[1]), (batch, 1)), axis=1)
        above += int((gain(pairs[:, order]).max(axis=1) >= seen * (1 - 1e-9)).sum())
        left -= batch
    return (1 + above) / (1 + dating.permutations)


def _rate_gain(pairs: np.ndarray) -> np.ndarray:
    """Log-likelihood that two rates gain over one, for each place of a jump. (2, r, points) -> (r, points - 1)."""
    k, n = np.cumsum(pairs, axis=2)
    first, second = (k[:, :-1], n[:, :-1]), (k[:, -1:] - k[:, :-1], n[:, -1:] - n[:, :-1])
    return sum(xlogy(a, a / b) + xlogy(b - a, 1 - a / b) for a, b in (first, second))


def _mean_gain(pairs: np.ndarray) -> np.ndarray:
    """Fall of the weighted sum of squares, for each place of a jump."""
    total, n = np.cumsum(pairs, axis=2)
    centred = total - n * (total[:, -1:] / n[:, -1:])
    return (centred**2 * n[:, -1:] / (n * np.maximum(n[:, -1:] - n, 1e-9)))[:, :-1]


def _designs(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(place of the first changed point of each design, (designs, points) share of the change that has come)."""
    at = steps[:, 0].astype(float)
    span = max(at[-1] - at[0], 1.0)
    first = np.arange(1, len(at))
    begins = at[first - 1]
    jump = (at[None, :] >= at[first, None]).astype(float)
    rows = [jump]
    if (steps[:, 1] > steps[:, 0]).any():  # a jump among the steps of one point changes a part of them
        here = np.arange(len(at))[None, :] == first[:, None]
        rows += [np.where(here, part, jump) for part in PARTS]
    for ramp in RAMPS[1:]:
        rows.append(np.clip((at[None, :] - begins[:, None]) / (ramp * span), 0, 1))
        rows.append(expit(EDGE * (2 * (at[None, :] - at[first, None]) / (ramp * span) - 1)))
    return np.tile(first, len(rows)), np.concatenate(rows)


def _fit_rate(x: np.ndarray, k: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log posterior of each design, (2, designs) levels). Levels by expectation-maximisation: each trial is of the
    level before with chance 1 - x and of the level after with chance x."""
    before = ((1 - x) @ k + 0.5) / ((1 - x) @ n + 1)
    after = (x @ k + 0.5) / (x @ n + 1)
    for _ in range(ROUNDS):
        rate = np.clip(before[:, None] * (1 - x) + after[:, None] * x, 1e-12, 1 - 1e-12)
        hits, misses = k / rate, (n - k) / (1 - rate)
        one, other = ((1 - x) * hits).sum(axis=1) * before, ((1 - x) * misses).sum(axis=1) * (1 - before)
        two, rest = (x * hits).sum(axis=1) * after, (x * misses).sum(axis=1) * (1 - after)
        before, after = one / np.maximum(one + other, 1e-12), two / np.maximum(two + rest, 1e-12)
    rate = np.clip(before[:, None] * (1 - x) + after[:, None] * x, 1e-9, 1 - 1e-9)
    fits = (xlogy(k, rate) + xlogy(n - k, 1 - rate)).sum(axis=1)
    best = int(np.argmax(fits))
    off = (k - n * rate[best]) ** 2 / np.maximum(n * rate[best] * (1 - rate[best]), 0.1)
    excess = max(1.0, float(off.sum()) / max(len(k) - 3, 1))
    return fits / excess + _room(x, n), np.stack([before, after])


def _fit_mean(x: np.ndarray, y: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log posterior of each design, (2, designs) levels), by weighted least squares with unknown spread."""
    aa, ab, bb = ((1 - x) ** 2) @ n, ((1 - x) * x) @ n, (x**2) @ n
    ya, yb = (1 - x) @ (n * y), x @ (n * y)
    det = np.maximum(aa * bb - ab**2, 1e-12 * n.sum() ** 2)
    before, after = (bb * ya - ab * yb) / det, (aa * yb - ab * ya) / det
    left = (n * (y - before[:, None] * (1 - x) - after[:, None] * x) ** 2).sum(axis=1)
    least = 1e-12 * float((n * y**2).sum()) + 1e-300
    return -(len(y) - 2) / 2 * np.log(left + least) - 0.5 * np.log(det / n.sum() ** 2), np.stack([before, after])


def _room(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    """What integrating the two levels over Jeffreys' prior takes from the largest likelihood (Laplace)."""
    return -0.5 * np.log((1 - x) @ n) - 0.5 * np.log(x @ n)


def _dated(
    name: str,
    steps: np.ndarray,
    tested: tuple[float, float],
    fit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    dating: Dating,
) -> ChangePoint:
    p, overall = tested
    if len(steps) < FEWEST:
        why = f"{len(steps)} steps cannot show a change; {FEWEST} or more are needed."
        return ChangePoint(name, False, None, overall, overall, p, why)
    if p > dating.alpha:
        return ChangePoint(name, False, None, overall, overall, p, "no change-point: the steps could be in any order.")
    first, x = _designs(steps)
    logs, levels = fit(x)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    posterior = np.bincount(first, weights, len(steps))
    low, high = _credible(posterior, dating.level)
    best = low + int(np.argmax(posterior[low : high + 1]))
    before = float(weights @ levels[0])
    after = float(weights @ (levels[0] * (1 - x[:, -1]) + levels[1] * x[:, -1]))
    onset = Interval(float(steps[best, 0]), float(steps[low, 0]), float(steps[high, 1]), dating.level)
    return ChangePoint(name, True, onset, before, after, p, "rises." if after > before else "falls.")


def _credible(posterior: np.ndarray, level: float) -> tuple[int, int]:
    """The shortest run of points that holds `level` of the posterior; the likeliest of equal length."""
    total = np.concatenate([[0.0], np.cumsum(posterior)])
    for length in range(1, len(posterior) + 1):
        mass = total[length:] - total[:-length]
        if mass.max() >= level - 1e-12:
            first = int(np.argmax(mass))
            return first, first + length - 1
    return 0, len(posterior) - 1
