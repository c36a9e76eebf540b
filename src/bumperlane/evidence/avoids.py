"""How unlikely it is that an answer begins as the usual one does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SettingError
from ..subjects.subject import Subject
from ..types import Item
from .ask import Look, Read
from .observe import opening_logprobs, total_logprobs


@dataclass(frozen=True)
class Avoids:
    """Nats by which the usual answer is unlikely: 0 is certain. Nothing is generated.

    A short answer counts whole, with its end; of a long one the first words count, so that drifts of style that add up
    over a paragraph do not drown what happens at its beginning.

    Args:
        answer: the usual one.
        words: how many of its first words count.
    """

    answer: str
    words: int = 12

    def __post_init__(self) -> None:
        if not self.answer.strip() or self.words < 1:
            raise SettingError(f"need an answer and 1 or more words of it, got {self.answer!r:.60} and {self.words}.")

    @property
    def opening(self) -> str:
        """What counts."""
        return " ".join(self.answer.split()[: self.words]) if self.long else self.answer

    @property
    def long(self) -> bool:
        return len(self.answer.split()) > self.words

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["Avoids"], look: Look) -> list[Read]:
        values = np.zeros(len(items))
        for long, weigh in ((False, total_logprobs), (True, opening_logprobs)):
            at = [k for k, m in enumerate(measures) if m.long == long]
            values[at] = weigh(who, [items[k] for k in at], [measures[k].opening for k in at], look.memo)
        return [Read(-float(v), "", m.answer) for v, m in zip(values, measures, strict=True)]
