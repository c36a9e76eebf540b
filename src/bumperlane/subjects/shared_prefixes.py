"""Prompts grouped by how they begin, so that a common beginning is read once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LEAST_SAVED = 0.1  # of a batch's tokens; less is not worth a pass of its own
TRIES = 24  # lengths of a common beginning that are weighed

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Prompts that are read together.

    Attributes:
        rows: which prompts, as indices into what was given.
        prefixes: beginnings that are read first; empty where each prompt is read whole.
        of: which prefix each row goes on from; empty where there is none.
    """

    rows: tuple[int, ...]
    prefixes: tuple[Tokens, ...] = ()
    of: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Group:
    rows: tuple[int, ...]
    shared: int


def batches(prompts: Sequence[Tokens], to_come: int, token_budget: int) -> Iterator[Batch]:
    """Batches of rows x (longest prompt + tokens to come) under the budget, at least one row each."""
    for part in _parts(_groups(prompts), prompts, to_come, token_budget):
        rows = tuple(i for group in part for i in group.rows)
        longest = max(len(prompts[i]) for i in rows)
        prefix = max(group.shared for group in part)
        tail = max(len(prompts[i]) - group.shared for group in part for i in group.rows)
        if prefix and len(part) * prefix + len(rows) * tail < (1 - LEAST_SAVED) * len(rows) * longest:
            prefixes = tuple(prompts[group.rows[0]][: group.shared] for group in part)
            yield Batch(rows, prefixes, tuple(n for n, group in enumerate(part) for _ in group.rows))
        else:
            yield Batch(rows)


def _groups(prompts: Sequence[Tokens]) -> list[_Group]:
    """Prompts with a common beginning, cut where that gets shorter than some length: the one that saves most tokens.

    A prompt keeps at least its last token, which is what an answer follows.
    """
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    alike = [_common(prompts[a], prompts[b]) for a, b in zip(order, order[1:], strict=False)]
    lengths = sorted(set(alike) - {0})
    tried = lengths[:: max(1, len(lengths) // TRIES)]
    cuts = [_cut(order, alike, least) for least in tried] or [[_Group((i,), 0) for i in order]]
    return max(cuts, key=lambda groups: sum((len(g.rows) - 1) * g.shared for g in groups))


def _cut(order: Sequence[int], alike: Sequence[int], least: int) -> list[_Group]:
    groups, mine, shared = [], [order[0]], 0
    for i, common in zip(order[1:], alike, strict=True):
        if common >= least:
            shared = common if len(mine) == 1 else min(shared, common)
            mine.append(i)
        else:
            groups.append(_Group(tuple(mine), shared))
            mine, shared = [i], 0
    return [*groups, _Group(tuple(mine), shared)]


def _common(a: Tokens, b: Tokens) -> int:
    """Tokens that both begin with, but for the last of either."""
    most = min(len(a), len(b)) - 1
    return next((t for t in range(most) if a[t] != b[t]), most)


def _parts(groups: Sequence[_Group], prompts: Sequence[Tokens], to_come: int, budget: int) -> Iterator[list[_Group]]:
    """Groups of similar lengths, put together or split to fit the budget. Those without company stay among themselves:
    they have nothing to read first."""
    for alone in (True, False):
        part: list[_Group] = []
        rows = longest = 0
        for group in sorted((g for g in groups if (not g.shared) == alone), key=lambda g: _length(g, prompts)):
            size = _length(group, prompts) + to_come
            most = max(1, budget // size)
            for some in (group.rows[n : n + most] for n in range(0, len(group.rows), most)):
                if part and (rows + len(some)) * max(longest, size) > budget:
                    yield part
                    part, rows, longest = [], 0, 0
                part.append(_Group(some, group.shared))
                rows, longest = rows + len(some), max(longest, size)
        if part:
            yield part


def _length(group: _Group, prompts: Sequence[Tokens]) -> int:
    return max(len(prompts[i]) for i in group.rows)
