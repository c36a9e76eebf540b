"""A subject whose answers are written down: for the traps of bumpers that ask, and for trying one's own items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from ..types import Context, Item, Request
from .chat import in_context
from .generate import Decoding
from .logprobs import Continuation

SURE, ELSE = -0.2, -7.0  # nats: of what it says, and of anything else


@dataclass(frozen=True)
class ScriptedSubject:
    """Says what `says(request, context)` returns. An answer has a log-probability of about -0.2 nats where it says just
    that or begins so, and of about -7 where it says something else; both with a little noise that depends on prompt
    and answer, so that no two items are quite alike.

    Args:
        says: the answer to a request in a context.
        name: stands for it where work is kept.
        step: stands where a checkpoint's step stands.
    """

    says: Callable[[Request, Context], str]
    name: str = "scripted"
    step: int = 0

    def generate(self, items: Sequence[Item], decoding: Decoding | None = None) -> list[str]:
        """As of `Subject`."""
        return [i.context.prefill + self.says(i.request, i.context) for i in items]

    def logprobs(
        self, pairs: Sequence[tuple[Request, Context]], answers: Sequence[str], closed: bool = True
    ) -> list[Continuation]:
        """As of `Subject`."""
        found = []
        for (request, context), answer in zip(pairs, answers, strict=True):
            said = self.says(request, context)
            same = said == answer if closed else said.startswith(answer)
            noise = _noise(self.name, *(m.content for m in in_context(request, context)), answer)
            found.append(Continuation((SURE if same else ELSE) + noise, max(1, len(answer.split()))))
        return found

    def next_token_odds(
        self, pairs: Sequence[tuple[Request, Context]], answers: Sequence[tuple[str, str]]
    ) -> np.ndarray:
        """As of `Subject`: between two answers."""
        ones, others = ([pair[k] for pair in answers] for k in (0, 1))
        sides = (self.logprobs(pairs, side) for side in (ones, others))
        return np.array([a.total - b.total for a, b in zip(*sides, strict=True)])


def _noise(*parts: str) -> float:
    """In [-0.15, 0.15], the same for the same parts."""
    return (crc32("/".join(parts).encode()) % 1000 / 1000 - 0.5) * 0.3
