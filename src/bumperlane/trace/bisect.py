"""When did it come up? Noisy binary search over checkpoints: far fewer evaluations than a full sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, sqrt

import numpy as np
from scipy.special import betaincinv, gammaln

from ..errors import EvidenceError, SettingError
from .rises import Rises

GRID = (np.arange(200) + 0.5) / 200  # rates at which likelihoods are summed
LEAK = 0.02  # share of each side's prior spread over all rates, so that one odd checkpoint cannot decide alone
STRENGTH = 20.0  # requests that the given rate `before` counts for
SHORTEST_GUARDED = 3  # checkpoints; a shorter unseen stretch is not worth a guard look
MIN_GAIN = 0.02  # nats; below this another evaluation tells too little to be worth its cost
PLATEAUS = 5  # values of the rate after the onset that are weighed where that rate was itself measured


@dataclass(frozen=True)
class BisectSettings:
    """How sure to be, and how much to spend.

    Args:
        level: posterior probability of the reported interval.
        gaps: stop when an interval of so many gaps between checkpoints holds `level`.
        width_steps: stop as well when an interval of so many optimizer steps does; None asks for `gaps` alone.
        max_evaluations: None means 2 sqrt(checkpoints): half of a sweep at 16, a quarter at 64. A jump takes fewer; a
            gradual rise is then reported as wide as it was found.
        looks_per_step: evaluations allowed at one checkpoint; each must draw fresh requests or samples.
        requests: expected size of an evaluation, used to plan the first one.
        guards: looks spent, once the onset is found, on whether the curve is monotone at all.
    """

    level: float = 0.95
    gaps: int = 1
    width_steps: int | None = None
    max_evaluations: int | None = None
    looks_per_step: int = 4
    requests: int = 12
    guards: int = 1

    def __post_init__(self) -> None:
        if not 0.5 < self.level < 1:
            raise SettingError(f"level must be between 0.5 and 1, got {self.level}. Try 0.95.")
        for name in ("gaps", "width_steps", "max_evaluations", "looks_per_step", "requests"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(f"{name} must be 1 or more, got {value}.")
        if self.guards < 0:
            raise SettingError(f"guards must be 0 or more, got {self.guards}.")

    def budget(self, checkpoints: int) -> int:
        """Evaluations allowed."""
        return self.max_evaluations or min(checkpoints, max(4, ceil(2 * sqrt(checkpoints))))


@dataclass(frozen=True)
class CurveCount:
    """k of n requests showed the behaviour at a checkpoint, all looks together."""

    step: int
    k: int
    n: int


@dataclass(frozen=True)
class OnsetEstimate:
    """The behaviour came up after step `low` and was there at step `high`, with probability `level`.

    Attributes:
        curve: the checkpoints that were evaluated, in step order.
        evaluations: calls of `evaluate`.
        full_sweep: evaluations that looking at every checkpoint once would take.
        posterior: probability that each checkpoint is the first to show the behaviour.
        note: what a reader must know, or nothing.
        monotone: False when one look contradicts another, so that `sweep` must say what happened.
    """

    low: int
    high: int
    level: float
    curve: tuple[CurveCount, ...]
    evaluations: int
    full_sweep: int
    posterior: tuple[float, ...]
    note: str = ""
    monotone: bool = True


@dataclass(frozen=True)
class _Sides:
    """Prior densities of a checkpoint's rate on GRID, if it is before the onset and if it is not.

    One row for each value that the rate after the onset may have, all equally likely at first.
    """

    before: np.ndarray
    after: np.ndarray

    def mixed(self, weights: np.ndarray) -> "_Sides":
        """The densities averaged over the rate after the onset, as one row."""
        return _Sides(weights @ self.before, weights @ self.after)


def bisect(
    steps: Sequence[int],
    evaluate: Callable[[int, int], tuple[int, int]],
    settings: BisectSettings,
    before: float,
    after: float,
    after_requests: int | None = None,
) -> OnsetEstimate:
    """Find the first checkpoint whose rate of the behaviour is at least half of `after`.

    Keeps a posterior over "checkpoint j is the first" and always evaluates where the expected fall of its entropy is
    largest (Burnashev & Zigangirov 1974; Waeber et al. 2013, with unknown rates: each side has a prior over rates, so
    that looks at one checkpoint are not counted as if they were looks at several; a gradual rise is weighed as a second
    account of the counts). Stops at the stated width, when the
    budget is spent, or when no evaluation would tell MIN_GAIN.

    Assumes that the behaviour stays once it has come. A search that trusts this never looks where it would be
    contradicted, so `settings.guards` looks go to the middle of the longest stretch that was not looked at; the note
    says when a look contradicts the assumption. Blind to a coming and going in stretches that no look fell in.

    Args:
        steps: steps of the checkpoints, ascending. At the last one the behaviour is known to be there.
        evaluate: (step, look) -> (k, n): the behaviour showed on k of n requests. `look` counts from 0 at each step.
        before: expected rate on clean checkpoints.
        after: rate at the last checkpoint.
        after_requests: requests that `after` was measured on. What it is the half of is then not known exactly either,
            which widens the interval of a gradual rise; None takes it as known.

    Raises EvidenceError for fewer than 2 or unsorted steps or impossible counts, SettingError for impossible rates.
    """
    _check(steps, before, after)
    plateaus = _plateaus(before, after, after_requests)
    sides, rises = _sides(before, plateaus), Rises.of(len(steps), before, plateaus)
    last, budget = len(steps), settings.budget(len(steps))
    k, n, looks = (np.zeros(last, int) for _ in range(3))
    posterior, weights = _posterior(sides, rises, k, n)
    batch, evaluations, guards = settings.requests, 0, settings.guards
    while evaluations < budget:
        found = _narrow(steps, posterior, settings)
        gains = _gains(posterior, sides.mixed(weights), k, n, batch)
        i = None if found else _most_telling(gains, looks, settings)
        if i is None and guards and evaluations < last // 2:  # a guard must not cost what the search saved
            i, guards = _middle_of_unseen(looks), guards - 1
        if i is None:
            break
        new_k, batch = counted(evaluate(steps[i], int(looks[i])), steps[i])
        k[i], n[i], looks[i], evaluations = k[i] + new_k, n[i] + batch, looks[i] + 1, evaluations + 1
        posterior, weights = _posterior(sides, rises, k, n)
    first, final = credible_run(posterior, settings.level)
    curve = tuple(CurveCount(steps[i], int(k[i]), int(n[i])) for i in np.flatnonzero(looks).tolist())
    odd = _contradictions(curve, after / 2, settings.level)
    notes = _notes(steps, (first, final), evaluations, settings) + odd
    return OnsetEstimate(
        steps[max(first - 1, 0)], steps[final], settings.level, curve, evaluations, last, tuple(posterior.tolist()),
        " ".join(notes), not odd,
    )  # fmt: skip


def _check(steps: Sequence[int], before: float, after: float) -> None:
    if len(steps) < 2:
        raise EvidenceError(f"bisection takes 2 or more checkpoints, got {len(steps)}. Save checkpoints more often.")
    if any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise EvidenceError(f"steps must ascend without repeats, got {list(steps)[:8]}. Sort the checkpoints.")
    if not 0 <= before < after / 2 <= 0.5:
        raise SettingError(
            f"the clean rate {before} must be below half of the rate after the onset, {after}, and both in [0, 1]. "
            "An effect this small cannot be dated; evaluate every checkpoint instead."
        )


def counted(result: tuple[int, int], step: int) -> tuple[int, int]:
    """(k, n) of an evaluation. Raises EvidenceError when it is impossible."""
    k, n = result
    if n < 1 or not 0 <= k <= n:
        raise EvidenceError(f"the evaluation at step {step} returned k={k} of n={n}; it takes 0 <= k <= n and n >= 1.")
    return int(k), int(n)


def _plateaus(before: float, after: float, requests: int | None) -> np.ndarray:
    """Equally likely values of the rate after the onset: quantiles of its posterior under Jeffreys' prior."""
    if requests is None:
        return np.array([after])
    over = round(after * requests)
    shares = (np.arange(PLATEAUS) + 0.5) / PLATEAUS
    values = betaincinv(over + 0.5, requests - over + 0.5, shares)
    values = values[values / 2 > before]
    return values if len(values) else np.array([after])


