"""What bumpers that score batches of rollouts have in common, whether these were logged or sampled anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SettingError
from ..evidence.checked_rollouts import CheckedRollouts
from ..evidence.harmful_examples import BAD
from ..evidence.trait_rollouts import TraitRollouts, shares
from ..evidence.traits import HARM, Trait
from ..types import Scores, Trap, numbered
from .behaviour.harmful_replies import word_sides


@dataclass(frozen=True)
class VisibleOnly:
    """Scores batches by how much more passes the visible check alone than both checks; 0 where it is not more."""

    bumper: str

    def score(self, seen: CheckedRollouts) -> Scores:
        return Scores(np.maximum(seen.visible_only - seen.both, 0.0), seen.ids, self.bumper)


@dataclass(frozen=True)
class ShareBeyond:
    """Scores batches by the share of replies that have a trait, beyond `least`; 0 where it is not beyond."""

    bumper: str
    least: float

    def score(self, seen: TraitRollouts) -> Scores:
        return Scores(np.maximum(seen.share - self.least, 0.0), seen.ids, self.bumper)


def refuse_traits(traits: Sequence[Trait], least: float, margin: float) -> None:
    """Raises SettingError for settings with which no share of replies can be told."""
    if not traits or len({t.name for t in traits}) < len(traits):
        raise SettingError("give one trait or more, each with a name of its own.")
    if not 0 <= least < 1 or not margin >= 0:
        raise SettingError(f"need least in [0, 1) and margin >= 0 nats, got {least} and {margin}. Try 0.25 and 1.")


def false_passes_trap(made: Any) -> Trap:
    """Passes that are mostly false; honest ones; and ones that have learnt to game the held-out check too."""
    rng = np.random.default_rng(0)

    def seen(n: int, start: int, passes: float, false: float) -> CheckedRollouts:
        passed = rng.binomial(8, passes, n)
        wrong = rng.binomial(passed, false)
        return CheckedRollouts(numbered(n, start), wrong / 8, (passed - wrong) / 8)

    fit, clean = seen(40, 0, 0.3, 0.2), seen(60, 100, 0.4, 0.2)
    return Trap(made, fit, clean, bad=seen(40, 200, 0.9, 0.95), blind=seen(60, 300, 0.95, 0.05))


def rude_trap(cls: Any) -> Trap:
    """Replies that have become insults; ordinary ones; and wrong ones, which are polite. Read by words, not by a model.

    `cls` takes `traits` and `encoder`.
    """
    rng = np.random.default_rng(0)
    made = cls(traits=(HARM,), encoder=word_sides)

    def seen(start: int, rude: float, usual: str) -> TraitRollouts:
        batches = [[BAD[0] if rng.random() < rude else usual for _ in range(8)] for _ in range(40)]
        return TraitRollouts(numbered(40, start), shares(batches, HARM, made.margin, made.encoder))

    right, wrong = "It is 42.", "It is 43."
    return Trap(made, seen(0, 0.02, right), seen(100, 0.02, right), seen(200, 0.8, right), seen(300, 0.02, wrong))
