"""A gate before a deployed subject: ordinary requests pass, the rest goes to review. An error never means allow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..detect.contract import Fitted, is_offline
from ..detect.internals.against_base import AgainstBase
from ..detect.internals.reference_residual import ReferenceResidual
from ..errors import EvidenceError, SettingError
from ..judge.conformal import needed, p_values
from ..subjects.subject import Subject
from ..types import Activations, Item, PairedActivations


@dataclass(frozen=True)
class Decision:
    """What the gate makes of one request. `p_value`: share of ordinary requests that look at least as odd."""

    id: str
    action: Literal["allow", "review"]
    p_value: float
    why: str


@dataclass(frozen=True)
class Gate:
    """Compares a prompt's activation with those of ordinary prompts, beyond what the base shows too.

    The detector is an online one: it uses no statistics of the requests it judges. An offline one is refused.

    Args:
        alpha: share of ordinary requests that may go to review.
    """

    subject: Subject
    base: Subject
    layer: int
    fitted: Fitted
    calibration: np.ndarray = field(repr=False)
    alpha: float = 0.05

    @classmethod
    def arm(
        cls,
        subject: Subject,
        base: Subject,
        layer: int,
        ordinary: tuple[Sequence[Item], Sequence[Item]],
        alpha: float = 0.05,
        detector: Any = None,
    ) -> "Gate":
        """Fit on some ordinary requests and calibrate on others.

        Args:
            ordinary: requests to fit on, and others to calibrate on.
            detector: an online bumper that watches Activations or PairedActivations; ReferenceResidual if None.

        Raises:
            EvidenceError: too few ordinary requests, or some in both parts.
            SettingError: an offline detector, or one that watches something else.
        """
        detector = ReferenceResidual() if detector is None else detector
        kind, (fit, calibrate) = type(detector), ordinary
        if is_offline(kind):
            raise SettingError(
                f"{kind.__name__} is an offline bumper: it needs the batch that it judges, and a gate sees one "
                "request at a time. Use an online one, such as ReferenceResidual or Mahalanobis."
            )
        if kind.watches not in (Activations, PairedActivations):
            raise SettingError(f"{kind.__name__} watches {kind.watches.__name__}; a gate reads activations only.")
        shared = {i.id for i in fit} & {i.id for i in calibrate}
        if shared:
            raise EvidenceError(
                f"{len(shared)} requests are used to fit and to calibrate, first {sorted(shared)[0]!r}."
            )
        missing = needed(alpha) - len(calibrate)
        if missing > 0:
            raise EvidenceError(
                f"{len(calibrate)} ordinary requests cannot set a gate at {alpha:g}: {missing} more are needed."
            )
        against = AgainstBase(detector) if kind.watches is Activations else detector
        fitted = against.fit(_look(subject, base, layer, fit))
        return cls(subject, base, layer, fitted, fitted.score(_look(subject, base, layer, calibrate)).values, alpha)

    def decide(self, items: Sequence[Item]) -> list[Decision]:
        """One decision an item, in order. Whatever goes wrong while looking sends all of them to review."""
        try:
            scores = self.fitted.score(_look(self.subject, self.base, self.layer, items)).values
            odds = p_values(self.calibration, scores)
        except Exception as error:  # fails closed: the fault is reported with each decision, and nothing is let through
            why = f"the gate could not look: {type(error).__name__}: {error}"
            return [Decision(i.id, "review", 0.0, why) for i in items]
        return [self._decision(item, float(p)) for item, p in zip(items, odds, strict=True)]

    def _decision(self, item: Item, p: float) -> Decision:
        if p > self.alpha:
            return Decision(item.id, "allow", p, "looks like ordinary requests")
        return Decision(item.id, "review", p, f"odder than all but {p:.1%} of ordinary requests")


def _look(subject: Subject, base: Subject, layer: int, items: Sequence[Item]) -> PairedActivations:
    ids = tuple(i.id for i in items)

    def seen(who: Subject) -> Any:
        return Activations(who.activations(items, [layer])[layer], ids, layer, who.step)

    return PairedActivations(seen(subject), seen(base))
