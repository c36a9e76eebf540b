"""Conformal p-values for a stream: independent and uniform as long as nothing changes, with bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import EvidenceError, SettingError

GAPS = 1024
TOP = 256


@dataclass(frozen=True)
class OnlineRanks:
    """Ranks each score among the calibration scores and all stream scores before it.

    p-values against a *fixed* calibration set depend on each other (they share its luck), and a bet on them would in
    time win against the calibration set itself. Ranks among everything seen so far do not: if calibration and stream
    scores are exchangeable, the p-values are independent and uniform on (0, 1], exactly, at any size and for any
    distribution, ties included (they are broken at random from `seed`).

    Sorted calibration scores cut the line into gaps. Of an exchangeable stream the next score falls into a gap with
    probability (gaps in it + stream scores in it) / (n + scores so far): a Polya urn. So a count a gap is all that is
    kept. Above 1,023 calibration scores neighbouring gaps are taken together, the top 256 excepted.

    Source: Vovk, Gammerman & Shafer 2005, chapter 7 (smoothed, online conformal p-values); the urn is our own.

    Attributes:
        cuts: (b - 1,) calibration scores between the gaps, ascending.
        ties: (b - 1,) in [0, 1), ascending among equal cuts.
        gaps: (b,) gaps between neighbouring calibration scores that are taken together.
        counts: (b,) stream scores that fell into each.
        seed: of the tie-breaks; score t always gets the same one, so that a resumed stream goes on alike.
    """

    cuts: np.ndarray = field(repr=False)
    ties: np.ndarray = field(repr=False)
    gaps: np.ndarray = field(repr=False)
    counts: np.ndarray = field(repr=False)
    seed: int = 0

    @classmethod
    def of(cls, calibration: np.ndarray, seed: int = 0) -> "OnlineRanks":
        """Start from the scores (n,) of clean items that no detector was fitted on. Raises EvidenceError without."""
        scores = np.asarray(calibration, float)
        if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
            raise EvidenceError(
                f"a stream is ranked among 1 or more finite calibration scores, got shape {scores.shape} with "
                f"{int((~np.isfinite(scores)).sum())} not finite. Add control requests."
            )
        if seed < 0:
            raise SettingError(f"seed must be 0 or more, got {seed}.")
        ties = np.random.default_rng([seed, 0]).random(len(scores))
        order = np.lexsort((ties, scores))
        return cls.between(scores[order], ties[order], seed)

    @classmethod
    def between(cls, scores: np.ndarray, ties: np.ndarray, seed: int) -> "OnlineRanks":
        """Start from scores in ascending order, with the tie-breaks that put them in it."""
        n = len(scores)
        if n < GAPS:
            chosen = np.arange(n)
        else:  # by place alone, never by value: the urn is exact whatever places are taken together
            below = np.linspace(0, n - TOP - 1, GAPS - 1 - TOP).round().astype(int)
            chosen = np.concatenate([below, np.arange(n - TOP, n)])
        gaps = np.diff(np.concatenate([[-1], chosen, [n]]))
        return cls(scores[chosen], ties[chosen], gaps, np.zeros(len(gaps), np.int64), seed)

    @property
    def seen(self) -> int:
        """Stream scores so far."""
        return int(self.counts.sum())

    def place(self, score: float, tie: float) -> int:
        """Index of the gap that a score falls into."""
        if not np.isfinite(score):
            raise EvidenceError(f"a score of {score} cannot be ranked. A bumper must never score NaN.")
        first, last = (int(np.searchsorted(self.cuts, score, side=side)) for side in ("left", "right"))
        return first + int(np.searchsorted(self.ties[first:last], tie))

    def update(self, score: float) -> tuple[float, "OnlineRanks"]:
        """(p-value in (0, 1] of the next score, ranks that have seen it). Small p: odd."""
        tie, draw = draws(self.seed, self.seen)
        return self.put(self.place(score, tie), draw)

    def put(self, gap: int, draw: float) -> tuple[float, "OnlineRanks"]:
        """The same for a score whose gap is known; `draw` in (0, 1] breaks ties within the gap."""
        weights = self.gaps + self.counts
        above = int(weights[gap + 1 :].sum())
        p = (above + draw * int(weights[gap])) / (above + int(weights[: gap + 1].sum()))
        counts = self.counts.copy()
        counts[gap] += 1
        return p, OnlineRanks(self.cuts, self.ties, self.gaps, counts, self.seed)


def draws(seed: int, t: int) -> tuple[float, float]:
    """Two numbers for score t of a stream: one in [0, 1) that breaks ties, one in (0, 1]. No state to keep."""
    one, other = np.random.Generator(np.random.Philox(key=seed, counter=t)).random(2)
    return float(one), 1.0 - float(other)


def p_stream(ranks: OnlineRanks, scores: Sequence[float]) -> tuple[np.ndarray, OnlineRanks]:
    """p-values (n,) of consecutive scores, and the ranks after the last."""
    out = np.empty(len(scores))
    for i, score in enumerate(scores):
        out[i], ranks = ranks.update(score)
    return out, ranks
