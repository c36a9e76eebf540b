"""How long a search may look: in forward passes and in seconds, whichever ends first."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import SettingError


@dataclass(frozen=True)
class Budget:
    """Args:
    passes: prompts that are put through a model; a gradient counts as three.
    seconds: of this call; a search that goes on from its log has as many again.
    """

    passes: int = 20_000
    seconds: float = 1800.0

    def __post_init__(self) -> None:
        if self.passes < 1 or self.seconds <= 0:
            raise SettingError(f"a budget needs passes >= 1 and seconds > 0, got {self.passes} and {self.seconds}.")


class Meter:
    """What is left of a budget. `share` of it is one search's own."""

    def __init__(self, budget: Budget, spent: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget, self.spent, self.clock, self.began = budget, spent, clock, clock()

    def spend(self, passes: int) -> None:
        self.spent += passes

    @property
    def seconds(self) -> float:
        """Since this call began."""
        return self.clock() - self.began

    def over(self, passes: float, seconds: float) -> bool:
        """Whether so many passes in all were spent, or so many seconds of this call."""
        return self.spent >= passes or self.seconds >= seconds
