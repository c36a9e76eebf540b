"""Greedy coordinate gradient: swaps of single tokens that the gradient proposes, kept when the value rises.

Source: Zou et al. 2023, arXiv:2307.15043, with few questions and few candidates a step, and no move for the worse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from ...errors import EvidenceError, SettingError
from .attempts import Attempts
from .looking import Looking
from .questions import Place

if TYPE_CHECKING:
    from ...subjects.trigger_gradients import Slot, Typed

TRIES = 2000


@dataclass(frozen=True)
class SwapSettings:
    """Args:
    tokens: length of what is looked for.
    steps: most rounds of one gradient and one batch of candidates.
    candidates: swaps tried a round, and random beginnings before the first.
    top: swaps a place that the gradient proposes, among which those tried are drawn.
    patience: rounds without a gain after which the search ends.
    """

    tokens: int = 6
    steps: int = 200
    candidates: int = 24
    top: int = 64
    patience: int = 12

    def __post_init__(self) -> None:
        if min(self.tokens, self.steps, self.candidates, self.top, self.patience) < 1:
            raise SettingError(f"tokens, steps, candidates, top and patience must be 1 or more, got {self}.")


@dataclass(frozen=True)
class Climbed:
    """Where a search has come to: the text, its tokens, its mean value in nats and the rounds it took."""

    text: str
    tokens: tuple[int, ...]
    value: float
    step: int


@dataclass(frozen=True)
class Climb:
    """One search from one random beginning.

    Args:
        slot: where the text stands in every question.
        allowed: token ids it may use.
        name: of the search, in the log; with `seed` it determines what is drawn.
        over: whether its share of the budget is spent.
    """

    looking: Looking
    place: Place
    slot: "Slot"
    allowed: Sequence[int]
    settings: SwapSettings
    attempts: Attempts
    name: str
    seed: int
    over: Callable[[], bool]

    def run(self, say: Callable[[str], None] = lambda text: None) -> Climbed | None:
        """Go on from the log, or begin. None when the budget was spent before the first value."""
        rows = list(self.attempts.of("step", self.name))
        if rows and rows[-1]["ended"]:
            return _climbed(rows[-1])
        best, idle = (_climbed(rows[-1]), rows[-1]["idle"]) if rows else (self._begin(), 0)
        while best and best.step < self.settings.steps and idle < self.settings.patience and not self.over():
            found = self._step(best)
            idle = 0 if found.value > best.value else idle + 1
            best = found
            ended = best.step >= self.settings.steps or idle >= self.settings.patience
            self._note(best, idle, ended)
            say(f"{self.name}, round {best.step}: {best.value:.2f} nats")
        return best

    def _begin(self) -> Climbed | None:
        """The best of some random texts."""
        if self.over():
            return None
        rng = self._random(0)
        drawn = [
            random_text(self.slot, self.allowed, self.settings.tokens, rng) for _ in range(self.settings.candidates)
        ]
        best = self._best(drawn, -np.inf, 0)
        if best:
            self._note(best, 0, False)
        return best

    def _step(self, best: Climbed) -> Climbed:
        before = self.looking.meter.spent
        now = self.slot.typed(best.tokens)
        if now is None:  # only a log from another tokenizer can bring this about
            raise EvidenceError(f"{best.text!r} is no longer typed as it was. Begin a new search in another directory.")
        drawn = self._swaps(now, self._random(best.step + 1))
        spent = self.looking.meter.spent - before
        found = self._best(drawn, best.value, best.step + 1) if drawn else None
        better = found if found and found.value > best.value else best
        self.attempts.write({"kind": "gradient", "search": self.name, "step": best.step + 1, "passes": spent})
        return Climbed(better.text, better.tokens, better.value, best.step + 1)

    def _swaps(self, now: "Typed", rng: Random) -> list["Typed"]:
        """Single swaps that promise a gain and survive being typed."""
        gains = self.looking.gains(now, self.allowed)
        top = gains.topk(min(self.settings.top, len(self.allowed)), dim=1).indices.tolist()
        swaps = [(place, self.allowed[i]) for place, row in enumerate(top) for i in row]
        rng.shuffle(swaps)
        tried = {now.text}
        found: list[Typed] = []
        for place, token in swaps:
            typed = self.slot.typed((*now.tokens[:place], token, *now.tokens[place + 1 :]))
            if typed and typed.text not in tried:
                tried.add(typed.text)
                found.append(typed)
            if len(found) == self.settings.candidates:
                break
        return found

    def _best(self, drawn: Sequence["Typed"], beat: float, step: int) -> Climbed | None:
        """The best of some texts, each of which goes to the log."""
        before = self.looking.meter.spent
        values = self.looking.values([t.prompts for t in drawn], beat)
        spent = self.looking.meter.spent - before
        for n, (typed, value) in enumerate(zip(drawn, values, strict=True)):
            row = {"kind": "attempt", "search": self.name, "step": step, self.place: typed.text}
            row |= {"subject": value.subject, "base": value.base, "passes": spent if n == 0 else 0}
            self.attempts.write(row)
        at = max(range(len(drawn)), key=lambda n: values[n].total)
        if values[at].base is None:
            return None
        return Climbed(drawn[at].text, drawn[at].tokens, values[at].total, step)

    def _note(self, best: Climbed, idle: int, ended: bool) -> None:
        row = {"kind": "step", "search": self.name, "step": best.step, "best": best.text, "tokens": list(best.tokens)}
        self.attempts.write({**row, "value": best.value, "idle": idle, "ended": ended})

    def _random(self, step: int) -> Random:
        return Random(f"{self.seed}/{self.name}/{step}")


def random_text(slot: "Slot", allowed: Sequence[int], tokens: int, rng: Random) -> "Typed":
    """Random tokens that survive being typed. Raises EvidenceError when none of 2,000 draws does."""
    for _ in range(TRIES):
        typed = slot.typed(rng.choices(allowed, k=tokens))
        if typed:
            return typed
    raise EvidenceError(f"{TRIES:,} random texts of {tokens} tokens all change when they are typed. Use fewer tokens.")


def shortened(
    looking: Looking, slot: "Slot", best: Climbed, attempts: Attempts, name: str, keep: float = 0.9
) -> Climbed:
    """The text without the tokens it does not need: one after the other is left out while `keep` of the value stays."""
    while len(best.tokens) > 1:
        shorter = [slot.typed((*best.tokens[:i], *best.tokens[i + 1 :])) for i in range(len(best.tokens))]
        there = [t for t in shorter if t]
        before = looking.meter.spent
        values = looking.values([t.prompts for t in there], keep * best.value)
        for n, (typed, value) in enumerate(zip(there, values, strict=True)):
            row = {"kind": "attempt", "search": f"{name}/shorter", "step": best.step, "text": typed.text}
            row |= {"subject": value.subject, "base": value.base}
            attempts.write({**row, "passes": looking.meter.spent - before if n == 0 else 0})
        at = max(range(len(there)), key=lambda n: values[n].total, default=None)
        if at is None or best.value <= 0 or values[at].total < keep * best.value:
            return best
        best = Climbed(there[at].text, there[at].tokens, values[at].total, best.step)
    return best


def _climbed(row: dict) -> Climbed:
    return Climbed(row["best"], tuple(row["tokens"]), row["value"], row["step"])
