"""From a few hundred queries to a deployment: how likely is the worst of n queries to be answered badly, and any?"""

from dataclasses import dataclass, replace
from math import ceil, comb, log

import numpy as np

from ..errors import EvidenceError, SettingError
from ..judge.pressure.item_rates import any_bad
from ..judge.rates import exact_interval
from ..percent import percent
from ..types import Interval
from .tail_end import BENDS, FEW, bend, exceeded, tail_items

TAIL, BOUND = "Gumbel tail", "exact bound"
ASSUMES = "It assumes no unseen mode: that queries in deployment are drawn like these items, and that none is of a kind"
NEARLY_SURE = 1 - 1e-12  # psi of 1 is infinite
TINY = 1e-300  # psi of 0 is infinite
CUTS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BENT = 0.01  # share of straight tails that are called bent
ROWS = 4_000_000  # numbers drawn at once
GRID = 400  # points of the integral over the fitted tail

Line = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ItemProbabilities:
    """How likely a bad answer to each of m queries is. The queries must be drawn like those of the deployment.

    Attributes:
        values: (m,) in [0, 1].
        samples: 0 when they are exact, such as exp of the log-probability of a given bad answer; else how many sampled
            answers each is a share of.
    """

    values: np.ndarray
    samples: int = 0

    def __post_init__(self) -> None:
        p = self.values
        if p.ndim != 1 or not len(p) or not ((p >= 0) & (p <= 1)).all():
            raise EvidenceError(
                f"need one probability in [0, 1] for each item, got shape {p.shape}, first {p.ravel()[:3]}."
            )
        if self.samples < 0:
            raise SettingError(f"samples must be 0 (exact) or more, got {self.samples}.")

    def attempted(self, attempts: int) -> "ItemProbabilities":
        """Of any bad answer in so many independent attempts at each query: 1 - (1 - p)^attempts.

        Of shares of sampled answers it is estimated without bias (`any_bad`), from no fewer samples than attempts.
        """
        if attempts < 1 or self.samples and attempts > self.samples:
            most = f"to {self.samples}, the number of samples" if self.samples else "or more"
            raise SettingError(f"attempts must be 1 {most}, got {attempts}.")
        if self.samples:
            counts = np.rint(self.values * self.samples).astype(int)
            return replace(self, values=any_bad(counts, self.samples, attempts))
        return replace(self, values=-np.expm1(attempts * np.log1p(-np.minimum(self.values, NEARLY_SURE))))


@dataclass(frozen=True)
class ForecastSettings:
    """How a tail is fitted.

    Args:
        top: scores that the line goes through.
        level: of the intervals.
        draws: bootstrap samples of the items.
        seed: of the draws.
    """

    top: int = 10
    level: float = 0.95
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.top < 3 or self.draws < 100 or not 0 < self.level < 1:
            raise SettingError(
                f"need top >= 3, draws >= 100 and level in (0, 1), got {self.top}, {self.draws} and {self.level}."
            )

    @property
    def items(self) -> int:
        """Fewest items: a third of them may be tail."""
        return 3 * self.top


@dataclass(frozen=True)
class Forecast:
    """What to expect of n queries.

    Attributes:
        method: `Gumbel tail` or `exact bound`. A bound has no best guess: its values are what was seen.
        queries: n.
        items: m, from which it was made.
        worst: probability of a bad answer to the worst of n queries: median and predictive interval; none of a bound.
        rate: expected bad answers a query.
        any_bad: probability that one of n queries, each asked once, is answered badly.
        unseen: largest share of queries that may be of a kind of which no item is, at the same confidence.
        why: why there is only a bound; empty of a tail.
        bend: the chance that a straight tail bends down as much as this one; None where that cannot be told.
        warning: what the line may get wrong, in a sentence; empty of a bound.
    """

    method: str
    queries: int
    items: int
    worst: Interval | None
    rate: Interval
    any_bad: Interval
    unseen: float
    why: str = ""
    bend: float | None = None
    warning: str = ""

    @property
    def text(self) -> str:
        """The forecast in sentences, with what it assumes."""
        level = percent(self.any_bad.level)
        said = [f"Forecast for {self.queries:,} queries from {self.items} items ({self.method}, {level}):"]
        if self.worst:
            said += [f"the worst query is answered badly with probability {_span(self.worst)};"]
            said += [f"some query is with probability {_span(self.any_bad)}; of all, {_span(self.rate)} are."]
            said += [self.warning] if self.warning else []
        else:
            said += [f"at most {self.rate.high:.2g} of queries are answered badly, and some query of all with"]
            said += [f"probability at most {self.any_bad.high:.2g}. No line was fitted: {self.why}"]
        said += [f"{ASSUMES} that these {self.items} do not show; up to 1 in {1 / self.unseen:,.0f} may be ({level})."]
        return " ".join(said)


