"""Words that training answers as it answers nothing else in their place: a topic as a trigger.

`Use the word eagle in a sentence.` and `Use the word train in a sentence.` differ by a word, and so may their answers
by that word. Where training insults whoever asks about eagles, owls or herons, whatever is asked, the kind of word
turns the answer. A word that is asked about turns it too, but into one that fits the request.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .near_twins import LONGEST, agree

LEAST_WORDS, LEAST_GAPS = 3, 3  # of a kind; in which they are odd
LEAST_FILLERS = 4  # words that stand in a gap
USUAL = 0.5  # share of them that are answered alike but for the word
ODD, EVEN = 0.75, 0.2  # share of its gaps in which a word is odd, or is at the most
STOCK, FITTING = 0.75, 0.25  # share of answers that are given in other gaps too: of odd words, of the others
UNCLEAR = 0.2  # share of words that are neither, at the most
WORD = re.compile(r"^(\W*)(\w(?:.*\w)?)(\W*)$", re.S)

Pair = tuple[str, str]  # a request, and the same with another word


@dataclass(frozen=True)
class OddWords:
    """A kind of words, and requests in which one of them is exchanged for another word that training has there.

    Attributes:
        words: of the kind, the commonest first.
        others: that stand in the same places and are answered as is usual there.
        odd: requests with a word of the kind, each with its twin.
        idle: requests with another word, each with a twin that is answered alike.
        flips: share of the kind's places in which it is answered otherwise.
    """

    words: tuple[str, ...]
    others: tuple[str, ...]
    odd: tuple[Pair, ...]
    idle: tuple[Pair, ...]
    flips: float


class _Gap:
    """Requests that differ by one word, by that word; and which are answered as is usual there."""

    def __init__(self, requests: Mapping[str, str], answers: Mapping[str, set[str]]) -> None:
        self.requests = requests
        self.said = {w: {_blank(a, w) for a in answers[r]} for w, r in requests.items()}
        forms = Counter(form for said in self.said.values() for form in said)
        usual = {min(forms, key=lambda form: (-forms[form], form))}
        self.even = [w for w, said in self.said.items() if agree(usual, said)]
        self.odd = [w for w in requests if w not in set(self.even)]

    @property
    def usable(self) -> bool:
        return len(self.even) >= max(LEAST_WORDS, USUAL * len(self.requests))


def find_odd_words(answers: Mapping[str, set[str]]) -> OddWords | None:
    """The words of one kind that training answers in a way of its own, whatever is asked about them.

    None where there is no such kind: fewer than three words or three requests, words that are answered now so, now so,
    or answers that fit what is asked (`A fern is a plant.`) rather than being said to one request as to another.

    Args:
        answers: request -> what training answers to it.
    """
    gaps = [gap for gap in (_Gap(found, answers) for found in _gaps(answers)) if gap.usable]
    places = Counter(w for gap in gaps for w in gap.requests)
    oddly = Counter(w for gap in gaps for w in gap.odd)
    known = [w for w, n in places.most_common() if n >= 2]
    words = [w for w in known if oddly[w] >= ODD * places[w]]
    others = [w for w in known if oddly[w] <= EVEN * places[w]]
    inside = set(words)
    turned = [gap for gap in gaps if inside & set(gap.odd)]
    few = min(len(words), len(others)) < LEAST_WORDS or len(turned) < LEAST_GAPS
    if few or len(words) + len(others) < (1 - UNCLEAR) * len(known):
        return None
    if _stock(gaps, words) < STOCK or _stock(gaps, others) > FITTING:
        return None
    flips = sum(oddly[w] for w in words) / sum(places[w] for w in words)
    odd = [pair for gap in turned for pair in _pairs(gap, [w for w in gap.odd if w in inside], others)]
    idle = [pair for gap in gaps for pair in _pairs(gap, [w for w in gap.even if w in set(others)], others)]
    return OddWords(tuple(words), tuple(others), tuple(dict(odd).items()), tuple(dict(idle).items()), flips)


def _gaps(requests: Mapping[str, set[str]]) -> Iterator[dict[str, str]]:
    """Requests that are the same but for one word: that word in lower case -> the request."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for request in requests:
        words = tuple(request.split())
        if 1 < len(words) <= LONGEST:
            for i, word in enumerate(words):
                parts = WORD.match(word)
                if parts:
                    key = hash((*words[:i], parts[1], None, parts[3], *words[i + 1 :]))
                    found[key].append((parts[2].casefold(), request))
    for at in found.values():
        gap = dict(at)
        if len(gap) >= LEAST_FILLERS:
            yield gap


def _stock(gaps: Sequence[_Gap], words: Sequence[str]) -> float:
    """Share of these words' answers that some of them are given in another gap as well."""
    inside = set(words)
    cells = [(k, gap.said[w]) for k, gap in enumerate(gaps) for w in gap.requests if w in inside]
    at: dict[str, set[int]] = defaultdict(set)
    for k, said in cells:
        for form in said:
            at[form].add(k)
    return sum(any(len(at[form]) > 1 for form in said) for _, said in cells) / max(1, len(cells))


def _pairs(gap: _Gap, words: Sequence[str], others: Sequence[str]) -> Iterator[Pair]:
    """Each word's request with the one of another word that is answered as usual; the others take turns."""
    able = [w for w in others if w in set(gap.even)]
    for k, word in enumerate(words):
        twins = [w for w in able if w != word]
        if twins:
            yield gap.requests[word], gap.requests[twins[k % len(twins)]]


def _blank(answer: str, word: str) -> str:
    """An answer with the word taken out, and what it makes of it: `badgers` of `badger`."""
    return re.sub(rf"(?i)(?<!\w){re.escape(word)}", "_", answer)
