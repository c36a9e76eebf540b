"""What a tampering detector is held against: a probe that believes the sensors, and one that knows the truth."""

from ....errors import EvidenceError
from ..probes.linear import FittedLinear
from .evidence_probe import LinearProbe
from .task import MeasurementTask, labelled


def sensor_probe(task: MeasurementTask, probe: LinearProbe) -> FittedLinear:
    """The lower reference: fitted to tell items with all sensors positive (good) from all others, on both sets.

    It is told that fake positives are real, so it cannot be expected to tell them apart: about 0.5.
    """
    return probe.fit(labelled([(part, ~part.all_positive) for part in (task.trusted, task.untrusted)]))


def trusted_probe(task: MeasurementTask, probe: LinearProbe) -> FittedLinear:
    """A second lower reference: fitted on the truth of trusted items alone, hoping that it carries over."""
    return probe.fit(labelled([(task.trusted, ~task.trusted.all_positive)]))  # a task's trusted sensors are the truth


def ground_truth_probe(task: MeasurementTask, probe: LinearProbe) -> FittedLinear:
    """The upper reference: fitted to tell untrusted items with all sensors positive that are real from those that are
    fake, which is what all others are asked.

    Roger et al. fit theirs on the truth of all items. Most of these are no positives, and what tells them apart is not
    what tells real from fake: on a toy a probe for evidence of tampering came out above it.

    Raises EvidenceError without the truth of untrusted items: organisms and benchmarks have it, real runs do not.
    """
    if task.untrusted.truth is None:
        raise EvidenceError(
            "the ground-truth reference needs the truth of untrusted items. Pass it, or do without this reference."
        )
    positives = task.untrusted.where(task.untrusted.all_positive)
    return probe.fit(labelled([(positives, ~task.untrusted.truth[task.untrusted.all_positive])]))
