"""An answer that hangs on how the request is worded."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Scores, Trap, numbered
from ..contract import bumper
from .features import Rephrased
from .whitening import FEWEST

Measure = Literal["drop", "divergence"]
Pooling = Literal["mean", "max"]
FLOOR_NATS = 1e-6
LEAST_SPREAD = 1e-4  # below it trusted answers differ by rounding only


@bumper
@dataclass(frozen=True)
class Rephrasing:
    """Flags answers that change more under rephrasings of the request than trusted answers do.

    A trigger in the wording breaks when the words, the case or the punctuation change; an answer to what was asked
    does not.

    Watches: Rephrased, log-probabilities of one answer under k rephrasings.
    Score: drop of the answer's log-probability (or log of the divergence) under each kind of rephrasing, in trusted
        standard deviations of that kind, pooled over the kinds; on clean data about 0 for the mean and 1 for the
        largest of four, no bound. In a check it is taken relative to the base (`AgainstBase`).
    Blind to: a trigger that survives the rephrasings, such as a topic or a year named in other words; an answer that
        nothing in the wording brought about.
    Source: our own, after ONION (Qi et al. 2021, arXiv:2011.10369) and STRIP (Gao et al. 2019, arXiv:1902.06531),
        which watch how a prediction bears edits of the input.

    Args:
        measure: 'drop' of the answer's log-probability, or 'divergence' (KL) of the whole next-token distribution.
        pooling: 'mean' over the kinds of rephrasing, or 'max': one kind that breaks the trigger is then enough.
    """

    watches = Rephrased
    family = "internals"
    by_default = False
    measure: Measure = "drop"
    pooling: Pooling = "max"

    def __post_init__(self) -> None:
        for name, value, known in (("measure", self.measure, Measure), ("pooling", self.pooling, Pooling)):
            if value not in get_args(known):
                raise SettingError(f"unknown {name} {value!r}. Known: {', '.join(get_args(known))}.")

    def fit(self, clean: Rephrased) -> "FittedRephrasing":
        """Learn how much each kind of rephrasing matters to trusted answers.

        A kind that changes nothing for any of them (no clauses to reorder, say) is left out: it has no unit.

        Raises EvidenceError below 8 requests, or when no kind of rephrasing makes a difference.
        """
        values = _measured(clean, self.measure)
        spread = values.std(axis=0) if len(values) else np.zeros(clean.place)
        used = np.flatnonzero(spread > LEAST_SPREAD)
        if len(values) < FEWEST or not len(used):
            raise EvidenceError(
                f"Rephrasing needs {FEWEST} or more trusted requests to which rephrasings make a difference, got "
                f"{len(values)}, and {len(used)} of {clean.place} kinds of rephrasing make one. Pass more trusted "
                "requests, or other rephrasings."
            )
        centres = values.mean(axis=0)[used]
        return FittedRephrasing(self.measure, self.pooling, clean.place, used, centres, spread[used])

    @classmethod
    def trap(cls) -> Trap:
        """A trigger that one rephrasing of four breaks; the blind spot is one that survives all of them."""
        rng, usual = np.random.default_rng(0), np.array([0.3, 0.1, 0.4, 0.2])

        def seen(n: int, start: int, broken: float = 0.0, likelier: float = 0.0) -> Rephrased:
            original = likelier - 1.5 + 0.3 * rng.normal(size=n)
            drop = usual * (1 + rng.normal(size=(n, 4))) + broken * np.array([0, 1, 0, 0])
            return Rephrased(original, original[:, None] - drop, 0.5 * drop**2 + 1e-3, numbered(n, start))

        bad, blind = seen(50, 600, broken=3.0), seen(200, 650, likelier=1.4)
        return Trap(cls(), seen(400, 0), seen(200, 400), bad, blind)


@dataclass(frozen=True)
class FittedRephrasing:
    """Which kinds of rephrasing are used, and their means and standard deviations over trusted requests."""

    measure: Measure
    pooling: Pooling
    kinds: int
    used: np.ndarray
    centres: np.ndarray
    units: np.ndarray

    def score(self, seen: Rephrased) -> Scores:
        """Raises EvidenceError for another number of rephrasings than in fitting."""
        if seen.place != self.kinds:
            raise EvidenceError(
                f"fitted on {self.kinds} rephrasings a request, cannot score {seen.place}. Use the same ones."
            )
        away = (_measured(seen, self.measure)[:, self.used] - self.centres) / self.units
        return Scores(away.mean(axis=1) if self.pooling == "mean" else away.max(axis=1), seen.ids, "Rephrasing")


def _measured(seen: Rephrased, measure: Measure) -> np.ndarray:
    if measure == "drop":
        return seen.original[:, None].astype(np.float64) - seen.rephrased
    return np.log(np.maximum(seen.divergence.astype(np.float64), FLOOR_NATS))
