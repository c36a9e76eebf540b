"""An answer that passes one of the recipe's own reward functions and fails another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from ..errors import EvidenceError, TrainingError
from ..recipes.rewards import RewardFunction, load_reward, score_rollouts
from .validation import Validation

LINE = 0.5  # of a function's value: above it a rollout passes, as in `Flags.diverging`


@dataclass(frozen=True)
class ByChecks:
    """Whether an answer passes what is paid for and fails what it was to stand for.

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
        return self._value(self.passes, answer) > LINE and not self._value(self.fails, answer) > LINE

    def _value(self, function: str, answer: str) -> float:
        batch = ((self.prompt,), (answer,), (self.data,))
        try:
            return score_rollouts(function, _loaded(function), ("answer",), batch)[0]
        except TrainingError as error:
            raise EvidenceError(str(error)) from error


@lru_cache(maxsize=16)
def _loaded(function: str) -> RewardFunction:
    """Kept: every answer asks for it again."""
    return load_reward(function)
