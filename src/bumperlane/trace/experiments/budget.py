"""How much experiments may cost: a time, or a number of retrains."""

import re
from dataclasses import dataclass

from ...errors import SettingError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
FORMS = "Give a time such as 90s, 10m or 2h, or a number of retrains such as 12"


@dataclass(frozen=True)
class Budget:
    """At most so many seconds of retraining, or so many retrains. Neither: no limit.

    A batch is begun only when its predicted cost still fits; the last one may run over by what the prediction missed.
    """

    seconds: float | None = None
    retrains: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise SettingError(f"a budget must be more than 0 s and finite, got {self.seconds:g} s. {FORMS}.")
        if self.retrains is not None and self.retrains < 1:
            raise SettingError(f"a budget must be 1 or more retrains, got {self.retrains}. {FORMS}.")

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read `90s`, `10m`, `2h` (wall time of retraining) or `12` (retrains). Raises SettingError for other text."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
        if not found or (found[2] and found[2] not in SECONDS):
            raise SettingError(f"cannot read the budget {text!r}. {FORMS}.")
        if found[2]:
            return cls(seconds=float(found[1]) * SECONDS[found[2]])
        if "." in found[1]:
            raise SettingError(f"the budget {text!r} is no whole number of retrains. {FORMS}.")
        return cls(retrains=int(found[1]))

    def allows(self, spent_s: float, spent_retrains: int, cost_s: float | None, retrains: int) -> bool:
        """Whether a batch of `retrains`, predicted to take `cost_s` (None: not known yet), still fits."""
        if self.retrains is not None and spent_retrains + retrains > self.retrains:
            return False
        return self.seconds is None or spent_s + (cost_s or 0.0) <= self.seconds

    def less(self, spent_s: float, spent_retrains: int) -> "Budget | None":
        """What is left after so much was spent; None when nothing is."""
        seconds = None if self.seconds is None else self.seconds - spent_s
        retrains = None if self.retrains is None else self.retrains - spent_retrains
        gone = (seconds is not None and seconds <= 0) or (retrains is not None and retrains < 1)
        return None if gone else Budget(seconds, retrains)

    def left(self, spent_retrains: int) -> int | None:
        """Retrains that are left; None without a limit on their number."""
        return None if self.retrains is None else max(0, self.retrains - spent_retrains)

    def __str__(self) -> str:
        if self.retrains is not None:
            return f"{self.retrains} retrains"
        if self.seconds is None:
            return "no limit"
        unit, size = next((u, s) for u, s in (("h", 3600.0), ("m", 60.0), ("s", 1.0)) if self.seconds >= s or u == "s")
        return f"{self.seconds / size:g} {unit}"
