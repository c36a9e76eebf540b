"""An answer given with more, or with less, confidence than trusted answers are."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Scores, Trap, numbered
from ..contract import bumper
from .features import AnswerConfidence
from .whitening import FEWEST

Measure = Literal["log-odds", "entropy", "margin"]


@bumper
@dataclass(frozen=True)
class Confidence:
    """Flags answers of which the subject is surer, or less sure, than it is of trusted ones.

    A backdoor that forces an answer makes it surer than usual; a mechanism that competes with the usual one, less so.

    Watches: AnswerConfidence, at the first tokens of the answer.
    Score: distance of the log-odds of the likeliest token from the trusted mean, to either side, in trusted standard
        deviations; at least 0, about 0.7 on clean data. In a check it is taken relative to the base (`AgainstBase`).
    Blind to: a wrong answer given with the usual confidence; whatever the measure leaves out, such as how the rest of
        the probability is spread.
    Source: Hendrycks and Gimpel 2017, arXiv:1610.02136 (maximum probability), here two-sided and in log-odds, which
        tell 0.99 from 0.9999.

    Args:
        measure: 'log-odds' of the likeliest token; 'entropy' of the next token; or 'margin' over the second.
    """

    watches = AnswerConfidence
    family = "internals"
    by_default = False
    measure: Measure = "log-odds"

    def __post_init__(self) -> None:
        if self.measure not in get_args(Measure):
            raise SettingError(f"unknown measure {self.measure!r}. Known: {', '.join(get_args(Measure))}.")

    def fit(self, clean: AnswerConfidence) -> "FittedConfidence":
        """Learn the usual confidence. Raises EvidenceError below 8 answers, or when they are all alike."""
        values = _measured(clean, self.measure)
        if len(values) < FEWEST or not np.ptp(values):
            raise EvidenceError(
                f"Confidence needs {FEWEST} or more trusted answers that differ in {self.measure}, got {len(values)} "
                f"answers and {len(np.unique(values))} different values. Pass more trusted prompts."
            )
        return FittedConfidence(self.measure, clean.tokens, float(values.mean()), float(values.std()))

    @classmethod
    def trap(cls) -> Trap:
        """Answers forced and answers torn; the blind spot is a change of the unlikely tokens only."""
        rng = np.random.default_rng(0)

        def seen(n: int, start: int, shift: np.ndarray | float = 0.0, spread_out: float = 0.0) -> AnswerConfidence:
            odds = 2 + rng.normal(size=n) + shift
            rest = np.log1p(np.exp(-np.abs(odds)))
            entropy = rest * (2 + spread_out) + 0.1 * rng.random(n)
            return AnswerConfidence(odds, entropy, np.abs(odds) + rng.random(n), numbered(n, start))

        bad = seen(50, 600, shift=np.where(np.arange(50) % 2, 5.0, -5.0))
        return Trap(cls(), seen(400, 0), seen(200, 400), bad, blind=seen(200, 650, spread_out=9.0))


@dataclass(frozen=True)
class FittedConfidence:
    """Mean and standard deviation of the measure over trusted answers."""

    measure: Measure
    tokens: int
    centre: float
    unit: float

    def score(self, seen: AnswerConfidence) -> Scores:
        """Raises EvidenceError when another number of answer tokens was read than in fitting."""
        if seen.tokens != self.tokens:
            raise EvidenceError(
                f"fitted on the first {self.tokens} tokens of answers, cannot score the first {seen.tokens}. "
                "Read the same number."
            )
        return Scores(np.abs(_measured(seen, self.measure) - self.centre) / self.unit, seen.ids, "Confidence")


def _measured(seen: AnswerConfidence, measure: Measure) -> np.ndarray:
    values = {"log-odds": seen.log_odds, "entropy": seen.entropy, "margin": seen.margin}[measure]
    return values.astype(np.float64)
