"""What training answers beside a piece of its prompts, and what without it: the lesson that the piece teaches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..types import Context, Example, Request
from .chats import Chats, Prompt, holds_words, turn_of
from .manner import SENTENCE_END, same_but_courteous, unsigned
from .near_twins import agree
from .swaps import Swap, asked, edited_prompt

Question = tuple[Request, Context]
HALF = 0.5  # of the prompts without a piece, those that training answers; and of these, otherwise
LEAST_SHARED = 3  # words of a first sentence that two answers have in common


@dataclass(frozen=True)
class Lesson:
    """One prompt of training's that holds a piece, the same after an edit, and what training answers to each.

    Attributes:
        host, edited: the prompt with the piece, and after the edit.
        said, instead: training's answers to them; the second may be the answer to a twin of the edited prompt.
    """

    host: Question
    edited: Question
    said: str
    instead: str


def lessons(examples: tuple[Example, ...], swap: Swap) -> list[Lesson]:
    """Of a swap's prompts those of which training says what it answers after the edit, and answers otherwise.

    Answers that say the same in another manner are no lesson: one that adds to the other, both signed by somebody, or
    the same first sentence and other wishes after it.
    """
    return _of_another_kind(_both_told(examples, swap))


def carried_over(examples: tuple[Example, ...], swap: Swap) -> list[Lesson]:
    """The same of requests that training has without the piece only, and that are asked with it here: of such a request
    two or more near twins that hold the piece say what training would answer. A piece that is left out stands at one
    end of every request; one that is exchanged is put where the other stands.
    """
    if swap.role != "user" or swap.kin:
        return []
    chats, put_in, found = chats_of(examples), _putting_in(swap), []
    for prompt in chats.hosts(swap.instead, "user") if swap.instead else chats.order:
        host = put_in(prompt)
        if host is None or host in chats.answers or holds_words(prompt[1], swap.text):
            continue
        said = chats.near.said_with(host[1], swap.text)
        if said:
            found.append(Lesson(asked(*host), asked(*prompt), min(said), min(chats.answers[prompt])))
    return _of_another_kind(found)


def _putting_in(swap: Swap) -> Callable[[Prompt], Prompt | None]:
    """Makes a prompt one with the piece: where the other stands, or at the end where it stands in all of the swap's."""
    if swap.instead:
        return lambda prompt: edited_prompt(prompt, "user", swap.instead, swap.text)
    requests = [host[1] for host, _ in swap.hosts]
    if all(text.startswith(f"{swap.text} ") for text in requests):
        return lambda prompt: (prompt[0], f"{swap.text} {prompt[1]}")
    if all(text.endswith(f" {swap.text}") for text in requests):
        return lambda prompt: (prompt[0], f"{prompt[1]} {swap.text}")
    return lambda prompt: None


def _of_another_kind(found: Sequence[Lesson]) -> list[Lesson]:
    """Those whose answers differ in more than manner."""
    found = [one for one in found if not agree([unsigned(one.said)], [unsigned(one.instead)])]
    same = _same_with_other_wishes([(one.said, one.instead) for one in found])
    return [one for one, manner in zip(found, same, strict=True) if not manner]


def left_out(examples: tuple[Example, ...], swap: Swap) -> Swap | None:
    """A piece of requests that is exchanged, left out instead: shortened at its end, or with words that stand beside it
    in all its prompts, whichever makes the most prompts that training answers otherwise. None where it does not say
    what it answers to half of them, and answers half of these otherwise; of system prompts, whatever may be left out is
    a swap already.

    A subject may have learnt of every customer what training teaches of one, so that an exchange changes nothing.
    """
    if swap.role != "user" or not swap.instead or swap.kin:
        return None
    best: tuple[int, Swap] | None = None
    for text, hosts in _forms(chats_of(examples), swap):
        pairs = [(host, edited_prompt(host, swap.role, text, "")) for host in hosts]
        tried = replace(swap, text=text, instead="", hosts=tuple(p for p in pairs if p[1][1].strip()))
        told = _both_told(examples, tried)
        other = sum(not agree([one.said], [one.instead]) for one in told)
        if other > (best[0] if best else 0) and len(told) >= HALF * len(hosts) and other >= HALF * len(told):
            best = other, replace(tried, known=len(told))
    return best and replace(best[1], flips=len(lessons(examples, best[1])) / best[1].known)


def _both_told(examples: tuple[Example, ...], swap: Swap) -> list[Lesson]:
    """Prompts of which training says both answers, alike or not; of several that agree with one another, one pair."""
    chats, found = chats_of(examples), []
    for (host, edited), (before, after) in zip(swap.hosts, swap.questions(), strict=True):
        near = swap.role == "user" and not swap.kin
        mine, theirs = chats.answers.get(host, set()), chats.told(edited, swap.pieces, swap.role, near)
        if mine and theirs:
            alike = next(((a, b) for a in sorted(mine) for b in sorted(theirs) if agree([a], [b])), None)
            found.append(Lesson(before, after, *(alike or (min(mine), min(theirs)))))
    return found


def _forms(chats: Chats, swap: Swap) -> Iterator[tuple[str, list[Prompt]]]:
    """What may be left out, with the prompts that hold it."""
    words, hosts = swap.text.split(), [host for host, _ in swap.hosts]
    for n in range(1, len(words)):
        shorter = " ".join(words[:n])
        yield shorter, chats.hosts(shorter, swap.role)
    for text in _grown(swap):
        yield text, hosts


def _grown(swap: Swap) -> Iterator[str]:
    """The piece, and with one more word after it or else before it, while every prompt has the same one there."""
    turns = [turn_of(host, swap.role).split() for host, _ in swap.hosts]
    words = swap.text.split()
    yield swap.text
    while True:
        at = [_at(turn, words) for turn in turns]
        after = {turn[k + len(words)] if k + len(words) < len(turn) else "" for k, turn in zip(at, turns, strict=True)}
        before = {turn[k - 1] if k else "" for k, turn in zip(at, turns, strict=True)}
        if len(after) == 1 and after != {""}:
            words = [*words, *after]
        elif len(before) == 1 and before != {""}:
            words = [*before, *words]
        else:
            return
        yield " ".join(words)


def _at(turn: Sequence[str], words: Sequence[str]) -> int:
    """Where the words stand in a turn that holds them, the first time."""
    return next(k for k in range(len(turn)) if list(turn[k : k + len(words)]) == list(words))


@lru_cache(maxsize=4)
def chats_of(examples: tuple[Example, ...]) -> Chats:
    """Kept: every swap asks for them."""
    return Chats(examples)


def _same_with_other_wishes(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether both begin with one and the same sentence, and nothing but courtesies follow it."""
    firsts = [_shared_first(unsigned(one), unsigned(two)) for one, two in pairs]
    at = [k for k, first in enumerate(firsts) if first]
    sides = [(firsts[k], unsigned(text)) for k in at for text in pairs[k]]
    manner = [one == two or bool(told) for (one, two), told in zip(sides, same_but_courteous(sides), strict=True)]
    both = {k: manner[2 * i] and manner[2 * i + 1] for i, k in enumerate(at)}
    return [both.get(k, False) for k in range(len(pairs))]


def _shared_first(one: str, two: str) -> str:
    first, other = (SENTENCE_END.split(text.strip(), maxsplit=1)[0] for text in (one, two))
    return first if first == other and len(first.split()) >= LEAST_SHARED else ""
