"""Several probes fitted on resamples of the same evidence, and how far they disagree."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ....errors import EvidenceError, SettingError
from ....types import Activations, Labelled, Scores, Trap, numbered
from ...contract import bumper
from .labels import refuse_other_place, two_kinds
from .lda import LDAProbe
from .linear import FittedLinear, projected
from .logistic import LogisticProbe
from .mean_difference import MeanDifferenceProbe

FEWEST = 20  # of each kind: about 7 of 20 good items stay out of a resample and give its member a unit


@bumper
@dataclass(frozen=True)
class ProbeEnsemble:
    """Flags activations that several probes, each fitted on another resample of the labelled items, take for bad.

    Watches: Activations, rows (n, d) at one layer; fitted on Labelled.
    Score: the mean (or the least) of the members' scores, each in standard deviations of the good items that its
        resample left out; about 0 on clean data, no bound. `disagreement` says how far the members are apart.
    Blind to: what misleads all members alike: labels that stand for another thing than the misbehaviour, and
        misbehaviour of which the labelled items show nothing. Members that agree are no evidence against either.
    Source: Breiman 1996, "Bagging predictors", with linear probes.

    Args:
        probe: the linear probe that is resampled: LogisticProbe, LDAProbe or MeanDifferenceProbe. What it chooses by
            itself (the strength) is chosen once, on all items: a resample holds an item several times, and holding
            out one copy of it tells nothing.
        members: number of resamples.
        rule: 'mean', or 'least' for the score of the member that is least alarmed: an item then stands out only when
            all members agree.
        seed: of the resamples.
    """

    watches = Activations
    learns = Labelled
    family = "internals"
    by_default = False
    probe: LogisticProbe | LDAProbe | MeanDifferenceProbe = LogisticProbe()
    members: int = 16
    rule: Literal["mean", "least"] = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.probe, LogisticProbe | LDAProbe | MeanDifferenceProbe):
            raise SettingError(
                f"the probe must be a LogisticProbe, LDAProbe or MeanDifferenceProbe, got {type(self.probe).__name__}."
            )
        if self.members < 2:
            raise SettingError(f"an ensemble needs 2 or more members, got {self.members}. Try 16.")
        if self.rule not in ("mean", "least"):
            raise SettingError(f"rule must be 'mean' or 'least', got {self.rule!r}.")

    def fit(self, clean: Labelled) -> "FittedProbeEnsemble":
        """Fit all members. Raises EvidenceError below 20 items of a kind, or when a member cannot be fitted."""
        rows, bad = two_kinds(clean, "ProbeEnsemble", FEWEST)
        settled, rng = self.probe.settled(clean), np.random.default_rng(self.seed)
        kinds, found = (np.flatnonzero(~bad), np.flatnonzero(bad)), []
        for _ in range(self.members):
            drawn = np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])
            member = settled.fit(Labelled(_taken(clean.activations, drawn), bad[drawn]))
            found.append(_in_good_units(member, rows[np.setdiff1d(kinds[0], drawn)]))
        weights, bias = zip(*found, strict=True)
        return FittedProbeEnsemble(*clean.activations.place, np.stack(weights, axis=1), np.array(bias), self.rule)

    @classmethod
    def trap(cls) -> Trap:
        """As for one probe: a shift the labels showed, and as the blind spot one that they did not."""
        rng = np.random.default_rng(0)

        def at(n: int, axis: int, shift: float, start: int) -> Activations:
            return Activations(rng.normal(size=(n, 8)) + shift * np.eye(8)[axis], numbered(n, start))

        good, bad = at(200, 0, 0, 0), at(200, 0, 5, 200)
        rows, labels = np.concatenate([good.rows, bad.rows]), np.arange(400) >= 200
        fit = Labelled(Activations(rows, good.ids + bad.ids), labels)
        made: Any = cls(LogisticProbe(100.0), members=8)
        return Trap(made, fit, at(200, 0, 0, 400), bad=at(50, 0, 5, 600), blind=at(200, 1, 4, 700))


@dataclass(frozen=True)
class FittedProbeEnsemble:
    """Weights (d, m) and biases (m,) of the members, in standard deviations of good items."""

    layer: int | str
    d: int
    weights: np.ndarray
    biases: np.ndarray
    rule: str

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        each = self.member_scores(seen)
        return Scores(each.mean(axis=1) if self.rule == "mean" else each.min(axis=1), seen.ids, "ProbeEnsemble")

    def member_scores(self, seen: Activations) -> np.ndarray:
        """(n, m): every member's own score of every item."""
        refuse_other_place(self.layer, self.d, seen)
        return projected(seen.rows, self.weights) + self.biases

    def disagreement(self, seen: Activations) -> np.ndarray:
        """(n,) standard deviation of the members' scores of an item: how far the labels leave the answer open."""
        return self.member_scores(seen).std(axis=1, ddof=1)


def _taken(activations: Activations, items: np.ndarray) -> Activations:
    ids = tuple(activations.ids[i] for i in items)
    return Activations(activations.rows[items], ids, activations.layer, activations.step)


def _in_good_units(member: FittedLinear, left_out: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and bias of a member such that good items it was not fitted on have mean 0 and deviation 1."""
    own = left_out @ member.weights
    unit = float(own.std(ddof=1)) if len(own) >= 3 else 0.0
    if unit == 0:
        raise EvidenceError(
            f"a resample left out {len(own)} good items that differ, 3 are needed for a unit. Label more good items."
        )
    return member.weights / unit, -float(own.mean()) / unit
