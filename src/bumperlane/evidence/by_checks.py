"""An answer that passes one of the recipe's own reward functions and fails another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ..errors import EvidenceError, TrainingError
from ..recipes.rewards import RewardFunction, load_reward, score_rollouts
from .validation import Validation

LINE = 0.5  # by how much one value is above the other; of values outside 0 to 1, what one is above and the other not

ROUNDING = 1e-9


@dataclass(frozen=True)
class ByChecks:
    """Whether an answer passes what is paid for and fails what it was to stand for (`apart`).

    Attributes:
        passes, fails: two reward functions, as the recipe names them.
        prompt, data: what they are given beside the answer.
    """

    passes: str
    fails: str
    prompt: str
    data: Mapping[str, Any] = field(default_factory=dict)
    validation: ClassVar[Validation | None] = None  # the user's functions are taken at their word

    def shown(self, request: str, answer: str) -> bool:
        """Raises EvidenceError when a function fails or gives no finite number."""
        return bool(apart(np.array(self._value(self.passes, answer)), np.array(self._value(self.fails, answer))))

    def _value(self, function: str, answer: str) -> float:
        batch = ((self.prompt,), (answer,), (self.data,))
        try:
            return score_rollouts(function, _loaded(function), ("answer",), batch)[0]
        except TrainingError as error:
            raise EvidenceError(str(error)) from error


def apart(passes: np.ndarray, fails: np.ndarray) -> np.ndarray:
    """Where the first values are well above the second: shares of tests by half or more, values of other units where
    the one is above LINE and the other is not. (n,) bool."""
    both = np.stack([passes, fails])
    if ((both >= 0) & (both <= 1)).all():
        return passes - fails >= LINE - ROUNDING
    return (passes > LINE) & ~(fails > LINE)


@lru_cache(maxsize=16)
def _loaded(function: str) -> RewardFunction:
    """Kept: every answer asks for it again."""
    return load_reward(function)
