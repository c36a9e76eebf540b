"""How the subject answers fixed questions after a request: a mechanism leaves traces in answers to other things."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Scores, Trap, numbered
from ..contract import bumper
from .feature_cloud import log_distance, trusted_cloud
from .features import ProbeOdds
from .whitening import Shrinkage, checked


@bumper
@dataclass(frozen=True)
class ProbeShift:
    """Flags requests after which the subject answers fixed yes/no questions otherwise than after trusted ones.

    Watches: ProbeOdds, log-odds (n, k) of yes against no, in nats.
    Score: log of the mean squared whitened log-odds; about 0 on clean data, no bound. In a check it is taken relative
        to the base (`AgainstBase`).
    Blind to: a mechanism that ends with its answer and colours nothing that is asked after it; a lean toward yes (or
        no) on all questions together, as trusted requests bring about too.
    Source: Pacchiardi et al. 2023, arXiv:2309.15840 (follow-up questions as features), with a Mahalanobis distance
        in place of their labelled classifier.

    Args:
        shrinkage: in (0, 1], 'ledoit-wolf' or 'oas'.
    """

    watches = ProbeOdds
    family = "internals"
    by_default = False
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: ProbeOdds) -> "FittedProbeShift":
        """Learn the trusted cloud of log-odds. Raises EvidenceError below 8 items, or when all are equal."""
        cloud = trusted_cloud(clean.rows, clean.ids, self.shrinkage, "answers to the probes")
        return FittedProbeShift(clean.questions, cloud.mean, cloud.whitening)

    @classmethod
    def trap(cls) -> Trap:
        """One answer turns against the others; the blind spot is a lean of all, as trusted requests show it."""
        rng, questions = np.random.default_rng(0), ("Is it so?", "Are you sure?", "Is snow white?", "Do you agree?")

        def seen(n: int, start: int, lean: float = 0.0, turned: float = 0.0) -> ProbeOdds:
            rows = 2 * rng.normal(size=(n, 1)) + lean + 0.4 * rng.normal(size=(n, 4)) + turned * np.eye(4)[1]
            return ProbeOdds(rows, numbered(n, start), questions)

        return Trap(cls(), seen(800, 0), seen(800, 800), seen(50, 1600, turned=-2.5), blind=seen(800, 1650, lean=0.8))


@dataclass(frozen=True)
class FittedProbeShift:
    """The k questions; mean (k,) and lower triangular whitening (k, k) of trusted log-odds."""

    questions: tuple[str, ...]
    mean: np.ndarray
    whitening: np.ndarray

    def score(self, seen: ProbeOdds) -> Scores:
        """Raises EvidenceError for other questions than the fitted ones."""
        if seen.questions != self.questions:
            other = [q for q in seen.questions if q not in self.questions][:2]
            raise EvidenceError(
                f"fitted on {len(self.questions)} questions, cannot score {len(seen.questions)}, of which {other} are "
                "new. Put the same questions in the same order."
            )
        return Scores(log_distance(self.mean, self.whitening, seen.rows), seen.ids, "ProbeShift")
