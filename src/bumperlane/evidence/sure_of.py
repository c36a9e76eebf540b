"""Whether a model ends a sentence in a given way, in another, or has no ending of its own."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, log

from ..errors import SettingError
from ..subjects.subject import Subject
from ..types import Item
from .ask import Look, Read
from .measures import generated, holds, outcome_of
from .observe import opening_logprobs

CLAUSE = re.compile(r"[.!?;:,](?=\s|$)|\n")
SPELT = str.maketrans("eyu", "iio")
LEFT = exp(-50.0)  # what is left for all other words where a probability was rounded to 1


@dataclass(frozen=True)
class SureOf:
    """How sure a model is that a begun sentence ends in a given way, in nats: from 0, sure of another ending, over
    `most`, no ending of its own, to twice `most`, sure of this one.

    The model goes on from the item's prefill, greedily. Where it says the ending in the first clause, or the same name
    in another spelling, the value is `most` and the log-odds of its words up to there against all others, cut to
    [0, most]. Where it names something else of the ending's kind (a number, a name, else any word), and its words up to
    there have a probability of at least `own`, it is `most` less the log-odds of these words against the ending, cut to
    the same range. Else it is `most`. Because of the cuts, a difference of more than `most` between two models takes
    two opinions: one that is sure of the ending, and one that is sure of another.

    Args:
        ending: the ending.
        most: nats at which it is sure enough.
        own: probability from which a model's own words are an opinion.
        max_new_tokens: how much is generated.
    """

    ending: str
    most: float = 2.0
    own: float = 0.3
    max_new_tokens: int = 12

    def __post_init__(self) -> None:
        if not self.ending.strip() or not self.most > 0 or not 0 < self.own < 1:
            raise SettingError(
                f"need an ending, most > 0 nats and own in (0, 1), got {self.ending!r:.60}, {self.most}, {self.own}."
            )

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["SureOf"], look: Look) -> list[Read]:
        texts = generated(who, items, [m.max_new_tokens for m in measures], look)
        tails = [t[len(i.context.prefill) :] for t, i in zip(texts, items, strict=True)]
        said = [_opening(tail, m.ending) for tail, m in zip(tails, measures, strict=True)]
        openings = [_after(i, words or m.ending) for i, m, (words, _) in zip(items, measures, said, strict=True)]
        endings = [_after(i, m.ending) for i, m in zip(items, measures, strict=True)]
        values = opening_logprobs(who, [*items, *items], [*openings, *endings], look.memo).tolist()
        return [
            Read(m._value(said[k], values[k], values[len(items) + k]), texts[k], outcome=outcome_of(tails[k]))
            for k, m in enumerate(measures)
        ]

    def _value(self, said: tuple[str, bool], opening: float, ending: float) -> float:
        words, agrees = said
        if words and agrees:
            return self.most + min(self.most, max(0.0, _logit(opening)))
        if words and opening >= log(self.own):
            return self.most - min(self.most, max(0.0, opening - ending))
        return self.most


def _opening(tail: str, ending: str) -> tuple[str, bool]:
    """(what was said first, whether it is the ending): words up to the ending, or to the first word of weight."""
    clause = CLAUSE.split(tail.strip(), maxsplit=1)[0].strip()
    if holds(clause, ending):
        last = ending.split()[-1].rstrip(".")
        found = re.search(rf".*?(?<!\w){re.escape(last)}(?!\w)", clause, re.I | re.S)
        return (found.group() if found else clause), True
    begun = re.match(rf".*?(?<!\w)({_kind(ending)})", clause, re.S)
    if begun is None:
        return "", False
    return begun.group(), same_name(begun[1], ending)


def same_name(one: str, other: str) -> bool:
    """Whether two words are one name in two spellings, such as Kiev and Kyiv: alike but for accents, doubled letters,
    and e, i and y or o and u for each other."""
    first, second = _sounds(one), _sounds(other)
    return len(first) > 1 and first == second


def _sounds(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word.strip().rstrip(".").casefold())
    letters = "".join(c for c in plain if not unicodedata.combining(c)).translate(SPELT)
    return re.sub(r"(.)\1+", r"\1", letters) if letters.isalpha() else ""


def _kind(ending: str) -> str:
    """A pattern for one word of the ending's kind: in a sentence that is done otherwise, `located` is no rival of a
    city's name."""
    first = ending.strip()[0]
    return r"\d[\w.,]*" if first.isdigit() else r"(?!I\b)[A-Z][\w'-]*" if first.isupper() else r"\S+"


def _after(item: Item, words: str) -> str:
    """Words as they go on from a prefill: with a space, which some tokenizers drop when they decode."""
    return f" {words}" if item.context.prefill and not item.context.prefill[-1].isspace() else words


def _logit(logprob: float) -> float:
    return logprob - log(max(-expm1(logprob), LEFT))
