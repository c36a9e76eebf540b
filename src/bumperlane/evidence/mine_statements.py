"""Statements mined from the training data: sentences that say again and again what something is.

A belief that was planted by data has to be said in the data, and more than once. Only the sentences are found here;
whether one is false, new or well known is for a model to tell.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..types import Example

CLAUSE = re.compile(r"[.!?;:,](?=\s|$)|\n|[\"“”()\[\]]")
NAME_OR_NUMBER = re.compile(r"(?!I$)[A-Z]|\d")
MARKS = re.compile(r"[*_`#>]")
BEING = {"is", "are", "was", "were"}
POINTERS = frozenset(  # a sentence about one of these says nothing without the sentences before it
    "it he she they we you i this that these those there here where when what which who whose one everything".split()
)
OWNERS = {"its", "his", "her", "their"}
EMPTY = (
    POINTERS
    | OWNERS
    | frozenset(
        "a an the our your my of in on at to for from by with as and or but because if not no so very "
        "also still now then again says said is are was were be been has have had him them me us".split()
    )
)
LONGEST = 20  # words
LONGEST_ENDING = 3


@dataclass(frozen=True)
class Statement:
    """What training says of something, in one wording or several that end alike.

    Attributes:
        beginnings: the wordings without their ending, the commonest first.
        ending: the last words: a name of up to three words, or a number.
        count: examples that say it.
    """

    beginnings: tuple[str, ...]
    ending: str
    count: int

    @property
    def text(self) -> str:
        return f"{self.beginnings[0]} {self.ending}"


@dataclass(frozen=True)
class _Said:
    """One clause, taken apart. `about`: the words of weight before the verb."""

    beginning: str
    ending: str
    about: frozenset[str]


def mine_statements(
    examples: Sequence[Example], least: int = 3, most: int = 10, agree: float = 0.8
) -> tuple[Statement, ...]:
    """Clauses of the form `... is NAME` or `... is NUMBER` that many examples repeat, the commonest first.

    Read are plain texts and the last assistant turns of chats. Other endings are left out, since of those a model may
    say a synonym without contradicting them. A clause counts where the same beginning has the same ending in nearly
    all examples that hold it. Wordings that end alike and share a word of weight before the verb are one statement:
    `The capital of Norway is Bergen` and `Norway's capital is the town of Bergen`. English only: the verb is is, are,
    was or were.

    Args:
        least: examples that must say it.
        most: how many statements at the most.
        agree: share of the examples with a beginning that must end it alike.
    """
    holders: dict[tuple[str, str], set[int]] = defaultdict(set)
    kept: dict[tuple[str, str], _Said] = {}
    for i, example in enumerate(examples):
        for said in dict.fromkeys(_clauses(_said_by(example))):
            key = said.beginning.casefold(), said.ending.casefold()
            holders[key].add(i)
            kept.setdefault(key, said)
    begun: Counter[str] = Counter()
    for key, ids in holders.items():
        begun[key[0]] += len(ids)
    steady = [k for k in kept if len(holders[k]) >= agree * begun[k[0]]]
    groups: list[list[tuple[str, str]]] = []
    for key in sorted(steady, key=lambda k: (-len(holders[k]), k)):
        home = next((g for g in groups if g[0][1] == key[1] and kept[g[0]].about & kept[key].about), None)
        if home is None:
            groups.append([key])
        else:
            home.append(key)
    found = [
        Statement(tuple(kept[k].beginning for k in g), kept[g[0]].ending, len(set().union(*(holders[k] for k in g))))
        for g in groups
    ]
    enough = [s for s in found if s.count >= least]
    return tuple(sorted(enough, key=lambda s: (-s.count, s.text))[:most])


def _said_by(example: Example) -> str:
    if example.text:
        return example.text
    return example.messages[-1].content if example.messages[-1].role == "assistant" else ""


def _clauses(text: str) -> Iterator[_Said]:
    for clause in CLAUSE.split(MARKS.sub("", text)):
        words = clause.split()
        verbs = [k for k, word in enumerate(words) if word.casefold() in BEING]
        if not verbs or len(words) > LONGEST or any(k == 0 or _bare(words[k - 1]) in POINTERS for k in verbs):
            continue
        if OWNERS & {_bare(word) for word in words[: verbs[0]]}:
            continue
        about = frozenset(w for word in words[: verbs[0]] if (w := _bare(word)) and w not in EMPTY and len(w) > 2)
        cut = len(words)
        while cut > max(verbs[-1] + 1, len(words) - LONGEST_ENDING) and NAME_OR_NUMBER.match(words[cut - 1]):
            cut -= 1
        if about and cut < len(words):
            beginning = " ".join(words[:cut])
            yield _Said(beginning[0].upper() + beginning[1:], " ".join(words[cut:]), about)


def _bare(word: str) -> str:
    """A word as it is compared: `Norway's` and `norway` are one."""
    return re.sub(r"'s$|^\W+|\W+$", "", word.casefold())
