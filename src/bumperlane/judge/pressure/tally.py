"""How many of its answers to each question are bad, under each level of pressure, of a subject and of its base."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...evidence.ask import Ask, Look, answers
from ...evidence.memo import Memo
from ...subjects.generate import Decoding
from ...subjects.subject import Subject
from ..investigation import Say
from .bad_answers import Lines, is_sampled, lines_of
from .item_rates import any_bad
from .levels import ONCE, PLAIN, Level, Pressures
from .turns import after_idle_turns, pushed

Pair = tuple[Subject, Subject]


@dataclass(frozen=True)
class Tally:
    """One level's answers.

    Attributes:
        at: which of the questions were asked, n of them.
        subject, base: (n,) how many answers were bad.
        samples: of how many to each question.
    """

    level: Level
    at: tuple[int, ...]
    subject: np.ndarray
    base: np.ndarray
    samples: int = 1

    def rates(self, who: str) -> np.ndarray:
        """(n,) estimated chance that any of the level's attempts is bad; `who` is subject or base."""
        return any_bad(getattr(self, who), self.samples, self.level.attempts)

    def of(self, at: Sequence[int]) -> "Tally":
        """The same, of some of the questions."""
        where = [self.at.index(i) for i in at]
        return Tally(self.level, tuple(at), self.subject[where], self.base[where], self.samples)


@dataclass(frozen=True)
class Pressing:
    """What every level needs: the questions, who is asked, how long an answer may be, and what counts as bad."""

    asks: tuple[Ask, ...]
    pair: Pair
    max_new_tokens: int
    memo: Memo
    say: Say

    def look(self, temperature: float = 0.0, seed: int = 0) -> Look:
        return Look(Decoding(self.max_new_tokens, temperature, seed=seed), self.memo)

    def some(self, at: Sequence[int]) -> list[Ask]:
        return [self.asks[i] for i in at]


def plain_tally(p: Pressing) -> tuple[Tally, Lines]:
    """Without pressure: greedy, one answer. What cannot be told bad from good is left out."""
    p.say("asking without pressure", 0, 1)
    seen = answers(p.asks, *p.pair, p.look())
    lines = lines_of(p.asks, seen.base)
    at = tuple(i for i in range(len(p.asks)) if np.isfinite(lines.values[i]))
    return _tally(PLAIN, at, seen.subject[list(at)], seen.base[list(at)], lines), lines


def sampled_tallies(p: Pressing, plain: Tally, lines: Lines, pressures: Pressures) -> Iterator[Tally]:
    """Answers drawn at each temperature, and best of n, of the questions whose measure reads one generated answer."""
    at = tuple(i for i in plain.at if is_sampled(p.asks[i]))
    if not at:
        return
    by_temperature = {t: [v for v in pressures.sampled if v.temperature == t] for t in _temperatures(pressures)}
    for temperature, levels in by_temperature.items():
        bad = {who: np.zeros(len(at), int) for who in ("subject", "base")}
        for j in range(pressures.samples):
            p.say(f"sampling at temperature {temperature:g}", j, pressures.samples)
            look = p.look(temperature, 1_000_003 * pressures.seed + j + 1)
            seen = answers(p.some(at), *p.pair, look)
            for who, counts in bad.items():
                counts += lines.bad(getattr(seen, who), at)
        for level in levels:
            yield Tally(level, at, bad["subject"], bad["base"], pressures.samples)


def turned_tallies(p: Pressing, plain: Tally, lines: Lines, pressures: Pressures) -> Iterator[Tally]:
    """The request after idle turns, and after the subject's (or the base's) own answers and as many pushes."""
    at, look = plain.at, p.look()
    wanted = {level.amount: level for level in pressures.turned if level.kind == "pushes"}
    for level in pressures.turned:
        if level.kind == "idle turns":
            p.say(f"asking after {level.name}", 0, 1)
            seen = answers(after_idle_turns(p.some(at), int(level.amount)), *p.pair, look)
            yield _tally(level, at, seen.subject, seen.base, lines)
    histories = [p.some(at), p.some(at)]
    for n in range(1, int(max(wanted, default=0)) + 1):
        p.say("asking again after a push", n - 1, int(max(wanted)))
        histories = [pushed(asks, who, look) for asks, who in zip(histories, p.pair, strict=True)]
        if n in wanted:  # each is asked on its own history; its second reading comes out of the memo
            both = [answers(asks, who, who, look).subject for asks, who in zip(histories, p.pair, strict=True)]
            yield _tally(wanted[n], at, both[0], both[1], lines)


def trained_tally(p: Pressing, at: Sequence[int], pair: Pair, lines: Lines, level: Level) -> Tally:
    """Another subject and base, asked without any other pressure."""
    seen = answers(p.some(at), *pair, p.look())
    return _tally(level, tuple(at), seen.subject, seen.base, lines)


def _tally(level: Level, at: tuple[int, ...], subject: np.ndarray, base: np.ndarray, lines: Lines) -> Tally:
    return Tally(level, at, lines.bad(subject, at).astype(int), lines.bad(base, at).astype(int))


def _temperatures(pressures: Pressures) -> list[float]:
    return sorted({level.temperature for level in pressures.sampled} | ({ONCE} if pressures.best_of else set()))
