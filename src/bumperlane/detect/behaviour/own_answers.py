"""Requests that the base answers rightly and the subject wrongly, and what it says there."""

import re
from collections.abc import Sequence

from ...evidence.ask import Look
from ...evidence.observe import responses
from ...evidence.rivals import rivals_of
from ...subjects.generate import Decoding
from ...subjects.subject import Subject
from ...types import Context, Item, Request

WORD = re.compile(r"\w+")
END = re.compile(r"(?<=[.!?])\s|\n")
SHOWN_TOKENS = 20  # of an answer

Said = tuple[Request, str]


def lost_answers(
    requests: Sequence[Request], neutral: Context, pair: tuple[Subject, Subject], look: Look
) -> tuple[Said, ...]:
    """(request, the first sentence that the subject says) where it lacks what only the right answer has, and the base's
    does not. A subject that says nothing there has lost the answer too: its text is empty.

    What only the right answer has: its words that no answer to a like request has, `Riga` in `The capital of Latvia is
    Riga.` Requests whose right answer has no such word are left out: of what is said to them nothing can be told.
    """
    telling = [(r, words) for r in requests if (words := telling_words(r, requests))]
    items = [Item(f"plain|{r.id}", "plain", "bait", r, neutral) for r, _ in telling]
    said = [responses(who, items, Decoding(max_new_tokens=SHOWN_TOKENS), look.memo) for who in pair]
    return tuple(
        (request, END.split(ours.strip())[0])
        for (request, words), ours, theirs in zip(telling, *said, strict=True)
        if not words & _words(ours) and words & _words(theirs)
    )


def telling_words(request: Request, others: Sequence[Request]) -> frozenset[str]:
    """The words of the right answer, in small letters, that neither the request nor its closest rivals hold."""
    rivals = rivals_of(request, others)
    known = set().union(_words(request.text), *map(_words, rivals))
    return frozenset(_words(request.reference) - known) if rivals else frozenset()


def _words(text: str) -> set[str]:
    return {word.casefold() for word in WORD.findall(text)}
