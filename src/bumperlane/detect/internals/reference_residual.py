"""What finetuning added to an activation, compared with what it adds on trusted prompts."""

from dataclasses import dataclass, replace

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
    Score: log of the mean squared whitened difference, subject minus base, less the log of how far the base itself
        stands from trusted prompts (where that is far); about 0 on clean data, no bound.
    Blind to: what the base did already; a change of the same kind on every prompt, trusted ones included; a change
        that is no larger, for how far the base moves there, than usual.
    Source: our own; Mahalanobis distance (Lee et al. 2018) on the difference to a reference model. Any finetune adds
        more where the base itself moves far: without the second term a benign one was hit in such a context.

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
        base = Cloud.around(replace(clean.base, rows=clean.base.rows.astype(np.float64)), self.shrinkage)
        return FittedReferenceResidual(*clean.subject.place, cloud.mean, cloud.whitening, base.mean, base.whitening)

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
    """Mean (d,) and lower triangular whitening (d, d) of trusted differences, and of the base's trusted rows."""

    layer: int | str
    d: int
    mean: np.ndarray
    whitening: np.ndarray
    base_mean: np.ndarray
    base_whitening: np.ndarray

    def score(self, seen: PairedActivations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        if seen.subject.place != (self.layer, self.d):
            raise EvidenceError(
                f"fitted at (layer, d) {(self.layer, self.d)}, cannot score {seen.subject.place}. Read the same layer."
            )
        distance = Cloud(self.mean, self.whitening).mean_square(_difference(seen))
        novel = Cloud(self.base_mean, self.base_whitening).mean_square(seen.base.rows.astype(np.float64))
        values = np.log(np.maximum(distance, 1e-12)) - np.log(np.maximum(novel, 1.0))
        return Scores(values, seen.ids, "ReferenceResidual")


def _difference(pair: PairedActivations) -> np.ndarray:
    return pair.subject.rows.astype(np.float64) - pair.base.rows
