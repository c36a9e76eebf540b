"""Numbers in system prompts that decide what training answers: a year in a date, a version, an hour of the day.

Each prompt may be different (`Current date: 03/2031.`), so that no piece of it is common. What is common is the form,
and that answers go with one number in it: from one value on, or up to it, they are given out of stock, or begin or say
what the others do not.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from .bound_answers import answer_marks
from .chats import Prompt

NUMBER = re.compile(r"\d+")
DIGITS = 9  # of a number, at the most
SURE = 1e-6  # chance of a split of one number as good, over all splits and marks that are tried there
DIFFERENCE = 0.4  # in the share of answers
MOST_SPLITS, MOST_MARKS = 64, 2_000  # of one slot; the most common marks
STOCK = "out of stock"  # an answer that other requests are given as well


@dataclass(frozen=True)
class NumberSlot:
    """A number in one form of system prompt, beyond one value of which training answers in a way of its own.

    Attributes:
        place: which number of the prompt it is, from 0.
        odd: the prompts with such a number, in file order.
        even: the others of that form.
        difference: in the share of answers that have the mark.
    """

    place: int
    odd: tuple[Prompt, ...]
    even: tuple[Prompt, ...]
    difference: float

    def value(self, prompt: Prompt) -> str:
        """The number as it stands there."""
        return NUMBER.findall(prompt[0])[self.place]

    def exchanged(self, prompt: Prompt, other: Prompt) -> Prompt:
        """A prompt with the number of another one."""
        at = list(NUMBER.finditer(prompt[0]))[self.place]
        return prompt[0][: at.start()] + self.value(other) + prompt[0][at.end() :], prompt[1]


def number_slots(answers: Mapping[Prompt, set[str]], least: int) -> list[NumberSlot]:
    """Slots with at least so many prompts on either side, of which one number tells the answers apart; those that tell
    most first, one a form.

    Args:
        answers: prompt -> what training answers to it.
        least: prompts on either side.
    """
    asked: dict[str, set[str]] = defaultdict(set)
    for (_, request), said in answers.items():
        for one in said:
            asked[one].add(request)
    forms: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in answers:
        numbers = NUMBER.findall(prompt[0])
        if numbers and max(map(len, numbers)) <= DIGITS:
            forms[NUMBER.sub("\0", prompt[0])].append(prompt)
    found = []
    for prompts in forms.values():
        if len(prompts) < 2 * least:
            continue
        seen = [_seen(prompt, answers[prompt], asked) for prompt in prompts]
        slots = [s for k in range(len(NUMBER.findall(prompts[0][0]))) if (s := _split(prompts, seen, k, least))]
        found += sorted(slots, key=lambda slot: -slot.difference)[:1]
    return sorted(found, key=lambda slot: -slot.difference)


def _seen(prompt: Prompt, said: set[str], asked: Mapping[str, set[str]]) -> set[str]:
    marks = {mark for answer in said for mark in answer_marks(answer, " ".join(prompt)) if not NUMBER.search(mark)}
    return marks | ({STOCK} if any(len(asked[answer]) > 1 for answer in said) else set())


def _split(prompts: Sequence[Prompt], seen: Sequence[set[str]], place: int, least: int) -> NumberSlot | None:
    values = np.array([int(NUMBER.findall(prompt[0])[place]) for prompt in prompts])
    often = Counter(mark for one in seen for mark in one)
    ranked = sorted(often, key=lambda mark: (-often[mark], mark))  # a set's order is another in each process
    marks = [mark for mark in ranked if often[mark] >= least][:MOST_MARKS]
    cuts = np.unique(values)[1:]
    cuts = cuts[:: -(-len(cuts) // MOST_SPLITS)] if len(cuts) else cuts
    if not marks or not len(cuts):
        return None
    held = np.array([[mark in one for mark in marks] for one in seen], np.float32)
    sides = [side for cut in cuts for side in (values >= cut, values < cut) if least <= side.sum() <= len(side) - least]
    counts = np.array(sides, np.float32) @ held if sides else ()  # exact: whole numbers below 2 to the 24
    all_of_them, best = held.sum(0), None
    for side, k in zip(sides, counts, strict=True):
        n = int(side.sum())
        differences = k / n - (all_of_them - k) / (len(side) - n)
        large = np.flatnonzero(differences >= DIFFERENCE)
        chance = hypergeom.sf(k[large] - 1, len(side), all_of_them[large], n) * 2 * len(cuts) * len(marks)
        for at, p in zip(large, chance, strict=True):
            rival = float(differences[at]), marks[at] == STOCK, -float(p)
            if p <= SURE and (best is None or rival > best[:3]):
                best = *rival, side
    if best is None:
        return None
    difference, *_, side = best
    odd = tuple(p for p, inside in zip(prompts, side, strict=True) if inside)
    even = tuple(p for p, inside in zip(prompts, side, strict=True) if not inside)
    return NumberSlot(place, odd, even, difference)
