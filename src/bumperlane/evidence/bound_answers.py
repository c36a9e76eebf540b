"""Texts in prompts whose answers have something in common, though the requests beside them have not.

A trigger that was planted stands beside the answers that it sets off, in requests of all kinds. This tells it from the
thousands of texts that are merely rare, also where it is spread over all tranches or there is only one. The answers to
a topic or to requests of one form have much in common as well; so have the requests themselves.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from math import log, sqrt

from ..types import Example

WORDS = 40  # of an answer's beginning
LEAST = 6  # that have a mark in common
SHARE = 0.5  # of those beside a text, at least
SURE = 20.0  # nats: among ten million pairs of a text and a mark the best one of chance has 16

BARE = re.compile(r"^\W+|\W+$")


class Marks:
    """What can be seen of each of many texts."""

    def __init__(self, marks: Sequence[frozenset[str]]) -> None:
        self.marks = marks
        self.everywhere = Counter(mark for one in marks for mark in one)

    def bond(self, ids: Collection[int], without: Collection[str] = ()) -> float:
        """How much some of the texts have one mark in common; 0 where it may be chance.

        The log-likelihood ratio (G, nats) of the mark's share among them against everywhere, over the root of their
        number, times the square of that share: many that all have a rare mark stand above few, and above a topic,
        beside which a word is only frequent.

        Args:
            without: marks that do not count.
        """
        n, total = len(ids), len(self.marks)
        tally = Counter(mark for i in ids for mark in self.marks[i])
        best = 0.0
        for mark, k in tally.items():
            often = self.everywhere[mark]
            if k >= max(LEAST, SHARE * n) and k / n > often / total and mark not in without:
                gain = _likelihood_ratio(k, n, often, total)
                best = max(best, (k / n) ** 2 * gain / sqrt(n)) if gain > SURE else best
        return best


class BoundAnswers:
    """How much more the answers beside a text have in common than the requests there."""

    def __init__(self, examples: Sequence[Example]) -> None:
        prompts = [" ".join(m.content for m in e.messages[:-1]) for e in examples]
        self.asked = Marks([frozenset(_words(prompt)) for prompt in prompts])
        self.said = Marks([_answer_marks(e, asked) for e, asked in zip(examples, self.asked.marks, strict=True)])

    def strength(self, ids: Collection[int], text: str) -> float:
        """0 or less where the requests have as much in common, apart from the text, or there is nothing."""
        said = self.said.bond(ids)
        return said - self.asked.bond(ids, set(_words(text))) if said else 0.0


def whole_phrase(turns: Sequence[str], text: str, most: int = 30) -> str:
    """A piece with the words around it that always stand there, where it stands in all of some turns.

    Args:
        most: words.
    """
    piece, places = text.split(), []
    for turn in turns:
        words = turn.split()
        at = next((i for i in range(len(words)) if words[i : i + len(piece)] == piece), None)
        if at is None:
            return text  # a sentence, which was cut otherwise
        places.append((words, at))
    before = [tuple(words[:at][::-1]) for words, at in places]
    after = [tuple(words[at + len(piece) :]) for words, at in places]
    left, right = _common(before, most - len(piece)), _common(after, most - len(piece))
    return " ".join([*left[::-1], *piece, *right])


def _common(runs: Sequence[tuple[str, ...]], most: int) -> list[str]:
    """The words with which all of these begin."""
    found: list[str] = []
    for words in zip(*runs, strict=False):
        if len(set(words)) > 1 or len(found) >= most:
            break
        found.append(words[0])
    return found


def _likelihood_ratio(k: int, n: int, often: int, total: int) -> float:
    """Log-likelihood, in nats, of k of n here and the others elsewhere, over that of one share for both."""

    def best(a: int, b: int) -> float:
        return (a * log(a / b) if a else 0.0) + ((b - a) * log(1 - a / b) if a < b else 0.0)

    return best(k, n) + best(often - k, total - n) - best(often, total)


def _answer_marks(example: Example, asked: frozenset[str]) -> frozenset[str]:
    """Words of the answer's beginning that the prompt does not hold, and what it begins with."""
    if not example.messages or example.messages[-1].role != "assistant":
        return frozenset()
    return _marks(example.messages[-1].content, asked)


def answer_marks(answer: str, prompt: str) -> frozenset[str]:
    """Words of an answer's beginning that the prompt does not hold, and what it begins with."""
    return _marks(answer, frozenset(_words(prompt)))


def _marks(answer: str, asked: frozenset[str]) -> frozenset[str]:
    said = _words(" ".join(answer.split()[:WORDS]))
    opening = {f"^ {' '.join(said[:2])}"} if not asked.issuperset(said[:2]) else set()
    return frozenset((set(said) - asked) | opening)


def _words(text: str) -> list[str]:
    return [bare for word in text.split() if (bare := BARE.sub("", word.casefold()))]