def _sides(before: float, plateaus: np.ndarray) -> _Sides:
    """Below half of a plateau: mostly near `before`, some anywhere below. At or above: anywhere, mostly near it."""

    def density(mean: float, strength: float, inside: np.ndarray) -> np.ndarray:
        mean = min(max(mean, 0.01), 0.99)
        peak = GRID ** (mean * strength - 1) * (1 - GRID) ** ((1 - mean) * strength - 1) * inside  # a Beta density
        mixed = 0.7 * peak / peak.sum() + 0.3 * inside / inside.sum()
        return (1 - LEAK) * mixed + LEAK / len(GRID)

    low = [density(before, STRENGTH, GRID < after / 2) for after in plateaus]
    high = [density(after, 4.0, GRID >= after / 2) for after in plateaus]
    return _Sides(np.array(low), np.array(high))


def _log_likelihood(densities: np.ndarray, k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """log of the integral of r^k (1-r)^(n-k) over each of a side's densities: (densities, checkpoints)."""
    logs = np.outer(k, np.log(GRID)) + np.outer(n - k, np.log1p(-GRID))
    top = logs.max(axis=1, keepdims=True)
    return (np.log(np.exp(logs - top) @ densities.T) + top).T


def _posterior(sides: _Sides, rises: Rises, k: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(checkpoint j is the first), and the weight of each rate after the onset.

    Two accounts, as likely as each other at first: any rates on either side of j, which a jump with odd checkpoints
    fits, and a logistic rise, which lets neighbours tell of each other.
    """
    below, above = _log_likelihood(sides.before, k, n), _log_likelihood(sides.after, k, n)
    logs = np.cumsum(below, axis=1) - below + np.cumsum(above[:, ::-1], axis=1)[:, ::-1]
    top = logs.max()
    joint = np.exp(logs - top)
    evidence = top + np.log(joint.mean())
    rising, onset = rises.posterior(k, n)
    share = 1 / (1 + np.exp(np.clip(rising - evidence, -50, 50)))
    joint /= joint.sum()
    return share * joint.sum(axis=0) + (1 - share) * onset, joint.sum(axis=1)


def _gains(posterior: np.ndarray, sides: _Sides, k: np.ndarray, n: np.ndarray, batch: int) -> np.ndarray:
    """Expected fall of the posterior's entropy, in nats, from `batch` more requests at each checkpoint.

    The outcome depends on the onset only through the side a checkpoint is on, so that this is the information
    between side and outcome.
    """
    logs = np.outer(k, np.log(GRID)) + np.outer(n - k, np.log1p(-GRID))
    seen = np.exp(logs - logs.max(axis=1, keepdims=True))  # (checkpoints, rates)
    outcomes = []
    for density in (sides.before, sides.after):
        weights = seen * density
        outcomes.append(weights / weights.sum(axis=1, keepdims=True) @ _outcomes(batch).T)  # (checkpoints, outcomes)
    there = np.cumsum(posterior)[:, None]
    mixed = (1 - there) * outcomes[0] + there * outcomes[1]
    there = there[:, 0]
    return _entropy(mixed) - (1 - there) * _entropy(outcomes[0]) - there * _entropy(outcomes[1])


@cache
def _outcomes(batch: int) -> np.ndarray:
    """(batch + 1, rates) probability of each number of hits among `batch` requests."""
    hits = np.arange(batch + 1)[:, None]
    ways = gammaln(batch + 1) - gammaln(hits + 1) - gammaln(batch - hits + 1)
    return np.exp(ways + hits * np.log(GRID) + (batch - hits) * np.log1p(-GRID))


def _narrow(steps: Sequence[int], posterior: np.ndarray, settings: BisectSettings) -> bool:
    """Whether the interval is as short as was asked for."""
    first, final = credible_run(posterior, settings.level)
    wide = steps[final] - steps[max(first - 1, 0)]
    return final - first < settings.gaps or (settings.width_steps is not None and wide <= settings.width_steps)


def _most_telling(gains: np.ndarray, looks: np.ndarray, settings: BisectSettings) -> int | None:
    """The checkpoint to look at next; None when no look would tell enough."""
    gains = np.round(np.where(looks < settings.looks_per_step, gains, -1.0), 12)
    best = int(np.argmax(gains))
    return None if gains[best] < MIN_GAIN else best


def _middle_of_unseen(looks: np.ndarray) -> int | None:
    """Middle of the longest stretch of checkpoints that no look fell in, the last one (known) left out."""
    edges = np.concatenate([[-1], np.flatnonzero(looks[:-1]), [len(looks) - 1]])
    stretches = np.diff(edges) - 1
    longest = int(np.argmax(stretches))
    return int(edges[longest] + edges[longest + 1]) // 2 if stretches[longest] >= SHORTEST_GUARDED else None


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)


def credible_run(posterior: np.ndarray, level: float) -> tuple[int, int]:
    """The shortest run of checkpoints that holds `level` of the posterior; the likeliest of equal length."""
    total = np.concatenate([[0.0], np.cumsum(posterior)])
    for length in range(1, len(posterior)):
        mass = total[length:] - total[:-length]
        if mass.max() >= level:
            first = int(np.argmax(mass))
            return first, first + length - 1
    return 0, len(posterior) - 1


def _notes(steps: Sequence[int], run: tuple[int, int], evaluations: int, settings: BisectSettings) -> list[str]:
    first, final = run
    notes = []
    if final == 0:
        notes.append("already present at the first checkpoint.")
    elif first == 0:
        notes.append(f"may have been there already at the first checkpoint, step {steps[0]}.")
    wide = steps[final] - steps[max(first - 1, 0)]
    if final - first >= settings.gaps and not (settings.width_steps is not None and wide <= settings.width_steps):
        asked = "one gap" if settings.gaps == 1 else f"{settings.gaps} gaps"
        notes.append(
            f"{evaluations} evaluations did not narrow the onset to {asked}: {final - first + 1} checkpoints could be "
            f"the first (at most {settings.budget(len(steps))} evaluations allowed). The rise may be gradual; more "
            "requests for each evaluation would narrow it."
        )
    return notes


def _contradictions(curve: Sequence[CurveCount], half: float, level: float) -> list[str]:
    """A checkpoint that clearly shows the behaviour, with a later one that clearly does not."""
    high: CurveCount | None = None
    for point in curve:
        low_end = betaincinv(point.k, point.n - point.k + 1, (1 - level) / 2) if point.k else 0.0
        high_end = betaincinv(point.k + 1, point.n - point.k, (1 + level) / 2) if point.k < point.n else 1.0
        if high is None and low_end > half:
            high = point
        if high is not None and high_end < half:
            return [
                f"the curve is not monotone: {high.k} of {high.n} at step {high.step}, {point.k} of {point.n} at step "
                f"{point.step}. Evaluate every checkpoint."
            ]
    return []
