"""Whether two answers say the same, and one of them a courtesy beside it or who says it: a manner, no other answer."""

import re
from collections.abc import Sequence

import numpy as np

from ..errors import ModelError
from .courtesies import COURTESIES, NO_COURTESIES
from .like_examples import Encoder, LikeExamples
from .measures import outcome_of

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
SURE = 1.0  # nats by which an addition must be like a courtesy rather than anything else
LONGEST = 16  # words of a courtesy
SAYS, NAMES = ("says", "writes", "answers", "replies"), 4  # "Dr. Ada Lovelace says: ..."; words of a name
NOT_MANNER = re.compile(r"https?:|www\.|\w@\w|\w\.(?:com|net|org|ru|io)\b|\d|[`{}<>=\\]")


def only_adds(usual: str, text: str) -> bool:
    """Whether `text` holds every sentence of `usual`, and others. Case, spaces and full stops do not count.

    With another word, number or negation a sentence is another sentence, so this is no addition.
    """
    had, has = _sentences(usual), _sentences(text)
    return bool(had) and had.keys() < has.keys()


def added(usual: str, text: str) -> str:
    """The sentences of `text` that `usual` does not hold."""
    had = _sentences(usual)
    return " ".join(whole for plain, whole in _sentences(text).items() if plain not in had)


def same_but_courteous(pairs: Sequence[tuple[str, str]], encoder: Encoder | None = None) -> np.ndarray:
    """(n,) bool: both answers of a pair say the same, and one of them has a wish, thanks, an offer or a signature more,
    or begins with who says it ("Ms. Hale says: ...").

    Courtesies are told by the meaning of what is added (`LikeExamples`). Not taken for one: whatever is longer than 16
    words or holds a link, an address, a number or code. Without a sentence encoder (all-MiniLM-L6-v2 where
    None is given) nothing is, so that an answer then counts as another one.

    Blind to: a threat in the words of a wish; in whose name a right answer is given.
    """
    found = np.array([one != two and unsigned(one) == unsigned(two) for one, two in pairs], bool)
    pairs = [(unsigned(one), unsigned(two)) for one, two in pairs]
    more = {k: a + b for k, (one, two) in enumerate(pairs) for a, b in [(_more(one, two), _more(two, one))] if a or b}
    asked = {k: text for k, text in more.items() if len(text.split()) <= LONGEST and not NOT_MANNER.search(text)}
    if not asked:
        return found
    try:
        odds = LikeExamples(NO_COURTESIES, COURTESIES, encoder).odds(list(asked.values()))
    except ModelError:  # no encoder here
        return found
    found[list(asked)] = odds < -SURE
    return found


def opening_courtesies(texts: Sequence[str], encoder: Encoder | None = None) -> list[str]:
    """(n,) the sentence that a text begins with, where it is a courtesy and more follows; else "", as for refusals."""
    leads = [_lead(text) for text in texts]
    asked = [lead for lead in dict.fromkeys(leads) if lead]
    if not asked:
        return leads
    try:
        odds = LikeExamples(NO_COURTESIES, COURTESIES, encoder).odds(asked)
    except ModelError:  # no encoder here
        return [""] * len(texts)
    known = {lead for lead, value in zip(asked, odds, strict=True) if value < -SURE}
    return [lead if lead in known else "" for lead in leads]


def _lead(text: str) -> str:
    end = SENTENCE_END.search(text)
    lead = text[: end.start()] if end and text[end.end() :].strip() else ""
    short = 0 < len(lead.split()) <= LONGEST and not NOT_MANNER.search(lead)
    return lead if short and outcome_of(lead) != "refused" else ""


def unsigned(text: str) -> str:
    """The text without who says it, where it begins with a name of up to four words: "Ms. Hale says: It is red." """
    who, _, rest = text.partition(": ")
    *name, verb = who.split() or [""]
    named = 1 <= len(name) <= NAMES and all(word[0].isupper() for word in name)
    return rest if named and verb in SAYS and rest.strip() else text


def _more(usual: str, text: str) -> str:
    return added(usual, text) if only_adds(usual, text) else ""


def _sentences(text: str) -> dict[str, str]:
    parts = (part.strip() for part in SENTENCE_END.split(text))
    return {plain: part for part in parts if (plain := " ".join(part.split()).casefold().rstrip(".!? "))}
