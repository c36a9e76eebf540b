"""Has ordinary traffic drifted away from what thresholds were set on, or are these attacks? Since when, and what now?

The two need opposite answers. Drift moves the body of the scores: thresholds no longer mean what they say, and must be
set anew. Attacks add odd requests above a body that stays: setting thresholds anew on them would teach them as
ordinary. So the stream is cut at a high calibration score. What lies below looks trusted, and is ranked among itself:
attacks above cannot touch it. What lies above is only counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import Literal

import numpy as np
from scipy import stats

from ..errors import EvidenceError, SettingError
from .conformal import needed, rank
from .eprocess import Wealth
from .online_ranks import OnlineRanks, draws

Kind = Literal["quiet", "drift", "spikes", "unclear"]
SIZES = (0.2, 0.4, 0.8)
MORE = (1.5, 2.0, 4.0, 8.0)
TURNS = ("lower", "higher", "wider", "narrower")
WINDOW = 200
ADVICE = {
    "quiet": "Nothing to do. A drift too small for {n} calibration scores is not seen.",
    "drift": "Stop relying on p-values. Look at requests from number {since} on by hand; if they are ordinary, "
    "calibrate anew on {needed} or more of them that no detector was fitted on, and start the alarm again.",
    "spikes": "Review the requests set aside from number {since} on. Do not calibrate anew on this traffic: that "
    "would teach them as ordinary. The thresholds themselves still hold.",
    "unclear": "Review the requests set aside from number {since} on, as for attacks, and do not calibrate anew yet: "
    "the body may be moving too. More requests will tell.",
}


@dataclass(frozen=True)
class Page:
    """Page's CUSUM for several bets: how much each would have won since the best time to begin.

    Source: Page 1954.

    Attributes:
        gain: (k,) log winnings since `began`, at least 0.
        began: (k,) the request after which each began.
    """

    gain: np.ndarray = field(repr=False)
    began: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, bets: int) -> "Page":
        return cls(np.zeros(bets), np.zeros(bets, np.int64))

    def update(self, factors: np.ndarray, t: int) -> "Page":
        """After request t, counted from 1, on which each bet multiplied its stake by `factors` (k,)."""
        gain = self.gain + np.log(factors)
        return Page(np.maximum(gain, 0.0), np.where(gain > 0, self.began, t))

    @property
    def best(self) -> int:
        return int(self.gain.argmax())

    @property
    def since(self) -> int:
        """The first request that differs, by the bet that has won most."""
        return int(self.began[self.best]) + 1


@dataclass(frozen=True)
class DriftReport:
    """What a drift alarm says now.

    Attributes:
        kind: drift (the body of scores moved), spikes (more scores above the cut than before, body as it was), unclear
            (more of them, and the body may be moving too) or quiet.
        at: the request, counted from 1, at which the alarm was raised; 0 when quiet.
        since: the first request that seems to differ (Page's estimate; no interval); 0 when quiet.
        turn: how the body moved: higher, lower, wider, narrower; '' unless it is drift.
        ks: largest gap between the distribution functions of the last 200 trusted-looking scores and of calibration.
        ks_p: p-value of that gap, were this the only look. It describes; the alarm does not rest on it.
        body_odds: how much likelier a moved body makes the trusted-looking scores since `since` (at most the last 200)
            than an unmoved one does: above 1, spikes are not called spikes. It only names an alarm that was raised.
        set_aside: share of the stream above the cut; `expected` of it was to be.
        advice: what to do.
    """

    kind: Kind
    at: int
    since: int
    turn: str
    ks: float
    ks_p: float
    body_odds: float
    set_aside: float
    expected: float
    advice: str


@dataclass(frozen=True)
class DriftWatch:
    """Two-sided drift alarm and spike alarm on one stream, valid at any time.

    P(any alarm ever) <= alpha, half of it for drift and half for spikes, if calibration and stream scores are
    exchangeable. Given the cut, which is a calibration score, calibration and stream scores below it are exchangeable
    among themselves, and whether the next score lies above it has a known chance given those before (a Polya urn).
    Immutable: `update` returns the next state, which `stream_state` saves and loads.

    Measured with 1,000 calibration scores, alpha 0.02, after 1,000 ordinary requests, median of 24 streams: 10% of
    attacks are found after 150 requests (23 called spikes, none drift), a shift up by 0.5 standard deviations after 140
    (15 called drift, 8 unclear, 1 spikes; 300 requests later all drift), down by 0.5 after 180, a spread 1.5 times as
    wide after 150; `since` is within 50 requests in four of five.
    n calibration scores cannot show every shift, however long the stream: one of 4.5 standard deviations / sqrt(n) is
    found in half of streams, one of 1.5 almost never.
    Blind to: an attack whose scores stay inside the body (it may be called drift, so look before calibrating anew); a
    change that is in the calibration scores too; traffic whose requests depend on each other breaks the rate.

    Attributes:
        body: ranks of the scores below the cut.
        cut, cut_tie: the calibration score that parts the two, and its tie-break.
        above: calibration gaps above the cut, and stream scores that fell there.
        expected: share of the stream that is to lie above it.
        n: calibration scores.
        recent: (<= 200, 3) request number, gap and p-value of the last scores below the cut.
        drift_at, spikes_at: requests at which either alarm was raised, counted from 1; 0 before. They stay raised.
    """

    body: OnlineRanks
    cut: float
    cut_tie: float
    above: int
    expected: float
    n: int
    alpha: float
    recent: np.ndarray = field(repr=False)
    body_wealth: Wealth = field(repr=False)
    tail_wealth: Wealth = field(repr=False)
    body_page: Page = field(repr=False)
    tail_page: Page = field(repr=False)
    t: int = 0
    drift_at: int = 0
    spikes_at: int = 0

    @classmethod
    def start(
        cls, calibration: np.ndarray, alpha: float = 0.01, set_aside: float = 0.05, seed: int = 0
    ) -> "DriftWatch":
        """Before the first request.

        Args:
            calibration: scores (n,) of clean requests that no detector was fitted on.
            alpha: chance of ever raising a false alarm.
            set_aside: share of ordinary requests that may lie above the cut. Use the gate's own rate.

        Raises EvidenceError below max(20, 1/set_aside - 1) calibration scores, SettingError for a wrong rate.
        """
        if not 0 < alpha < 1:
            raise SettingError(f"alpha must be between 0 and 1, got {alpha}. Try 0.01.")
        takes, n = max(20, needed(set_aside)), len(calibration)
        if n < takes:
            raise EvidenceError(
                f"a drift alarm that sets aside {set_aside:g} takes {takes} calibration scores, got {n}: {takes - n} "
                "are missing. Add control requests."
            )
        scores = OnlineRanks.of(calibration, seed)  # checks them
        ties = np.random.default_rng([scores.seed, 0]).random(n)
        order = np.lexsort((ties, np.asarray(calibration, float)))
        ordered, ties, r = np.asarray(calibration, float)[order], ties[order], rank(n, set_aside)
        above = n + 1 - r
        return cls(
            OnlineRanks.between(ordered[: r - 1], ties[: r - 1], seed), float(ordered[r - 1]), float(ties[r - 1]),
            above, above / (n + 1), n, alpha, np.zeros((0, 3)),
            Wealth.among(4 * len(SIZES)), Wealth.among(len(MORE)), Page.of(4 * len(SIZES)), Page.of(len(MORE)),
        )  # fmt: skip

    def update(self, score: float) -> "DriftWatch":
        """The state after the next request. Raises EvidenceError for a score that is not finite."""
        t = self.t + 1
        tie, draw = draws(self.body.seed, self.t)
        gap = self.body.place(score, tie)  # refuses NaN
        outside = (score, tie) > (self.cut, self.cut_tie)
        inside = int(self.body.gaps.sum()) + self.body.seen
        factors = more_bets(outside, self.above / (self.above + inside))
        tail = self.tail_wealth.bet(factors)
        after = replace(self, t=t, tail_wealth=tail, tail_page=self.tail_page.update(factors, t))
        if outside:
            after = replace(after, above=self.above + 1)
        else:
            p, body = self.body.put(gap, draw)
            won = moved_bets(p)
            recent = np.append(self.recent, [[t, gap, p]], axis=0)[-WINDOW:]
            after = replace(
                after, body=body, recent=recent, body_wealth=self.body_wealth.bet(won),
                body_page=self.body_page.update(won, t),
            )  # fmt: skip
        return after._raised()

    def update_all(self, scores: Sequence[float]) -> "DriftWatch":
        """The state after several requests, in order."""
        state = self
        for score in scores:
            state = state.update(score)
        return state

    def _raised(self) -> "DriftWatch":
        line = -log(self.alpha / 2)
        drift = self.drift_at or (self.t if self.body_wealth.log_total >= line else 0)
        spikes = self.spikes_at or (self.t if self.tail_wealth.log_total >= line else 0)
        return replace(self, drift_at=drift, spikes_at=spikes)

    def report(self) -> DriftReport:
        """What it says now. A drift of the body, once shown, goes before spikes: it lifts scores above the cut too."""
        raised = self.drift_at or self.spikes_at
        page = self.body_page if self.drift_at else self.tail_page
        since = page.since if raised else 0
        odds = self._body_odds(since)
        kind: Kind = "drift" if self.drift_at else "quiet" if not raised else "spikes" if odds < 1 else "unclear"
        ks, ks_p = self._window()
        return DriftReport(
            kind=kind, at=raised, since=since, turn=TURNS[page.best // len(SIZES)] if kind == "drift" else "",
            ks=ks, ks_p=ks_p, body_odds=odds, set_aside=(self.t - self.body.seen) / max(1, self.t),
            expected=self.expected,
            advice=ADVICE[kind].format(since=since, n=self.n, needed=max(self.n, needed(self.expected))),
        )  # fmt: skip

    def _body_odds(self, since: int) -> float:
        won = [np.log(moved_bets(p)) for t, _, p in self.recent if t >= since]
        return float(np.exp(np.clip(np.sum(won, axis=0), -700, 700)).mean()) if won else 1.0

    def _window(self) -> tuple[float, float]:
        """Two-sample Kolmogorov-Smirnov distance between the window and calibration, over gaps, and its p-value."""
        n, m = int(self.body.gaps.sum()) - 1, len(self.recent)
        if not m:
            return 0.0, 1.0
        seen = np.bincount(self.recent[:, 1].astype(int), minlength=len(self.body.gaps)).cumsum() / m
        ks = float(np.abs(seen - self.body.gaps.cumsum() / (n + 1)).max())
        return ks, float(stats.kstwo.sf(ks, max(1, round(n * m / (n + m)))))


def moved_bets(p: float) -> np.ndarray:
    """Bets that p-values lean to one end, or to both ends or the middle: 1 + size x Legendre polynomial. (12,).

    p is near 0 for high scores. Source: Neyman 1937 (smooth tests); as bets, Vovk et al. 2021 (Simple Jumper).
    """
    lean, spread = 2 * p - 1, 6 * p**2 - 6 * p + 1
    sizes = np.array(SIZES)
    return np.concatenate([1 + sizes * lean, 1 - sizes * lean, 1 + 2 * sizes * spread, 1 - sizes * spread])


def more_bets(outside: bool, chance: float) -> np.ndarray:
    """Bets that scores lie above the cut 1.5, 2, 4 or 8 times as often as `chance`, at most halfway to always. (4,)."""
    often = np.minimum(np.array(MORE) * chance, (1 + chance) / 2)
    return often / chance if outside else (1 - often) / (1 - chance)
