"""Experiments rehearsed on a made-up truth: what a plan would cost and find, before anything is trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from ...errors import SettingError
from ...recipes.edits import DropExamples
from .designs import Condition, Layout, lay_out
from .hypotheses import Hypothesis
from .planner import Order, Outcome

Truth = Callable[[Mapping[str, float]], float]


@dataclass(frozen=True)
class Rehearsal:
    """A laboratory that trains nothing: each retrain draws a rate of its own around the truth.

    Args:
        truth: {suspect's name: share of it that is trained on} -> mean rate of the behaviour.
        rho: intra-class correlation of requests within a retrain: how much seeds differ.
        failing: share of retrains whose rate has nothing to do with what they were trained on: any rate is as likely.
        requests: that each retrain is measured on.
        seconds: a retrain takes.
    """

    layout: Layout
    truth: Truth
    seed: int = 0
    rho: float = 0.05
    failing: float = 0.0
    requests: int = 24
    jobs: int = 2
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.rho < 1 or not 0 <= self.failing <= 1:
            raise SettingError(f"rho must be in (0, 1) and failing in [0, 1], got {self.rho} and {self.failing}.")

    def cost_s(self, condition: Condition) -> float | None:
        return self.seconds

    def carry_out(self, orders: Sequence[Order]) -> list[Outcome]:
        """The same order always has the same outcome."""
        return [self._one(order) for order in orders]

    def _one(self, order: Order) -> Outcome:
        there = self.layout.present(order.condition)
        present = {h.name: float(p) for h, p in zip(self.layout.hypotheses, there, strict=True)}
        mean = min(max(self.truth(present), 1e-4), 1 - 1e-4)
        rng = np.random.default_rng(Random(f"{self.seed}/{order}").getrandbits(64))
        size = (1 - self.rho) / self.rho
        rate = rng.random() if rng.random() < self.failing else rng.beta(mean * size, (1 - mean) * size)
        return Outcome(int(rng.binomial(self.requests, rate)), self.requests, self.seconds, self.seconds)


def suspects_alone(weights: Mapping[str, float], size: int = 20, others: int = 3) -> Layout:
    """Suspects of `size` examples each that share none, among as many other examples and `others` sizes more."""
    ids = {name: tuple(f"{name}-{i}" for i in range(size)) for name in weights}
    made = [Hypothesis("tranche", n, (DropExamples(ids[n]),), ids[n], w) for n, w in weights.items()]
    rest = [f"other-{i}" for i in range((len(made) + others) * size)]
    return lay_out(made, [[id for mine in ids.values() for id in mine] + rest], lambda ids: 0)
