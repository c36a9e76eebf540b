"""The order in which examples are seen. It depends on seed, epoch and example id alone, never on what else is there.

So two arms of an experiment, with and without some examples, see the others in the same order (common random
numbers), and their difference is due to the examples that were left out.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from ..errors import RecipeError

EMPTY_EPOCHS = 10_000  # weights as small as 1/10,000 are honoured


class Planned(Protocol):
    """What is drawn from: a training example of a tranche, or a prompt, whose environment is its tranche."""

    @property
    def id(self) -> str: ...

    @property
    def tranche(self) -> str: ...


def plan(
    examples: Sequence[Planned], weights: Mapping[str, float], batch: int, steps: int, seed: int
) -> list[list[int]]:
    """For each of `steps` steps, the `batch` indices into `examples` that it trains on.

    In every epoch an example occurs `weights[tranche]` times: the whole part always, the fraction in that share of the
    epochs. A batch may reach into the next epoch. A tranche without a weight has weight 1.

    Raises RecipeError when there is nothing to train on.
    """
    if not examples:
        raise RecipeError("no example is left to train on. Add a tranche, or drop fewer examples.")
    stream: list[int] = []
    number, empty = 0, 0
    while len(stream) < batch * steps:
        order = epoch(examples, weights, seed, number)
        number, empty = number + 1, 0 if order else empty + 1
        if empty == EMPTY_EPOCHS:
            raise RecipeError(f"{empty} epochs in a row were empty: all tranche weights are near 0. Raise one.")
        stream += order
    return [stream[i * batch : (i + 1) * batch] for i in range(steps)]


def epoch(examples: Sequence[Planned], weights: Mapping[str, float], seed: int, number: int) -> list[int]:
    """Indices seen in one epoch, in order."""
    drawn: list[tuple[bytes, int]] = []
    for i, example in enumerate(examples):
        weight = weights.get(example.tranche, 1.0)
        copies, fraction = int(weight), weight - int(weight)
        if fraction and _uniform(seed, number, example.id) < fraction:
            copies += 1
        drawn += [(_hash(seed, number, example.id, str(copy)), i) for copy in range(copies)]
    return [i for _, i in sorted(drawn)]


def first_exposure(steps: Sequence[Sequence[int]], wanted: Collection[int]) -> int | None:
    """The first step, counted from 1, whose batch holds a wanted index; None if none does."""
    wanted = set(wanted)
    return next((step for step, batch in enumerate(steps, 1) if not wanted.isdisjoint(batch)), None)


def _hash(seed: int, number: int, id: str, what: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{number}\n{id}\n{what}".encode("utf-8", "surrogatepass")).digest()


def _uniform(seed: int, number: int, id: str) -> float:
    """In [0, 1)."""
    return int.from_bytes(_hash(seed, number, id, "fraction")[:6], "big") / 2**48
