"""Whether an answer shows what the user described, as a measure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...evidence.ask import Look, Read
from ...evidence.described import Probe
from ...evidence.measures import generated, outcome_of
from ...subjects.subject import Subject
from ...types import Item


@dataclass(frozen=True)
class AsDescribed:
    """1 where the generated answer shows the behaviour in the way that the probe tells it, 0 where not.

    Args:
        probe: its request is what the answer is held against, which matters to a judge only.
    """

    probe: Probe
    of_one_answer = True

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["AsDescribed"], look: Look) -> list[Read]:
        texts = generated(who, items, [0] * len(items), look)
        return [
            Read(float(m.probe.shown_by(t)), t, outcome=outcome_of(t)) for m, t in zip(measures, texts, strict=True)
        ]  # fmt: skip
