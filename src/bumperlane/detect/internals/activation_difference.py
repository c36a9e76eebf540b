"""The imprint that finetuning leaves on unrelated text, and the prompts on which it is stronger than usual."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Activations, PairedActivations, Scores, Trap, numbered
from ..contract import bumper
from .features import NeutralText
from .whitening import FEWEST


@bumper
@dataclass(frozen=True)
class ActivationDifference:
    """Flags prompts on which the imprint of the finetuning is stronger than on trusted prompts.

    A narrow finetune adds much the same vector to the activations of any text. That mean difference is learned on text
    that has nothing to do with the finetuning; where a prompt calls up what was trained, more of it is added. It is
    one signed direction, the mean itself; `ReferenceResidual` takes the mean away and measures the spread around it
    in all directions alike, so that a shift along the mean is one of its d parts, and less of the imprint counts as
    much as more.

    Watches: PairedActivations, rows (n, d) of subject and reference at one layer; fitted on NeutralText. The
        reference is the base, or an earlier checkpoint.
    Score: projection of subject minus reference on the unit mean difference of neutral text, in standard deviations
        of trusted prompts; mean 0 on clean data, no bound. It is relative to the base as it stands.
    Blind to: a change orthogonal to the imprint; a prompt on which the imprint is weaker; a finetune that leaves no
        common imprint (then nothing is learned and the reading is blind, with the reason).
    Source: Minder et al. 2025, arXiv:2510.13900, who read and steer by the mean difference; as a score it is ours.

    Args:
        agreement: smallest cosine between the mean differences of the two halves of the neutral text, in (0, 1).
    """

    watches = PairedActivations
    learns = NeutralText
    family = "internals"
    by_default = False
    agreement: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.agreement < 1:
            raise SettingError(f"agreement must be between 0 and 1, got {self.agreement}. Try 0.5.")

    def fit(self, clean: NeutralText) -> "FittedActivationDifference":
        """Learn the imprint. Raises EvidenceError below 8 texts or prompts, or when the halves of the text disagree."""
        added, ordinary = _difference(clean.neutral), _difference(clean.trusted)
        if min(len(added), len(ordinary)) < FEWEST:
            raise EvidenceError(
                f"ActivationDifference needs {FEWEST} or more neutral texts and trusted prompts, got {len(added)} and "
                f"{len(ordinary)}. Pass more of both."
            )
        found = _cosine(added[::2].mean(axis=0), added[1::2].mean(axis=0))
        if found < self.agreement:
            raise EvidenceError(
                f"the finetuning leaves no common imprint on {len(added)} neutral texts at layer "
                f"{clean.neutral.subject.layer}: the mean differences of their halves have a cosine of {found:.2f}, "
                f"{self.agreement:g} is needed. Read another layer, or pass more neutral text."
            )
        mean = added.mean(axis=0)
        direction = mean / np.linalg.norm(mean)
        along = ordinary @ direction
        if not np.ptp(along):
            raise EvidenceError(
                f"the imprint is equally strong on all {len(along)} trusted prompts. Pass prompts that differ."
            )
        place, strength = clean.trusted.subject.place, float(np.linalg.norm(mean))
        return FittedActivationDifference(*place, direction, strength, float(along.mean()), float(along.std()))

    @classmethod
    def trap(cls) -> Trap:
        """A prompt that calls the imprint up; the blind spot is a change orthogonal to it, however large."""
        rng = np.random.default_rng(0)

        def seen(n: int, start: int, more: float = 0.0, aside: float = 0.0) -> PairedActivations:
            base, ids = 9 * rng.normal(size=(n, 8)), numbered(n, start)
            added = rng.normal(size=(n, 8)) + np.r_[2.0 + more, aside, np.zeros(6)]
            return PairedActivations(Activations(base + added, ids), Activations(base, ids))

        # so much neutral text that what the direction is off by lets nothing of the blind spot through
        fit = NeutralText(seen(8000, 0), seen(400, 8000))
        return Trap(cls(), fit, seen(200, 9000), seen(50, 9200, more=5.0), blind=seen(200, 9400, aside=6.0))


@dataclass(frozen=True)
class FittedActivationDifference:
    """Unit direction (d,) of the imprint, its length, and mean and deviation of trusted projections on it."""

    layer: int | str
    d: int
    direction: np.ndarray
    strength: float
    centre: float
    unit: float

    def score(self, seen: PairedActivations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        if seen.subject.place != (self.layer, self.d):
            raise EvidenceError(
                f"fitted at (layer, d) {(self.layer, self.d)}, cannot score {seen.subject.place}. Read the same layer."
            )
        along = np.einsum("nd,d->n", _difference(seen), self.direction)
        return Scores((along - self.centre) / self.unit, seen.ids, "ActivationDifference")


def _difference(pair: PairedActivations) -> np.ndarray:
    return pair.subject.rows.astype(np.float64) - pair.base.rows


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """0 where one of the two is nought: equal models leave no imprint."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0
