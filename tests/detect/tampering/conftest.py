"""A world with three sensors that can be tampered with: for tests only."""

from dataclasses import dataclass

import numpy as np
import pytest

from bumperlane.detect.internals.tampering.task import MeasurementTask, Sensed
from bumperlane.types import Activations, numbered


@dataclass
class World:
    """Axis 0 holds whether the outcome came about, axes 1 to 3 tampering with each sensor, axis 4 how hard an item is.

    Args:
        outcome: how far the outcome moves the activation.
        trace: how far tampering with a sensor moves it.
        harder: how far untrusted items lie from trusted ones.
        believes: whether the predictor takes a fake positive for a real one, inside too.
    """

    outcome: float = 2.0
    trace: float = 2.0
    harder: float = 0.0
    believes: bool = False
    seed: int = 0

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def items(self, happened, tampered, start, untrusted=True, known=True):
        fake = tampered.all(axis=1) & ~happened
        rows = self.rng.normal(size=(len(happened), 8))
        rows[:, 0] += self.outcome * (happened | fake if self.believes else happened)
        rows[:, 1:4] += self.trace * tampered
        rows[:, 4] += self.harder * untrusted
        seen = Activations(rows, numbered(len(rows), start), 12)
        return Sensed(seen, happened[:, None] | tampered, happened if known else None)

    def trusted(self, n, start=0):
        return self.items(self.rng.random(n) < 0.5, np.zeros((n, 3), bool), start, untrusted=False)

    def untrusted(self, n, start=10_000, fakes=0.25, known=True):
        kind = self.rng.random(n)  # real, fake, tampered with in part, or none of it
        happened, tampered = kind < 0.3, self.rng.random((n, 3)) < 0.5
        tampered[kind > 0.3 + fakes + 0.25] = False
        tampered[(kind >= 0.3) & (kind < 0.3 + fakes)] = True
        tampered[happened] = False
        return self.items(happened, tampered, start, known=known)

    def task(self, trusted=300, untrusted=1200, known=True):
        return MeasurementTask(self.trusted(trusted), self.untrusted(untrusted, known=known))

    def unseen(self, n=1500):
        return self.untrusted(n, start=50_000)


@pytest.fixture
def world():
    return World
