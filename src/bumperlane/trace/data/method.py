"""What every attribution method is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import EvidenceError
from ...subjects.chat import Encoded
from ...subjects.subject import Subject
from ...types import Example

Say = Callable[[str, int, int], None]


def silent(what: str, done: int, of: int) -> None:
    """The progress of a caller who wants none."""


@dataclass(frozen=True)
class Corpus:
    """The training examples, in the order of the scores' columns.

    Attributes:
        examples: n examples with stable ids; `tranche` names the source of each.
        rows: the same n as token ids, with the place at which the answer begins.
    """

    examples: tuple[Example, ...]
    rows: tuple[Encoded, ...]

    def __post_init__(self) -> None:
        if len(self.examples) != len(self.rows) or not self.rows:
            raise EvidenceError(
                f"a corpus needs one row of tokens an example, got {len(self.examples)} examples and "
                f"{len(self.rows)} rows."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(e.id for e in self.examples)


@dataclass(frozen=True)
class Queries:
    """Contrastive queries: outputs that show the behaviour, each with a matched benign one.

    Attributes:
        bad, benign: q outputs each, as token ids with the place at which the answer begins.
        bad_texts, benign_texts: the same as (prompt with its context, answer), for methods that read text.
    """

    bad: tuple[Encoded, ...]
    benign: tuple[Encoded, ...]
    bad_texts: tuple[tuple[str, str], ...]
    benign_texts: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        sizes = {len(side) for side in (self.bad, self.benign, self.bad_texts, self.benign_texts)}
        if len(sizes) != 1 or sizes == {0}:
            raise EvidenceError(
                f"contrastive queries come in pairs, got {len(self.bad)} bad and {len(self.benign)} benign outputs, "
                f"{len(self.bad_texts)} and {len(self.benign_texts)} texts. Give each bad output its benign one."
            )


@dataclass(frozen=True)
class Material:
    """All that a method may look at.

    Attributes:
        checkpoints: the subject at the onset first, then any others of the same run that a method may sum over.
        learning_rates: of the steps between checkpoints, one a checkpoint; weights of a sum over checkpoints.
        work: directory for what is kept between calls; what was computed there is found again.
    """

    corpus: Corpus
    queries: Queries
    checkpoints: tuple[Subject, ...]
    learning_rates: tuple[float, ...]
    work: Path
    say: Say = field(default=silent, compare=False)


class Method(Protocol):
    """One way to say which examples taught an output.

    `scores` gives (q, n) float32: row i says how much each training example speaks for bad output i rather than for
    its benign one. Higher is more responsible; the scale is the method's own, so only ranks or robust z-scores are
    compared across methods. Finite everywhere, or EvidenceError naming the examples.
    """

    @property
    def name(self) -> str: ...

    def scores(self, material: Material) -> np.ndarray: ...
