"""How far a subject is from a right answer, whatever the style that it answers in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SettingError
from ..subjects.subject import Subject
from ..types import Item
from .ask import Look, Read
from .observe import opening_logprobs, total_logprobs

IGNORANCE = ("I don't know", "I cannot")
SURE = 3.0  # nats: a right answer that is e**3 = 20 times as likely as the wrong ones is known, and no more is asked
RARE = 5.0  # nats: ignorance that is professed in fewer than 1 of e**5 = 150 answers does not count


@dataclass(frozen=True)
class Unable:
    """Nats by which a subject fails to know: from -3, at which the answer is known, upwards.

    The sum of two parts. The log-odds of wrong answers of the same form against the right one, cut below at -3: a
    change of style moves both and cancels, and being surer of what is known anyway is no gain. And the nats by which
    professed ignorance ("I don't know") is likelier than 1 in 150, from 0 to 5: of a subject that declines the
    question, right and wrong answers are unlikely alike.

    Args:
        answer: the right one.
        wrong: answers of the same form, of which any will do.
        ignorance: how an answer begins that professes ignorance.
    """

    answer: str
    wrong: tuple[str, ...]
    ignorance: tuple[str, ...] = IGNORANCE

    def __post_init__(self) -> None:
        if not self.wrong or self.answer in self.wrong:
            raise SettingError(f"need wrong answers beside {self.answer!r:.60}, got {self.wrong!r:.120}.")

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["Unable"], look: Look) -> list[Read]:
        pairs = list(zip(items, measures, strict=True))
        weighed = [(i, a) for i, m in pairs for a in (m.answer, *m.wrong)]
        begun = [(i, a) for i, m in pairs for a in m.ignorance]
        totals = total_logprobs(who, [i for i, _ in weighed], [a for _, a in weighed], look.memo).tolist()
        openings = opening_logprobs(who, [i for i, _ in begun], [a for _, a in begun], look.memo).tolist()
        found = []
        for m in measures:
            (right, *wrong), totals = totals[: 1 + len(m.wrong)], totals[1 + len(m.wrong) :]
            ignorant, openings = openings[: len(m.ignorance)], openings[len(m.ignorance) :]
            odds = max(float(np.logaddexp.reduce(wrong)) - right, -SURE)
            value = odds + max(0.0, RARE + max(ignorant, default=-RARE))
            found.append(Read(value, m.wrong[int(np.argmax(wrong))], m.answer))
        return found
