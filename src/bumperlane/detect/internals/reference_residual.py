"""What finetuning added to an activation, compared with what it adds on trusted prompts."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Activations, PairedActivations, Scores, Trap, numbered
from ..contract import bumper
from .whitening import Cloud, Shrinkage, checked


@bumper
@dataclass(frozen=True)
class ReferenceResidual:
    """Flags prompts on which finetuning changed the activation in another way than on trusted prompts.

    Watches: PairedActivations, rows (n, d) of subject and base at one layer.
    Score: log of the mean squared whitened difference, subject minus base; about 0 on clean data, no bound.
    Blind to: what the base did already; a change of the same kind on every prompt, trusted ones included.
    Source: our own; Mahalanobis distance (Lee et al. 2018) on the difference to a reference model.

    Args:
        shrinkage: in (0, 1], 'ledoit-wolf' or 'oas'.
    """

    watches = PairedActivations
    family = "internals"
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: PairedActivations) -> "FittedReferenceResidual":
        """Learn the trusted differences. Raises EvidenceError below 8 rows, or when all differences are equal."""
        difference = Activations(_difference(clean), clean.ids, clean.subject.layer)
        if len(difference.ids) and not np.ptp(difference.rows, axis=0).any():
            raise EvidenceError(
                f"subject and base differ in the same way, or not at all, on all {len(difference.ids)} trusted rows at "
                f"layer {difference.layer}. Read a layer at or after the first one that was finetuned."
            )
        cloud = Cloud.around(difference, self.shrinkage)
        return FittedReferenceResidual(*clean.subject.place, cloud.mean, cloud.whitening)

    @classmethod
    def trap(cls) -> Trap:
        """A shift of the subject along an axis the base keeps; the clean twin is as novel in both models."""
        rng, scale = np.random.default_rng(0), np.array([5.0, 1.0, 0.2, 0.2])

        def pair(n: int, both: float, added: float, start: int) -> PairedActivations:
            ids, base = numbered(n, start), rng.normal(size=(n, 4)) + both
            ours = base + rng.normal(size=(n, 4)) * scale + added * np.eye(4)[2]
            return PairedActivations(Activations(ours, ids), Activations(base, ids))

        return Trap(
            cls(), pair(400, 0, 0, 0), clean=pair(200, 9, 0, 400), bad=pair(50, 0, 4, 600), blind=pair(200, 9, 0, 650)
        )


@dataclass(frozen=True)
class FittedReferenceResidual:
    """Mean (d,) and lower triangular whitening (d, d) of trusted differences."""

    layer: int | str
    d: int
    mean: np.ndarray
    whitening: np.ndarray

    def score(self, seen: PairedActivations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        if seen.subject.place != (self.layer, self.d):
            raise EvidenceError(
                f"fitted at (layer, d) {(self.layer, self.d)}, cannot score {seen.subject.place}. Read the same layer."
            )
        distance = Cloud(self.mean, self.whitening).mean_square(_difference(seen))
        return Scores(np.log(np.maximum(distance, 1e-12)), seen.ids, "ReferenceResidual")


def _difference(pair: PairedActivations) -> np.ndarray:
    return pair.subject.rows.astype(np.float64) - pair.base.rows
