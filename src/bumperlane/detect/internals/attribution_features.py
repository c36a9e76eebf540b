"""Which attention heads an answer rests on, compared with trusted answers."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Scores, Trap, numbered
from ..contract import bumper
from .feature_cloud import log_distance, trusted_cloud
from .features import HeadEffects
from .whitening import Shrinkage, checked


@bumper
@dataclass(frozen=True)
class AttributionFeatures:
    """Flags answers that rest on other attention heads than trusted answers do.

    Watches: HeadEffects, rows (n, layers x heads) in logits.
    Score: log of the mean squared whitened effect; about 0 on clean data, no bound. In a check it is taken relative
        to the base (`AgainstBase`).
    Blind to: a mechanism that lives in the MLPs, or that uses the usual heads in the usual proportions: effects that
        grow together as they do on trusted prompts.
    Source: attribution patching: Nanda 2023; Syed, Rager and Conmy 2023, arXiv:2310.10348; Kramar et al. 2024,
        arXiv:2403.00745. Its effects as features of a Mahalanobis distance: our reading of mechanistic anomaly
        detection. Effects are first-order: saturated attention is understated.

    Args:
        shrinkage: in (0, 1], 'ledoit-wolf' or 'oas'.
    """

    watches = HeadEffects
    family = "internals"
    by_default = False
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: HeadEffects) -> "FittedAttributionFeatures":
        """Learn the trusted cloud of effects. Raises EvidenceError below 8 items, or when all are equal."""
        cloud = trusted_cloud(clean.rows, clean.ids, self.shrinkage, "head effects")
        return FittedAttributionFeatures(clean.layers, clean.heads, cloud.mean, cloud.whitening)

    @classmethod
    def trap(cls) -> Trap:
        """The same total effect by another head; the blind spot is more of the usual effect of all heads."""
        rng, usual = np.random.default_rng(0), np.array([4.0, 2.0, 0, 0, 1.0, 0, 3.0, 0])

        def seen(n: int, start: int, more: float = 0.0, moved: float = 0.0) -> HeadEffects:
            strength = 1 + 0.5 * rng.normal(size=(n, 1)) + more
            rows = strength * usual + 0.2 * rng.normal(size=(n, 8)) + moved * np.array([-1, 0, 1, 0, 0, 0, 0, 0])
            return HeadEffects(rows, numbered(n, start), layers=2, heads=4)

        return Trap(cls(), seen(800, 0), seen(800, 800), seen(50, 1600, moved=1.5), blind=seen(800, 1650, more=0.25))


@dataclass(frozen=True)
class FittedAttributionFeatures:
    """Mean (layers x heads,) and lower triangular whitening of trusted effects."""

    layers: int
    heads: int
    mean: np.ndarray
    whitening: np.ndarray

    def score(self, seen: HeadEffects) -> Scores:
        """Raises EvidenceError for a model of another shape than the fitted one."""
        if seen.place != (self.layers, self.heads):
            raise EvidenceError(
                f"fitted on (layers, heads) {(self.layers, self.heads)}, cannot score {seen.place}. "
                "Read the same model."
            )
        return Scores(log_distance(self.mean, self.whitening, seen.rows), seen.ids, "AttributionFeatures")
