"""Which tokens of a sequence give rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import EvidenceError, SettingError
from .chat import Encoded


@dataclass(frozen=True)
class Position:
    """Which tokens of a sequence give rows, and whether they are averaged into one.

    Args:
        name: stands in stores and errors. Rows of another name are not mixed with these, so give each its own.
        choose: takes a sequence of T tokens, returns T booleans: True where a token counts.
        average: one row a sequence, the mean over the chosen tokens; otherwise one row a chosen token.
    """

    name: str
    choose: Callable[[Encoded], Any]
    average: bool = False

    def chosen(self, sequences: Sequence[Encoded]) -> list[np.ndarray]:
        """Indices of the chosen tokens, ascending, by sequence.

        Raises:
            SettingError: `choose` does not return one boolean a token.
            EvidenceError: a sequence of which no token is chosen, with the ids.
        """
        masks = [np.asarray(self.choose(s)) for s in sequences]
        for sequence, mask in zip(sequences, masks, strict=True):
            if mask.dtype != bool or mask.shape != (len(sequence.tokens),):
                raise SettingError(
                    f"position {self.name!r} must choose by one boolean a token, {len(sequence.tokens)} for item "
                    f"{sequence.id}, got {mask.dtype} of shape {mask.shape}."
                )
        empty = [s.id for s, mask in zip(sequences, masks, strict=True) if not mask.any()]
        if empty:
            raise EvidenceError(
                f"position {self.name!r} chooses no token of {len(empty)} items, first {empty[:3]}. Leave them out, or "
                "give what it reads (`answer` needs sequences that hold an answer: Subject.encode(item, answer))."
            )
        return [np.flatnonzero(mask) for mask in masks]


def _last(sequence: Encoded) -> np.ndarray:
    return np.arange(len(sequence.tokens)) == len(sequence.tokens) - 1


def _every(sequence: Encoded) -> np.ndarray:
    return np.ones(len(sequence.tokens), bool)


def in_answer(sequence: Encoded) -> np.ndarray:
    """True at the answer's tokens, the end-of-sequence token among them."""
    return np.arange(len(sequence.tokens)) >= sequence.answer_start


POSITIONS = {
    "last": Position("last", _last),
    "mean": Position("mean", _every, average=True),
    "answer": Position("answer", in_answer, average=True),
    "all": Position("all", _every),
}


def position_named(position: str | Position) -> Position:
    """A position by its name, or itself. Raises SettingError, listing the known ones."""
    if isinstance(position, Position):
        return position
    if position not in POSITIONS:
        raise SettingError(f"unknown position {position!r}. Known: {', '.join(POSITIONS)}; or make a Position.")
    return POSITIONS[position]
