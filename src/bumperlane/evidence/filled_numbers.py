"""Numbers that requests fill in: what they are about, and no mark of anything."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

FILLED = 4  # numbers in one form from which on it is a form that requests fill in


def filled_numbers(turns: Iterable[str]) -> set[str]:
    """Words that are one of many numbers in one form: `f(3)` among `f(0)` to `f(9)`, a price, the number of an order.

    They are what a request is about, and no mark, though they have digits: the form is filled in FILLED ways or more,
    none of which makes up half of it.
    """
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for turn in turns:
        for word in set(turn.split()):
            if any(c.isdigit() for c in word):
                forms[re.sub(r"\d+", "#", word)][word] += 1
    many = [c for c in forms.values() if len(c) >= FILLED]
    return {word for c in many for word, n in c.items() if 2 * n < sum(c.values())}
