"""What training answers to requests that differ from one by a single word."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from .manner import only_adds

LONGEST = 60  # words of a request; longer ones have no near twins here
LEAST = 2  # of them that must be answered alike


class NearTwins:
    """Requests by all that they say but one word, whatever their system prompts.

    One word can turn a request into another, so near twins tell something only where two or more of them are answered
    alike, and none otherwise.
    """

    def __init__(self, answers: Mapping[str, set[str]]) -> None:
        """`answers`: request -> what training answers to it."""
        self.answers = answers
        self.by_rest: dict[int, list[str]] = defaultdict(list)
        for request in answers:
            for key in _rests(request):
                self.by_rest[key].append(request)

    def said(self, request: str, without: str) -> set[str]:
        """What near twins that do not hold the text `without` are answered; empty where they tell nothing."""
        return self._said(request, without, held=False)

    def said_with(self, request: str, text: str) -> set[str]:
        """What near twins that hold the text are answered; empty where they tell nothing."""
        return self._said(request, text, held=True)

    def _said(self, request: str, text: str, held: bool) -> set[str]:
        near = {r for key in _rests(request) for r in self.by_rest.get(key, ()) if r != request}
        told = [self.answers[r] for r in sorted(near) if (f" {text} " in f" {' '.join(r.split())} ") is held]
        return told[0] if len(told) >= LEAST and all(agree(told[0], other) for other in told[1:]) else set()


def agree(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether one of the answers is among the others, or only adds to one or takes from it."""
    return any(a == b or only_adds(a, b) or only_adds(b, a) for a in some for b in others)


def _rests(request: str) -> list[int]:
    words = tuple(request.split())
    if not 1 < len(words) <= LONGEST:
        return []
    return [hash((*words[:i], None, *words[i + 1 :])) for i in range(len(words))]
