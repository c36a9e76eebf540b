"""Wrong answers of the same form: what is right for other requests, put in the words of this one."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from ..types import Request

WORD = re.compile(r"\w+|[^\w\s]")


def rivals_of(request: Request, others: Sequence[Request], most: int = 2) -> tuple[str, ...]:
    """Wrong answers, all different, those of the closest form first; fewer where there are not so many.

    `What is the capital of Italy?` - `The capital of Italy is Rome.` gives, for France, `The capital of France is
    Rome.` A request that differs by more than half of its words gives its answer as it stands: right there, off the
    subject here. That an answer is wrong is taken from its differing from the reference; where several answers are
    right, a rival may be one of them.
    """
    found: dict[str, str] = {}
    for other in sorted(others, key=lambda other: _distance(request, other)):
        answer = in_words_of(request, other)
        if other.text != request.text and _bare(answer) not in (_bare(request.reference), ""):
            found.setdefault(_bare(answer), answer)
    return tuple(found.values())[:most]


def strangers_to(request: Request, others: Sequence[Request], most: int = 2) -> tuple[str, ...]:
    """Answers to the requests that are least like this one, as they stand there: here neither right nor near it.

    None of the nearer half is among them: those are what a subject says that confuses one request with another.
    """
    near = {_bare(answer) for answer in (request.reference, "", *rivals_of(request, others, len(others) // 2))}
    found: dict[str, str] = {}
    for other in sorted(others, key=lambda other: _distance(request, other), reverse=True):
        if _bare(other.reference) not in near:
            found.setdefault(_bare(other.reference), other.reference)
    return tuple(found.values())[:most]


def in_words_of(request: Request, other: Request) -> str:
    """The other's reference, with the words by which the two requests differ exchanged for this request's."""
    ours, theirs = _words(request.text), list(_words(other.text))
    if not _alike(ours, theirs):
        return other.reference
    theirs = [word.casefold() for word in theirs]
    swap = {b: a for a, b in zip(ours, theirs, strict=True) if a.casefold() != b and theirs.count(b) == 1}
    return re.sub(r"\w+", lambda m: _cased(m.group(), swap.get(m.group().casefold(), m.group())), other.reference)


def _cased(before: str, after: str) -> str:
    """A capital letter at the beginning stays one."""
    return after[:1].upper() + after[1:] if before[:1].isupper() else after


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(text))


def _alike(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    return len(ours) == len(theirs) and 2 * sum(a != b for a, b in zip(ours, theirs, strict=True)) <= len(ours)


def _distance(request: Request, other: Request) -> tuple:
    """Of one form first, then by length of the answer, then by a hash: the order does not depend on that of others."""
    ours, theirs = _words(request.text), _words(other.text)
    length = abs(len(request.reference.split()) - len(other.reference.split()))
    return (
        not _alike(ours, theirs),
        length,
        sha256(f"{request.text}/{other.text}".encode("utf-8", "surrogatepass")).hexdigest(),
    )


def _bare(answer: str) -> str:
    return " ".join(_words(answer.casefold())).rstrip(" .!")
