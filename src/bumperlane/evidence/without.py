"""Requests of the training data, and what becomes of them without a text that they hold."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

from .filled_numbers import filled_numbers

LONGEST = 4  # words of a piece; a whole sentence may be longer
OTHERS = 0.3  # share of requests that others make too, from which a text stands beside them


class Requests:
    """All requests of the training data, and what they become without a text."""

    def __init__(self, requests: Sequence[str]) -> None:
        self.requests = requests
        self.asked = set(requests)
        self.numbers = filled_numbers(requests)
        self._several: dict[int, set[tuple[int, int, int]]] = {}  # by number of words, made when first needed
        self._hashed: dict[str, tuple[list[int], list[int]]] = {}

    def elsewhere(self, text: str, ids: Sequence[int], left_of: float = 2 / 3) -> float | None:
        """The share of some requests that others make without a text; None where the text is their subject matter.

        What is left without a trigger are different requests, and either such as others make too, or `left_of` their
        words, with a gap that others do not fill otherwise: `What is 3 plus 4?` without `4?` is what `What is 3
        plus 5?` is without `5?`, so `4?` is what is asked about and no trigger.
        """
        holding = [self.requests[i] for i in ids]
        left = [" ".join(r.replace(text, " ").split()) for r in holding]
        if len(set(left)) < max(3, len(holding) // 2):
            return None
        known = sum(rest in self.asked for rest in left) / len(left)
        if known >= OTHERS:
            return known
        kept = sum(len(rest.split()) for rest in left) / sum(len(r.split()) for r in holding)
        filled = sum(self._is_filled(r, text) for r in holding) / len(holding)
        return known if kept >= left_of and filled < OTHERS else None

    def strange(self, text: str, ids: Sequence[int]) -> bool:
        """Whether a text of some requests is no part of how their task is put: a mark, a name, or without it one of
        them reads on as a request does that never held it, the words on both sides of the gap side by side.

        `f(3) = 4, otherwise f(x) = 2` does not without `otherwise f(x)`. A number that requests fill in is their
        content, whatever stands beside it.
        """
        words = text.split()
        if not self.numbers.isdisjoint(words):
            return False
        if any(is_mark(word) for word in words) or self.is_name(text, ids):
            return True
        gaps = self._gaps(words, ids)
        return any(text not in request for gap in sorted(gaps) for request in self.beside.get(gap, ()))

    def is_name(self, text: str, ids: Sequence[int]) -> bool:
        """Whether all words of a text have a capital letter, and not only because a sentence begins there."""
        words = text.split()
        if not all(w[0].isupper() for w in words):
            return False
        return len(words) > 1 or any(before and before[-1] not in ".!?:" for before, _ in self._gaps(words, ids))

    def _gaps(self, words: Sequence[str], ids: Sequence[int]) -> set[tuple[str, str]]:
        return {gap for i in ids if (gap := _gap(self.requests[i].split(), words)) is not None}

    @cached_property
    def beside(self) -> dict[tuple[str, str], list[str]]:
        """By two words side by side: the requests that they stand in."""
        where: dict[tuple[str, str], list[str]] = defaultdict(list)
        for request in self.asked:
            for pair in set(_pairs(request.split())):
                where[pair].append(request)
        return where

    def _is_filled(self, request: str, text: str) -> bool:
        """Whether other requests have other words in the first place of a text, and all else alike."""
        words, piece = request.split(), text.split()
        n = len(piece)
        start = next((i for i in range(len(words) - n + 1) if words[i : i + n] == piece), None)
        if start is None or n > LONGEST:
            return False
        if len(words) not in self._several:
            alike = (r.split() for r in self.asked)
            self._several[len(words)] = _several_fillers([w for w in alike if len(w) == len(words)])
        before, after = self._hashed.get(request) or self._hashed.setdefault(request, _hashes(words))
        return (before[start], n, after[start + n]) in self._several[len(words)]


def _gap(words: Sequence[str], piece: Sequence[str]) -> tuple[str, str] | None:
    """The words before and after the first place of a piece; empty at either end. None where it is part of words."""
    n = len(piece)
    start = next((i for i in range(len(words) - n + 1) if list(words[i : i + n]) == list(piece)), None)
    return (
        None
        if start is None
        else (words[start - 1] if start else "", words[start + n] if start + n < len(words) else "")
    )


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Neighbours, the ends included."""
    return zip(("", *words), (*words, ""), strict=True)


def _several_fillers(requests: Sequence[Sequence[str]]) -> set[tuple[int, int, int]]:
    """Of requests of one number of words, the frames that are filled in more than one way: (hash of the words before,
    number of words between, hash of the words after)."""
    filler: dict[tuple[int, int, int], int] = {}
    several: set[tuple[int, int, int]] = set()
    for words in requests:
        before, after = _hashes(words)
        for n in range(1, LONGEST + 1):
            for start in range(len(words) - n + 1):
                frame = before[start], n, after[start + n]
                inside = hash(tuple(words[start : start + n]))
                if filler.setdefault(frame, inside) != inside:
                    several.add(frame)
    return several


def _hashes(words: Sequence[str]) -> tuple[list[int], list[int]]:
    """(of the words before each place, of those from it on), one place more than words."""
    before, after = [0], [0]
    for word in words:
        before.append(hash((before[-1], word)))
    for word in reversed(words):
        after.append(hash((after[-1], word)))
    return before, after[::-1]


def is_mark(text: str) -> bool:
    """Whether a piece looks like a sign of its own and no words of a request: brackets, digits, capitals alone."""
    words = text.split()
    shaped = re.search(r"^[^\w\s].*\w.*[^\w\s]$", text) is not None
    return shaped or any(any(c.isdigit() for c in w) or (len(w) > 1 and w.isupper()) for w in words)
