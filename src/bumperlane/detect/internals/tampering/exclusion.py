"""Leave out what may be a fake positive, learn again, and ask whether the outcome came about."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from ....errors import EvidenceError, SettingError
from ....types import Activations, Labelled, Scores
from ..probes.labels import folds_of
from ..probes.linear import FittedLinear
from ..probes.logistic import LogisticProbe
from .evidence_probe import LinearProbe, evidence_of_tampering
from .task import MeasurementTask, Sensed, labelled, part_of


class Refit(Protocol):
    """Retrains the measurement predictor without some items: the caller's own finetuning.

    With a recipe: the edit that drops the examples that are not kept, a retrain, and a second reading.
    """

    def __call__(self, keep: tuple[str, ...]) -> Activations:
        """Train on the items `keep` alone, from where the predictor started or went on, and read all items again.

        Returns the activations of every item of the task, and of those to be scored, whether kept or not.
        """
        ...


@dataclass(frozen=True)
class Choice:
    """Which items to learn from.

    Attributes:
        kept: ids of trusted and untrusted items to learn from.
        excluded: ids of untrusted items with all sensors positive that are left out.
        line: evidence of tampering above which an item was left out; None when all were.
        evidence: the evidence of tampering of all untrusted items with all sensors positive; None when all were.
    """

    kept: tuple[str, ...]
    excluded: tuple[str, ...]
    line: float | None = None
    evidence: Scores | None = None


@dataclass(frozen=True)
class Exclusion:
    """Exclusion finetuning, on the activations of a measurement predictor.

    1. Choose: leave out untrusted items with all sensors positive that may be fake.
    2. Refit, where a `Refit` is given: retrain the predictor on the others and read all items again.
    3. Fit a probe on the kept items: did the outcome come about? Its labels are the sensors', which are right on
       trusted items and on all that are not positive throughout, and more often right than before on the kept rest.

    Source: Roger et al. 2023, arXiv:2308.15605, "exclusion finetuning". There every untrusted item with all sensors
    positive is left out of the loss on the aggregated measurement, and stays in the loss on each sensor: that is the
    rule 'all-positive', but here the item is dropped altogether. The rule 'flagged' is our own: it leaves out only
    those that the probe for evidence of tampering flags, and so keeps untrusted real positives to learn from. Which
    is better depends on that probe: where it is blind, 'flagged' excludes at random and is no better than believing
    the sensors; where trusted items are easier than all untrusted ones, it flags everything and equals 'all-positive'.

    Args:
        probe: the linear probe for evidence of tampering, and for the outcome.
        rule: 'flagged' or 'all-positive'.
        false_alarm: share of trusted positives that the line of 'flagged' would leave out, by split conformal
            prediction on scores of items that the scoring probe was not fitted on.
        folds: number of parts for these scores.
    """

    probe: LinearProbe = LogisticProbe()
    rule: Literal["flagged", "all-positive"] = "flagged"
    false_alarm: float = 0.1
    folds: int = 5

    def __post_init__(self) -> None:
        if self.rule not in ("flagged", "all-positive"):
            raise SettingError(f"rule must be 'flagged' or 'all-positive', got {self.rule!r}.")
        if not 0 < self.false_alarm < 1:
            raise SettingError(f"false_alarm must be between 0 and 1, got {self.false_alarm}. Try 0.1.")
        if self.folds < 2:
            raise SettingError(f"folds must be 2 or more, got {self.folds}. Try 5.")

    def choose(self, task: MeasurementTask) -> Choice:
        """Which items to learn from. Raises EvidenceError with too few trusted positives for the line."""
        untrusted, positive = task.untrusted, task.untrusted.all_positive
        if self.rule == "all-positive":
            return Choice(task.trusted.ids + untrusted.where(~positive).ids, untrusted.where(positive).ids)
        seen = evidence_of_tampering(task)
        settled = self.probe.settled(seen)
        line = self._line(seen, task.trusted.all_positive, settled)
        evidence = settled.fit(seen).score(part_of(untrusted.activations, positive))
        flagged = np.zeros(len(untrusted.ids), bool)
        flagged[positive] = evidence.values > line
        kept = task.trusted.ids + untrusted.where(~flagged).ids
        return Choice(kept, untrusted.where(flagged).ids, line, evidence)

    def _line(self, seen: Labelled, positive: np.ndarray, settled: LinearProbe) -> float:
        """The conformal quantile of held-out evidence among trusted positives; trusted items come first in `seen`."""
        needed = int(np.ceil(1 / self.false_alarm - 1 - 1e-9))
        if positive.sum() < needed:
            raise EvidenceError(
                f"a line at {self.false_alarm:g} false alarms needs {needed} or more trusted positives, got "
                f"{int(positive.sum())}. Pass more, raise false_alarm, or use the rule 'all-positive'."
            )
        fold, held_out = folds_of(seen.labels, self.folds), np.zeros(len(seen.labels))
        for k in range(self.folds):
            learned = replace(seen, activations=part_of(seen.activations, fold != k), labels=seen.labels[fold != k])
            held_out[fold == k] = settled.fit(learned).score(part_of(seen.activations, fold == k)).values
        scores = np.sort(held_out[: len(positive)][positive])
        return float(scores[int(np.ceil((len(scores) + 1) * (1 - self.false_alarm) - 1e-9)) - 1])

    def finish(self, task: MeasurementTask, choice: Choice) -> FittedLinear:
        """The probe on the kept items: bad is an outcome that did not come about."""
        kept = set(choice.kept)
        parts = [
            part.where(np.array([name in kept for name in part.ids], bool)) for part in (task.trusted, task.untrusted)
        ]
        return self.probe.fit(labelled([(part, ~part.all_positive) for part in parts]))

    def run(self, task: MeasurementTask, refit: Refit | None = None) -> "Excluded":
        """Choose, refit, finish. Without a refit the predictor stays as it is, and only the probe learns again."""
        choice = self.choose(task)
        if not choice.excluded:
            raise EvidenceError(
                f"no untrusted item of {int(task.untrusted.all_positive.sum())} with all sensors positive shows more "
                f"evidence of tampering than {1 - self.false_alarm:.0%} of trusted ones, so nothing is left out. Raise "
                "false_alarm, or use the rule 'all-positive'."
            )
        again = None if refit is None else refit(choice.kept)
        return Excluded(choice, self.finish(task if again is None else task.read_again(again), choice), again)


@dataclass(frozen=True)
class Excluded:
    """What came of an exclusion: the choice, the final probe, and the activations of the refitted predictor."""

    choice: Choice
    probe: FittedLinear
    activations: Activations | None

    def score(self, seen: Activations) -> Scores:
        """Whether the outcome failed to come about, as the probe scores; higher is worse.

        After a refit, `seen` must be activations of the refitted predictor: those of the first mean another thing.
        """
        return replace(self.probe.score(seen), bumper="Exclusion")

    def score_again(self, seen: Sensed) -> Scores:
        """Items that the refit has read again, by their ids. Raises EvidenceError without a refit, or without them."""
        if self.activations is None:
            raise EvidenceError("the predictor was not refitted, so no item was read again. Use score.")
        return self.score(seen.read_again(self.activations).activations)
