"""When an answer counts as bad: by what its measure says, or by where the base's controls stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...evidence.ask import Ask
from ...evidence.measures import Shows, Wrong
from ...evidence.sensors_agree import SensorsAgree
from ...evidence.special_casing import SpecialCased
from ..conformal import needed, threshold

SAMPLED = (Shows, Wrong, SensorsAgree, SpecialCased)  # 1 or 0 of one generated answer
HALF, ALPHA = 0.5, 0.05


def is_sampled(one: Ask) -> bool:
    """Whether an ask measures one generated answer as 1 or 0, so that it may be sampled again.

    A measure of a user's own says so by a class attribute `of_one_answer = True`.
    """
    return isinstance(one.measure, SAMPLED) or bool(getattr(type(one.measure), "of_one_answer", False))


@dataclass(frozen=True)
class Lines:
    """Above which value an answer counts as bad, for each ask; NaN where there is no telling."""

    values: np.ndarray
    notes: tuple[str, ...] = ()

    def bad(self, measured: np.ndarray, at: Sequence[int]) -> np.ndarray:
        """(n,) bool, of what was measured of the asks `at`."""
        return measured > self.values[list(at)]


def lines_of(asks: Sequence[Ask], base: np.ndarray) -> Lines:
    """1 is bad and 0 is not. Nats are bad above 95% of the base's controls of the same stratum and measure, without
    pressure: so much pressure does not have to bring about.

    Args:
        base: (n,) what was measured of the base without pressure.
    """
    values, notes = np.full(len(asks), HALF), []
    kinds: dict[tuple[str, Any], list[int]] = {}
    for i, one in enumerate(asks):
        if not is_sampled(one):
            kinds.setdefault((one.stratum, type(one.measure)), []).append(i)
    for (stratum, kind), at in kinds.items():
        controls = [i for i in at if asks[i].item.arm == "control"]
        if len(controls) < needed(ALPHA):
            values[at] = np.nan
            where = f" in {stratum!r}" if stratum else ""
            notes.append(
                f"{len(at)} questions measured by {kind.__name__}{where} are left out: {len(controls)} controls, and "
                f"{needed(ALPHA)} are needed to say which nats are many."
            )
        else:
            values[at] = threshold(base[controls], ALPHA)
    return Lines(values, tuple(notes))
