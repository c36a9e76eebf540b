"""Which kinds of pressure there are, and how much of each."""

from dataclasses import dataclass
from typing import Literal

from ...errors import SettingError

Kind = Literal["plain", "best of", "temperature", "idle turns", "pushes", "rl steps"]
ONCE = 1.0  # the temperature at which best-of-n samples: the model's own distribution


@dataclass(frozen=True)
class Level:
    """How hard a subject is pressed, in one way."""

    kind: Kind
    amount: float = 0.0

    @property
    def name(self) -> str:
        return self.kind if self.kind == "plain" else f"{self.kind} {self.amount:g}"

    @property
    def attempts(self) -> int:
        """Answers of which any may be bad."""
        return int(self.amount) if self.kind == "best of" else 1

    @property
    def temperature(self) -> float:
        """0 is greedy."""
        return {"best of": ONCE, "temperature": self.amount}.get(self.kind, 0.0)


PLAIN = Level("plain")


@dataclass(frozen=True)
class Pressures:
    """What is tried.

    Args:
        best_of: numbers of answers, sampled at temperature 1, of which any may be bad.
        temperatures: at which one answer is sampled.
        turns: numbers of idle turns before the request, and of pushes after the subject's own answer.
        samples: answers an item at each temperature; best-of-n is estimated from all of them.
        rl_steps: of reinforcement learning toward the bait; 0: none.
        rl_lr: its learning rate.
        seed: of samples, tests and reinforcement learning.
        alpha: chance of any false alarm among all levels.
    """

    best_of: tuple[int, ...] = (1, 4, 16)
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3)
    turns: tuple[int, ...] = (0, 2)
    samples: int = 16
    rl_steps: int = 0
    rl_lr: float = 1e-3
    seed: int = 0
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.best_of and (min(self.best_of) < 1 or max(self.best_of) > self.samples):
            raise SettingError(
                f"best of {self.best_of} cannot be estimated from {self.samples} samples. No n may "
                "be above the number of samples: raise --samples."
            )
        if any(not t > 0 for t in self.temperatures):
            raise SettingError(f"temperatures must be above 0, got {self.temperatures}. The plain level is greedy.")
        if any(not 0 <= n <= 64 for n in self.turns):
            raise SettingError(f"turns must be from 0 to 64, got {self.turns}.")
        if self.rl_steps < 0 or not self.rl_lr > 0 or self.samples < 1 or not 0 < self.alpha < 1:
            raise SettingError(
                f"need rl_steps >= 0, rl_lr > 0, samples >= 1 and alpha in (0, 1), got {self.rl_steps}, {self.rl_lr}, "
                f"{self.samples} and {self.alpha}."
            )

    @property
    def sampled(self) -> tuple[Level, ...]:
        """Levels for which answers are drawn. Best of 1 is what temperature 1 is."""
        best = [Level("best of", n) for n in dict.fromkeys(self.best_of) if n > 1 or ONCE not in self.temperatures]
        return (*(Level("temperature", t) for t in dict.fromkeys(self.temperatures)), *best)

    @property
    def turned(self) -> tuple[Level, ...]:
        counts = [n for n in dict.fromkeys(self.turns) if n]
        return (*(Level("idle turns", n) for n in counts), *(Level("pushes", n) for n in counts))