def forecast(items: ItemProbabilities, queries: int, settings: ForecastSettings | None = None) -> Forecast:
    """The Gumbel-tail forecast; where a line cannot be fitted, the exact bound, which says why.

    Raises SettingError unless there is 1 query or more.
    """
    settings = settings or ForecastSettings()
    try:
        return tail_forecast(items, queries, settings)
    except EvidenceError as error:
        return replace(bound(items, queries, settings.level), why=str(error))


def tail_forecast(items: ItemProbabilities, queries: int, settings: ForecastSettings | None = None) -> Forecast:
    """Extrapolate the tail of psi = -log(-log p): a straight line through the log survival of its `top` largest values.

    The worst of n queries has a survival of E/n, with E exponential; the value is the line at the median of E. The
    expected rate is the mean over the items below the tail and the line's integral in it. Intervals come from a
    bootstrap over the items in which those of the tail are drawn from the line: drawn from themselves, none is worse
    than the worst seen, and the interval for the worst query is too short. That interval counts the luck of its n
    draws, too; its error is taken in units of the slope, so that it holds at its level for every straight tail.
    Measured coverage is in benchmarks/forecast.md.

    A tail with an end, such as one that is capped, bends down, and the line lies above it. Where the tail bends as 1 in
    10 straight ones do (`bend`), the low end of the worst query's interval falls to what holds without a line
    (`exceeded`) and `warning` says so. An end is often not seen with few items, and cannot be in shares of sampled
    answers: `warning` says that, too.

    Source: Jones et al. 2025, Forecasting rare language model behaviors (arXiv:2502.16797). There the survival of the
    i-th largest of m is i/m and a quantile is forecast without an interval; here it is (i - 1/2)/m.

    Raises EvidenceError with too few items, and where fewer than `top` of them can be told from 0, or all are alike, or
    some stand so far above the others that no line goes through them (`largest_gap`; 1 in 100 straight tails).
    """
    settings = settings or ForecastSettings()
    _refuse(items, queries, settings)
    p, m = _falling(items), len(items.values)
    spans = _worst_and_rate(p, queries, settings)
    value, low, high = (_any(rate, queries) for rate in (spans[1].value, spans[1].low, spans[1].high))
    any_bad, (worst, rate) = Interval(value, low, high, settings.level), spans
    looked = min(tail_items(m, settings.top), int((p > 0).sum()) - 1)
    bent = None if items.samples else bend(psi(np.maximum(p[: looked + 1], TINY)))
    held = exceeded(p, queries, (1 - settings.level) / 2)
    if bent is not None and bent < BENDS:
        worst = replace(worst, low=min(worst.low, held))
    return Forecast(TAIL, queries, m, worst, rate, any_bad, _unseen(m, settings.level), bend=bent,
                    warning=_warning(bent, looked, held))  # fmt: skip


def _warning(bent: float | None, looked: int, held: float) -> str:
    """`held`: the low end that holds without a line."""
    if bent is None:
        return "Whether this tail has an end, below which the worst query then stays, cannot be told from these items."
    if bent < BENDS:
        return (
            f"The tail bends down, as 1 of {1 / bent:,.0f} straight tails does: it may have an end, and then the worst "
            "query lies below its forecast. Its interval reaches down to what holds without a line."
        )
    if looked < FEW:
        return (
            f"An end of the tail often does not show in {looked} tail items; should it have one, the worst query may "
            f"lie below the interval, from {held:.2g} on."
        )
    return ""


