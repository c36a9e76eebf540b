"""Bumpers that ask, tried end to end on written-down subjects: for tests only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bumperlane.detect.asking import reading_of, trap_sources
from bumperlane.evidence.ask import Look
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
