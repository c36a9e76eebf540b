"""At which depth an answer forms, compared with trusted answers."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Scores, Trap, numbered
from ..contract import bumper
from .feature_cloud import log_distance, trusted_cloud
from .features import LensTrajectory
from .whitening import Shrinkage, checked


@bumper
@dataclass(frozen=True)
class LogitLensFeatures:
    """Flags answers that form at another depth, or along another path, than trusted answers do.

    Watches: LensTrajectory, log-probability (n, L) of the final answer after each block.
    Score: log of the mean squared whitened trajectory; about 0 on clean data, no bound. In a check it is taken
        relative to the base (`AgainstBase`).
    Blind to: a mechanism that writes its answer at the usual depth; answers that are less, or more, likely at all
        depths together, as trusted answers differ among themselves.
    Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; the distance is Mahalanobis (Lee et al. 2018).
        The lens reads early layers poorly (Belrose et al. 2023, arXiv:2303.08112), for trusted answers alike.

    Args:
        shrinkage: in (0, 1], 'ledoit-wolf' or 'oas'.
    """

    watches = LensTrajectory
    family = "internals"
    by_default = False
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: LensTrajectory) -> "FittedLogitLensFeatures":
        """Learn the trusted cloud of trajectories. Raises EvidenceError below 8 items, or when all are equal."""
        cloud = trusted_cloud(clean.rows, clean.ids, self.shrinkage, "lens trajectories")
        return FittedLogitLensFeatures(cloud.mean, cloud.whitening)

    @classmethod
    def trap(cls) -> Trap:
        """Answers that are there two blocks early; the blind spot is answers that are likelier at all depths."""
        rng, depth = np.random.default_rng(0), np.arange(12.0)

        def seen(n: int, start: int, early: float = 0.0, likelier: float = 0.0) -> LensTrajectory:
            rise = 9 / (1 + np.exp(7 - early - depth + 0.2 * rng.normal(size=(n, 1)))) - 10
            rows = rise + likelier + rng.normal(size=(n, 1)) + 0.2 * rng.normal(size=(n, 12))
            return LensTrajectory(rows, numbered(n, start))

        return Trap(cls(), seen(400, 0), seen(200, 400), seen(50, 600, early=2.0), blind=seen(200, 650, likelier=0.7))


@dataclass(frozen=True)
class FittedLogitLensFeatures:
    """Mean (L,) and lower triangular whitening (L, L) of trusted trajectories."""

    mean: np.ndarray
    whitening: np.ndarray

    def score(self, seen: LensTrajectory) -> Scores:
        """Raises EvidenceError for another number of layers than the fitted one."""
        if seen.place != len(self.mean):
            raise EvidenceError(
                f"fitted on trajectories over {len(self.mean)} layers, cannot score {seen.place}. Read the same model."
            )
        return Scores(log_distance(self.mean, self.whitening, seen.rows), seen.ids, "LogitLensFeatures")
