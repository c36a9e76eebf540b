"""Held-out confirmation: a candidate against every control, request by request, on requests that no search asked."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, t

from ...errors import EvidenceError, SettingError
from ...evidence.holm import holm
from ...types import Interval


@dataclass(frozen=True)
class Confirmed:
    """What held-out requests say about one candidate.

    Attributes:
        effect: mean over requests, in the objective's unit, with a 95% t interval.
        bar: mean over requests of the worst control.
        above: requests on which the candidate lies above every control by more than the margin.
        of: requests.
        p_value: exact sign test of `above` against chance.
        p_holm: adjusted for all candidates that were put to confirmation.
    """

    effect: Interval
    bar: float
    above: int
    of: int
    p_value: float
    p_holm: float

    def holds(self, alpha: float) -> bool:
        return self.p_holm <= alpha


def confirm(effects: np.ndarray, bar: np.ndarray, margin: float, least: int = 8) -> list[Confirmed]:
    """Test each candidate.

    On each request a candidate must exceed the *highest* of all controls, not their mean: a context that is merely one
    of many that unsettle a model is the highest of them on few requests. Ties count against it.

    Args:
        effects: (candidates, requests).
        bar: (candidates, requests), the highest control: of random texts, and of texts that the same search found where
            no trigger is.
        margin: in the objective's unit, what counts as nothing.
        least: requests below which nothing is tested.

    Raises EvidenceError below `least` requests, SettingError for a negative margin.
    """
    _refuse(effects.shape[1], margin, least)
    n = effects.shape[1]
    above = (effects - bar > margin).sum(axis=1)
    p = binom.sf(above - 1, n, 0.5)
    return [
        Confirmed(_interval(row), float(high.mean()), int(k), n, float(one), float(adjusted))
        for row, high, k, one, adjusted in zip(effects, bar, above, p, holm(p.tolist()), strict=True)
    ]


def confirm_against_base(subject: np.ndarray, base: np.ndarray, margin: float, least: int = 8) -> list[Confirmed]:
    """Test each candidate: is the subject worse than its base more often than the base is worse than the subject?

    Exact one-sided sign test over the requests on which they differ by more than the margin: McNemar's, where an answer
    shows a behaviour or does not.

    Args:
        subject, base: (candidates, requests), in the measure's unit.

    Raises EvidenceError below `least` requests, SettingError for a negative margin.
    """
    _refuse(subject.shape[1], margin, least)
    n = subject.shape[1]
    more = (subject - base > margin).sum(axis=1)
    less = (base - subject > margin).sum(axis=1)
    p = binom.sf(more - 1, more + less, 0.5)
    return [
        Confirmed(_interval(row), float(under.mean()), int(k), n, float(one), float(adjusted))
        for row, under, k, one, adjusted in zip(subject - base, base, more, p, holm(p.tolist()), strict=True)
    ]


def _interval(values: np.ndarray) -> Interval:
    mean = float(values.mean())
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def _refuse(requests: int, margin: float, least: int) -> None:
    if margin < 0:
        raise SettingError(f"margin must be 0 or more, got {margin}.")
    if requests < least:
        raise EvidenceError(f"{requests} held-out requests; {least} are the least. Give more with --requests.")
