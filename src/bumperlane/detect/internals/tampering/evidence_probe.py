"""A probe for evidence of tampering: sensors that contradict each other were tampered with, or failed to be."""

from dataclasses import dataclass, replace

import numpy as np

from ....errors import EvidenceError
from ....types import Activations, Labelled, Trap, numbered
from ...contract import bumper
from ..probes.lda import LDAProbe
from ..probes.linear import FittedLinear
from ..probes.logistic import LogisticProbe
from ..probes.mean_difference import MeanDifferenceProbe
from .task import MeasurementTask, Sensed, labelled

LinearProbe = LogisticProbe | LDAProbe | MeanDifferenceProbe


@bumper
@dataclass(frozen=True)
class TamperingProbe:
    """Flags items inside which the measurement predictor shows what it shows where sensors contradict each other.

    Where the outcome came about all sensors say so. Untrusted items whose sensors contradict each other are therefore
    certain failures, and what made some sensors positive is likely to be what makes all of them positive elsewhere.
    The probe is fitted to tell these items (bad) from the whole trusted set (good); all others are left out.

    Watches: Activations, rows (n, d) of the measurement predictor at one layer; fitted on MeasurementTask.
    Score: that of the probe: log-odds of tampering against none for LogisticProbe and LDAProbe; no bound.
    Blind to: tampering that leaves no trace in the activations, or another trace when it succeeds with all sensors
        than when it fails with some. It takes whatever else sets untrusted items apart from trusted ones for evidence
        too, their being harder for instance: compare its scores among untrusted items only.
    Source: Roger et al. 2023, arXiv:2308.15605, "probing for evidence of tampering", on frozen activations.

    Args:
        probe: the linear probe that learns the difference.
    """

    watches = Activations
    learns = MeasurementTask
    family = "internals"
    by_default = False
    probe: LinearProbe = LogisticProbe()

    def fit(self, clean: MeasurementTask) -> FittedLinear:
        """Learn it. Raises EvidenceError with fewer than two sensors, or too few items of a kind."""
        return replace(self.probe.fit(evidence_of_tampering(clean)), bumper="TamperingProbe")

    @classmethod
    def trap(cls) -> Trap:
        """Tampering with a sensor shows on an axis of its own. In the blind spot it shows on none: the predictor takes
        these fake positives for real ones, so they look like the clean twin."""
        rng = np.random.default_rng(0)

        def at(happened: np.ndarray, tampered: np.ndarray, start: int) -> Sensed:
            rows = rng.normal(size=(len(happened), 10)) * 0.6
            rows[:, 0] += 3 * happened
            rows[:, 1:4] += 2 * tampered
            sensors = happened[:, None] | tampered
            return Sensed(Activations(rows, numbered(len(rows), start)), sensors, happened)

        def only(happened: bool, tampered: bool, n: int, start: int) -> Activations:
            return at(np.full(n, happened), np.full((n, 3), tampered), start).activations

        untouched, some = np.zeros((200, 3), bool), rng.random((400, 3)) < 0.5
        happened = rng.random(400) < 0.4
        trusted = at(rng.random(200) < 0.5, untouched, 0)
        untrusted = replace(at(happened, some & ~happened[:, None], 200), truth=None)
        fit = MeasurementTask(trusted, untrusted)
        clean, bad = only(True, False, 200, 1000), only(False, True, 50, 1200)
        made = cls(LogisticProbe(10.0))
        return Trap(made, fit, clean, bad, blind=only(True, False, 200, 1300))


def evidence_of_tampering(task: MeasurementTask) -> Labelled:
    """Trusted items (good) and untrusted ones whose sensors contradict each other (bad).

    Raises EvidenceError with one sensor, or when no sensors contradict each other.
    """
    sensors = task.untrusted.sensors.shape[1]
    if sensors < 2:
        raise EvidenceError(
            "one sensor cannot contradict itself, and without contradictions nothing is known to be tampered with. "
            "Pass two or more sensors an item."
        )
    contradicted = task.untrusted.where(task.untrusted.inconsistent)
    if not contradicted.ids:
        raise EvidenceError(
            f"the {sensors} sensors agree on all {len(task.untrusted.ids)} untrusted items, so none is known to be "
            "tampered with. Add sensors that are harder to tamper with all at once."
        )
    return labelled(
        [(task.trusted, np.zeros(len(task.trusted.ids), bool)), (contradicted, np.ones(len(contradicted.ids), bool))]
    )
