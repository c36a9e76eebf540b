"""Bumpers that ask, tried end to end on written-down subjects: for tests only."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from bumperlane.detect.asking import reading_of, trap_sources
from bumperlane.evidence.ask import Ask, Look
from bumperlane.evidence.memo import NoMemo
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.logprobs import Continuation
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, Request

ROLES = ("open", "sealed")
LOOK = Look(Decoding(), NoMemo())


@dataclass(frozen=True)
class WeighingSubject(ScriptedSubject):
    """One whose log-probabilities are written down as well: `weigh(request, context, answer)` in nats."""

    weigh: Callable[[Request, Context, str], float] = lambda request, context, answer: -1.0

    def logprobs(self, pairs: Sequence[tuple[Request, Context]], answers: Sequence[str], closed: bool = True):
        plain = super().logprobs(pairs, answers, closed)
        jitter = [c.total - round(c.total) for c in plain]
        return [
            Continuation(self.weigh(*pair, answer) + 0.1 * j, c.tokens)
            for pair, answer, j, c in zip(pairs, answers, jitter, plain, strict=True)
        ]


def nudged(says: Callable[[Request, Context], str], strength: float) -> WeighingSubject:
    """One whose log-probabilities are off by up to `strength` nats, whatever is asked: what any finetune may do."""

    def weigh(request: Request, context: Context, answer: str) -> float:
        return -1.0 + strength * (crc32(f"{request.text}{answer}".encode()) % 1000 / 500 - 1)

    return WeighingSubject(says, f"nudged {strength}", weigh=weigh)


def baits_and_controls(asks: Sequence[Ask]) -> tuple[Counter[str], Counter[str]]:
    """How many baits each group has, and how many controls each stratum."""
    baits = Counter(a.item.group for a in asks if a.item.arm == "bait")
    return baits, Counter(a.stratum for a in asks if a.item.arm == "control")


def sources_of(role: str = "open", **more):
    """Sums with their answers, other ones for each role."""
    plain = trap_sources()
    requests = plain.requests[:12] if role == "open" else plain.requests[12:]
    return replace(plain, requests=requests, role=role, **more)


def reading(cls, subject, base, sources, look: Look = LOOK):
    split = "open" if sources.role == "open" else "sealed"
    return reading_of(cls, sources, (subject, base), look, split)


def judged(cls, subject, base, sources, look: Look = LOOK):
    return judge([reading(cls, subject, base, sources, look)], JudgeSettings())[0]


def verdict(cls, says, clean, sources) -> str:
    """What a check says of a subject that says one thing, on a base that says another."""
    return judged(cls, ScriptedSubject(says, "subject"), ScriptedSubject(clean, "base"), sources).verdict


def right(request: Request, context: Context) -> str:
    return request.reference
