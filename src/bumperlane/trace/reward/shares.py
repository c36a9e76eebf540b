"""Which reward term pays: the advantage that flagged rollouts have over their matched ones, split among the terms.

Advantages are linear in the terms once a group's spread is held at its own (see `advantage`), so the split needs no
sampling over coalitions: Shapley values of a sum are its terms. The parts add to the whole to rounding.

A group's own spread is larger where a term happens to go with the behaviour than where it goes against it. So a term
that knows nothing of the behaviour gets a part a little below 0 (measured: -0.05 beside a paying term's 0.85). The
trainer did the same, so the parts keep it; the p-values are of differences in reward, which have no such bias.
"""

from dataclasses import dataclass

import numpy as np

from ...types import Interval
from .advantage import Rewards
from .matching import Matching


@dataclass(frozen=True)
class TermGap:
    """One term's part of the gap.

    Attributes:
        gap: advantage that the term gives flagged rollouts over their matched ones.
        share: that over the whole gap; None where the whole gap cannot be told to be above 0.
        p_value: two-sided, for no difference of the term between flagged and matched rollouts, in units of the reward;
            not corrected.
    """

    term: str
    gap: Interval
    share: Interval | None
    p_value: float


@dataclass(frozen=True)
class Gaps:
    """The whole gap in advantage, and its parts in the order of the rewards' terms."""

    whole: Interval
    terms: tuple[TermGap, ...]
    clusters: int


def advantage_gaps(rewards: Rewards, matching: Matching, level: float = 0.95) -> Gaps:
    """Split the advantage of flagged over matched rollouts among the terms.

    Compared within prompts, each difference is divided by its own group's spread, as the trainer did. Compared within
    environments, by the spread of the rewards that are compared there: groups differ, and their own spreads do not
    bring them to one scale.
    """
    scale = _scale(rewards, matching)
    columns = [rewards.total / scale]
    columns += [rewards.paid(term) / scale for term in range(len(rewards.terms))]
    found = matching.differences(columns)
    plain = matching.differences([rewards.paid(term) for term in range(len(rewards.terms))])
    terms = tuple(
        TermGap(name, found.interval(k, level), found.share(k, 0, level), plain.p_value(k - 1))
        for k, name in enumerate(rewards.terms, 1)
    )
    return Gaps(found.interval(0, level), terms, found.clusters)


def _scale(rewards: Rewards, matching: Matching) -> np.ndarray:
    if matching.kind == "prompt" or rewards.rule == "mean":
        return rewards.scale[rewards.cells.of]
    place = np.maximum(matching.place, 0)
    used = matching.used
    n = np.maximum(np.bincount(place[used], minlength=int(place.max()) + 1), 1)
    mean = np.bincount(place[used], rewards.total[used], len(n)) / n
    off = np.where(used, rewards.total - mean[place], 0.0)
    spread = np.sqrt(np.bincount(place, off * off, len(n)) / np.maximum(n - 1, 1))
    return np.maximum(spread, 1e-12 + 1e-4 * float(rewards.total.std()))[place]
