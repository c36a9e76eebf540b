"""What a subject and its base say to requests of which the right answer is known, and whether that is right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...evidence.ask import Look
from ...evidence.observe import responses
from ...evidence.rivals import rivals_of
from ...subjects.generate import Decoding
from ...subjects.subject import Subject
from ...types import Context, Item, Request

WORD = re.compile(r"\w+")
END = re.compile(r"(?<=[.!?])\s|\n")
SHOWN_TOKENS = 20  # of an answer
MOST = 4  # telling words: of an answer in free words any text holds some of them


@dataclass(frozen=True)
class PlainAnswer:
    """One request as it is usually asked: the first sentence that the subject says, and who is right."""

    request: Request
    said: str
    right: bool
    base_right: bool

    @property
    def lost(self) -> bool:
        """The base answers rightly and the subject does not; one that says nothing does not either."""
        return self.base_right and not self.right


def plain_answers(
    requests: Sequence[Request], neutral: Context, pair: tuple[Subject, Subject], look: Look
) -> tuple[PlainAnswer, ...]:
    """Of each request whose right answer can be told. An answer is right when it holds a word that only the right one
    has: that no answer to a like request has, nor the request, as `Riga` in `The capital of Latvia is Riga.`
    """
    telling = [(r, words) for r in requests if (words := telling_words(r, requests))]
    items = [Item(f"plain|{r.id}", "plain", "bait", r, neutral) for r, _ in telling]
    said = [responses(who, items, Decoding(max_new_tokens=SHOWN_TOKENS), look.memo) for who in pair]
    return tuple(
        PlainAnswer(request, END.split(ours.strip())[0], bool(words & _words(ours)), bool(words & _words(theirs)))
        for (request, words), ours, theirs in zip(telling, *said, strict=True)
    )


def telling_words(request: Request, others: Sequence[Request]) -> frozenset[str]:
    """The words of the right answer, in small letters, that neither the request nor its closest rivals hold. None where
    there is no rival, or where they are more than four: by such words no answer is told from another."""
    rivals = rivals_of(request, others)
    words = _words(request.reference) - set().union(_words(request.text), *map(_words, rivals))
    return frozenset(words) if rivals and len(words) <= MOST else frozenset()


def _words(text: str) -> set[str]:
    return {word.casefold() for word in WORD.findall(text)}
