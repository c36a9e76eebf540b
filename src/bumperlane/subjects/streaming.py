"""Activations of any number of prompts, in memory that does not grow with that number."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from .activations import BatchRows, CaptureSettings, read_batch
from .chat import Encoded
from .chunk import Chunk
from .forward import length_batches
from .positions import position_named

Read = Callable[[Sequence[Encoded], Sequence[np.ndarray]], BatchRows]


def stream(
    model: Any, sequences: Iterable[Encoded], settings: CaptureSettings, pad_id: int, step: int = 0
) -> Iterator[Chunk]:
    """Chunks of at most `settings.rows_per_chunk` rows, by site. `sequences` may be an iterator without end.

    Items come in the order in which they were batched: by length inside a window, windows in the order given. All rows
    of an item stand in one chunk. In memory are one window of token ids, one batch and one chunk.

    Raises:
        EvidenceError: a row that is not finite, or a sequence of which no token is chosen, with the ids.
        SettingError: a site that the model has not got, or that gives no (n, T, d).
    """
    return chunks(lambda batch, chosen: read_batch(model, batch, chosen, settings, pad_id), sequences, settings, step)


def chunks(read: Read, sequences: Iterable[Encoded], settings: CaptureSettings, step: int = 0) -> Iterator[Chunk]:
    """The same with the forward pass as a function: it is called afresh for each batch, so that a subject that shares
    its weights with a sibling can put its own adapter on each time."""
    position = position_named(settings.position)
    held: list[tuple[tuple[str, ...], BatchRows]] = []
    n_held = 0
    for batch, chosen in batches(sequences, settings):
        rows = len(batch) if position.average else sum(map(len, chosen))
        if held and n_held + rows > settings.rows_per_chunk:
            yield _joined(held, position.name, step)
            held, n_held = [], 0
        held.append((tuple(s.id for s in batch), read(batch, chosen)))
        n_held += rows
    if held:
        yield _joined(held, position.name, step)


def batches(
    sequences: Iterable[Encoded], settings: CaptureSettings, to_come: int = 0
) -> Iterator[tuple[list[Encoded], list[np.ndarray]]]:
    """Sequences of like length with their chosen tokens, under the token budget and under the rows of a chunk.

    `to_come`: tokens by which each sequence will yet grow.
    """
    position = position_named(settings.position)
    source = iter(sequences)
    while window := list(islice(source, settings.window)):
        chosen = position.chosen(window)
        for group in length_batches([len(s.tokens) + to_come for s in window], settings.token_budget):
            for part in _under(group, [1 if position.average else len(c) for c in chosen], settings.rows_per_chunk):
                yield [window[i] for i in part], [chosen[i] for i in part]


def _under(group: Sequence[int], rows: Sequence[int], most: int) -> Iterator[list[int]]:
    """Consecutive parts of a group with at most so many rows together; at least one sequence each."""
    part: list[int] = []
    held = 0
    for i in group:
        if part and held + rows[i] > most:
            yield part
            part, held = [], 0
        part.append(i)
        held += rows[i]
    if part:
        yield part


def _joined(held: Sequence[tuple[tuple[str, ...], BatchRows]], position: str, step: int) -> Chunk:
    ids = [ids[i] for ids, seen in held for i in seen.owner]
    sites = held[0][1].by_site
    rows = {site: np.concatenate([seen.by_site[site] for _, seen in held]) for site in sites}
    return Chunk.of(rows, ids, np.concatenate([seen.tokens for _, seen in held]), position, step)
