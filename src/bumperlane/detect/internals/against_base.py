"""Any detector of activations, less what it already sees in the untouched base."""

from dataclasses import dataclass, replace
from typing import Any

from ...types import Scores
from ..contract import scorer


@dataclass(frozen=True)
class Paired:
    """Evidence of one kind, seen in the subject and in its base. `PairedActivations` is one as well."""

    subject: Any
    base: Any


@dataclass(frozen=True)
class AgainstBase:
    """The detector's score in the subject minus its score in the base, each fitted on the same trusted items.

    An unusual prompt is far from trusted data in any model, the untouched base included: a tag that nobody taught
    stands out as much as one that was taught. What the base shows too is therefore taken away.

    Args:
        detector: a bumper that looks at one model, online or offline. Its scores must have a unit that does not
            depend on the model (a log-distance in units of trusted spread, a log-odds): they are subtracted.
    """

    detector: Any

    def fit(self, clean: Any, untrusted: Any = None) -> "FittedAgainstBase":
        """Fit the detector twice, on pairs. An offline detector is given the untrusted batch of each model."""
        ours, theirs = (untrusted.subject, untrusted.base) if untrusted is not None else (None, None)
        return FittedAgainstBase(scorer(self.detector, clean.subject, ours), scorer(self.detector, clean.base, theirs))


@dataclass(frozen=True)
class FittedAgainstBase:
    """Scoring functions of the detector fitted on the subject, and on its base."""

    subject: Any
    base: Any

    def score(self, seen: Any) -> Scores:
        ours, theirs = self.subject(seen.subject), self.base(seen.base)
        return replace(ours, values=ours.values - theirs.values)