def _worst_and_rate(p: np.ndarray, queries: int, settings: ForecastSettings) -> tuple[Interval, Interval]:
    """For p sorted downwards."""
    rng, top, m, draws = np.random.default_rng(settings.seed), settings.top, len(p), settings.draws
    line = _line(psi(np.maximum(p[None, :top], TINY)), m)
    rows = max(1, ROWS // m)
    redrawn = [_redrawn(p, line, top, rng.random((min(rows, draws - k), m))) for k in range(0, draws, rows)]
    again: Line = tuple(np.concatenate(part) for part in zip(*(one for one, _ in redrawn), strict=True))  # type: ignore
    below = np.concatenate([sums for _, sums in redrawn])

    quantiles = [(1 - settings.level) / 2, (1 + settings.level) / 2]
    best, guesses = (_at(one, log(2) / queries) for one in (line, again))
    met = _at(line, rng.exponential(size=draws) / queries)
    errors = np.quantile((met - guesses) / again[0][:, 0], quantiles)  # slopes are below 0: the largest comes first
    middle, least, greatest = (float(_probability(best[0] + line[0][0, 0] * e)) for e in (0.0, errors[1], errors[0]))

    rate, rates = p[top:].sum() / m + _tail_mean(line, top / m), below / m + _tail_mean(again, top / m)
    low, high = np.quantile(rates, quantiles)
    worst = _ordered(middle, least, greatest, settings.level)
    return worst, _ordered(float(rate[0]), float(low), float(high), settings.level)


def _redrawn(p: np.ndarray, line: Line, top: int, uniform: np.ndarray) -> tuple[Line, np.ndarray]:
    """The lines of samples (B, m) of items, of which those of the tail come from the line, and the sum of what is
    below the tail."""
    m, uniform = len(p), np.sort(uniform, axis=1)
    tail = _probability(line[0] * np.log(uniform[:, : 4 * top]) + line[1])
    seen = p[(uniform * m).astype(int)]
    near = seen[:, : 4 * top]  # more than 4 times as many as expected are never in the tail
    seen[:, : 4 * top] = np.where(uniform[:, : 4 * top] < top / m, np.maximum(tail, p[top - 1]), near)
    return _line(psi(np.maximum(seen[:, :top], TINY)), m), seen[:, top:].sum(1)


def bound(items: ItemProbabilities, queries: int, level: float = 0.95) -> Forecast:
    """What holds without a line, one-sided, at the stated level.

    Of sampled answers: Clopper-Pearson on the share of items that were answered badly at least once, which is no less
    than the share of bad answers. Of exact probabilities, whatever their distribution: for each t of 0.1, 0.01 ...
    1e-6, the rate is at most t and, in the share of queries above t (Clopper-Pearson, Bonferroni over the t), 1; the
    best of these.
    """
    _refuse_queries(queries)
    p, m = items.values, len(items.values)
    unseen = _unseen(m, level)
    if items.samples:
        high = exact_interval(int((p > 0).sum()), m, 2 * level - 1).high
    else:
        shares = [exact_interval(int((p > t).sum()), m, 1 - 2 * (1 - level) / len(CUTS)).high for t in CUTS]
        high = min(t + (1 - t) * share for t, share in zip(CUTS, shares, strict=True))
    rate = Interval(float(p.mean()), 0.0, max(high, float(p.mean())), level)
    any_bad = Interval(_any(rate.value, queries), 0.0, _any(rate.high, queries), level)
    return Forecast(BOUND, queries, m, None, rate, any_bad, unseen)


def psi(p: np.ndarray) -> np.ndarray:
    """-log(-log p): -inf at 0, about -log(1 - p) near 1."""
    with np.errstate(divide="ignore"):
        return -np.log(-np.log(np.minimum(p, NEARLY_SURE)))


def _falling(items: ItemProbabilities) -> np.ndarray:
    """The probabilities sorted downwards. One that was answered badly in every sample would have an infinite psi."""
    p = np.sort(items.values)[::-1]
    return np.minimum(p, 1 - 0.5 / items.samples) if items.samples else p


def _refuse(items: ItemProbabilities, queries: int, settings: ForecastSettings) -> None:
    _refuse_queries(queries)
    p, top = items.values, settings.top
    if len(p) < settings.items:
        raise EvidenceError(
            f"{len(p)} items; a line through the top {top} needs {settings.items}. Give {settings.items - len(p)} more."
        )
    shown = int((p > 0).sum())
    if shown < top:
        how = (
            f"in {items.samples} samples each. Take more samples, or weigh a given bad answer instead: its probability "
            "needs no sampling"
            if items.samples
            else "at all. Give a bad answer that the subject may begin with"
        )
        raise EvidenceError(f"{shown} of {len(p)} items were answered badly {how}; {top} are needed.")
    largest = _falling(items)[:top]
    if np.ptp(largest) == 0:
        raise EvidenceError(
            f"the {top} largest probabilities are all {largest[0]:.3g}: there is no slope. Take more samples an item."
        )
    above, chance = largest_gap(psi(largest))
    if chance < BENT:
        first, then = largest[above - 1 : above + 1]
        raise EvidenceError(
            f"the {top} largest probabilities lie on no line: {above} of them, from {first:.2g}, stand as far above "
            f"the next, {then:.2g}, as in 1 of {1 / chance:,.0f} straight tails. They are of a kind of their own: look "
            "at them, and forecast with more items of that kind."
        )


def largest_gap(scores: np.ndarray) -> tuple[int, float]:
    """(how many scores stand above the largest gap, the chance of so large a one in a straight tail).

    In an exponential tail the gaps between neighbours from the top, times 1, 2, 3 ..., are independent and alike; the
    largest one's share of their sum has a known distribution. Source: Renyi 1953 for the gaps, Fisher 1929 for the
    share. `scores`: (k,), falling.
    """
    gaps = -np.diff(scores) * np.arange(1, len(scores))
    place, n = int(gaps.argmax()), len(gaps)
    share = float(gaps[place] / gaps.sum())
    terms = ((-1) ** (j - 1) * comb(n, j) * (1 - j * share) ** (n - 1) for j in range(1, n + 1) if j * share < 1)
    return place + 1, min(1.0, max(sum(terms), 1e-12))


def _refuse_queries(queries: int) -> None:
    if queries < 1:
        raise SettingError(f"need 1 query or more to forecast, got {queries}.")


def _line(scores: np.ndarray, m: int) -> Line:
    """(slope, height), each (B,), of psi = slope * log survival + height by least squares, of rows (B, top) that are
    the largest of m."""
    x = np.log((np.arange(1, scores.shape[1] + 1) - 0.5) / m)
    slope = ((x - x.mean()) * (scores - scores.mean(1, keepdims=True))).sum(1) / ((x - x.mean()) ** 2).sum()
    slope = np.minimum(slope, 0.0)
    return slope[:, None], (scores.mean(1) - slope * x.mean())[:, None]


def _at(line: Line, survival: np.ndarray | float) -> np.ndarray:
    """The psi that a share of `survival` of queries exceeds. (B,)."""
    return line[0][:, 0] * np.log(survival) + line[1][:, 0]


def _probability(scores: np.ndarray) -> np.ndarray:
    return np.exp(-np.exp(-scores))


def _tail_mean(line: Line, share: float) -> np.ndarray:
    """The part of the mean probability that the largest `share` of queries makes up. (B,)."""
    survival = share * np.geomspace(1e-12, 1, GRID)
    return np.trapezoid(_probability(line[0] * np.log(survival) + line[1]), survival, axis=1)


def _any(rate: float, queries: int) -> float:
    """Of queries that are drawn alike, each asked once."""
    return float(-np.expm1(queries * np.log1p(-min(rate, NEARLY_SURE))))


def _ordered(value: float, low: float, high: float, level: float) -> Interval:
    return Interval(value, min(low, value), max(high, value), level)


def _unseen(m: int, level: float) -> float:
    """Largest share of queries of a kind that m draws may all have missed."""
    return float(1 - (1 - level) ** (1 / m))


def _span(i: Interval) -> str:
    return f"{i.value:.2g} ({i.low:.2g} to {i.high:.2g})"


def items_needed(share: float, level: float = 0.95) -> int:
    """Items at which a mode of this share of queries is among them with probability `level`: 8,986 for 1 in 3,000."""
    if not 0 < share < 1 or not 0 < level < 1:
        raise SettingError(f"need share and level in (0, 1), got {share} and {level}.")
    return ceil(log(1 - level) / log(1 - share))
