"""Read rollouts from plain JSONL, in blocks, into compact columns: memory does not grow with their text.

One row is {"id", "step", "group", "environment", "prompt", "response", "rewards": {term: raw value}, "weights":
{term: weight}, "reward", "advantage", "checks": {name: value}, "tokens"}. Only `rewards` (or `reward`) and `group` (or
`prompt`) must be there. A term that is null or absent pays nothing to that row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EvidenceError, SettingError
from .rollout_rows import Block, Names, block_of
from .rollout_source import LONGEST_LINE, JsonlRows, MemoryRows, Row, RowFile, RowSource, files_of, open_rows, parse
from .rollout_table import Columns, RolloutTable, nearest

BLOCK_ROWS = 4096
Say = Callable[[str, int, int], None]


def read_rollouts(
    path: Path | str,
    columns: Columns | Mapping[str, str] | None = None,
    block_rows: int = BLOCK_ROWS,
    say: Say | None = None,
) -> RolloutTable:
    """Read a JSONL file of rollouts, plain or .gz, or all JSONL files of a directory.

    Args:
        columns: what their keys mean, where they are not ours; a mapping renames: {"reward_scores": "rewards"}.
        block_rows: rows that are in memory at a time; the table does not depend on it.
        say: progress, as (what, rows read, rows read).

    Raises EvidenceError naming file, line and the nearest key for rows that cannot be used, and the ids of numbers
    that are not finite; SettingError for columns that no row has.
    """
    if block_rows < 1:
        raise SettingError(f"block_rows must be 1 or more, got {block_rows}. Leave it out.")
    plan = columns if isinstance(columns, Columns) else Columns(rename=columns or {})
    files: list[RowFile] = []
    starts: list[np.ndarray] = []
    lines: list[np.ndarray] = []
    blocks: list[Block] = []
    names, n = Names(), 0
    for file in files_of(Path(path)):
        files.append(_seen(file, n))
        for rows, start, line in _chunks(file, block_rows):
            for keys in {tuple(row) for row in rows}:
                names.keys.update(keys)
            blocks.append(block_of([plan.applied(row) for row in rows], _places(file, line), names))
            starts.append(start)
            lines.append(line)
            n += len(rows)
            if say:
                say(f"reading {file.name}", n, n)
    if not n:
        raise EvidenceError(f"{path} holds no rollouts: every line is empty. Check that the trainer logs them.")
    _refuse_unknown(plan, names)
    held = JsonlRows(tuple(files), np.concatenate(starts), np.concatenate(lines), plan.applied)
    starts.clear()
    return _table(blocks, held, names, plan)


def rollouts_of(rows: Iterable[Mapping[str, Any]], columns: Columns | None = None) -> RolloutTable:
    """The table of rows that are already in memory, such as those of another reader. Same rules as the file."""
    plan = columns or Columns()
    held = MemoryRows([plan.applied(dict(row)) for row in rows])
    if not held.held:
        raise EvidenceError("there are no rollouts: the list is empty.")
    names = Names()
    return _table([block_of(held.held, held.where, names)], held, names, plan)


def _place(path: Path, line: int) -> str:
    return f"{path}:{line}"


def _places(path: Path, lines: np.ndarray) -> Callable[[int], str]:
    return lambda i: _place(path, int(lines[i]))


def _seen(path: Path, first: int) -> RowFile:
    try:
        return RowFile.seen(path, first)
    except OSError as error:
        raise EvidenceError(f"cannot read rollouts {path}: {error.strerror}. Correct the path.") from error


def _chunks(path: Path, size: int) -> Iterable[tuple[list[Row], np.ndarray, np.ndarray]]:
    """(rows, offsets, lines) of `size` rows at a time. Empty lines are passed over."""
    rows: list[Row] = []
    starts: list[int] = []
    lines: list[int] = []
    offset = number = 0
    with open_rows(path) as stream:
        while line := _line(stream, path, number):
            number += 1
            if not line.isspace():
                rows.append(parse(line, partial(_place, path, number)))
                starts.append(offset)
                lines.append(number)
            offset += len(line)
            if len(rows) == size:
                yield rows, np.array(starts, np.int64), np.array(lines, np.int32)
                rows, starts, lines = [], [], []
    if rows:
        yield rows, np.array(starts, np.int64), np.array(lines, np.int32)


def _line(stream: Any, path: Path, number: int) -> bytes:
    try:
        return stream.readline(LONGEST_LINE)
    except (OSError, EOFError) as error:
        raise EvidenceError(f"{path}:{number + 1}: cannot be unpacked: {error}. Is the file cut short?") from error


def _table(blocks: list[Block], source: RowSource, names: Names, plan: Columns) -> RolloutTable:
    sizes = [len(block.step) for block in blocks]
    terms = _names(block.terms for block in blocks)
    checks = _names(block.checks for block in blocks)
    _refuse_weights(plan, terms)
    keys, group = np.unique(np.concatenate([b.group_key for b in blocks]), return_inverse=True)
    environments = tuple(sorted(names.environments))
    order = np.array([environments.index(name) for name in names.environments], np.int32)
    stepped = sum(block.stepped for block in blocks)
    if 0 < stepped < sum(sizes):
        raise EvidenceError(f"{sum(sizes) - stepped} of {sum(sizes)} rollouts have no step. Log it in all or in none.")
    plain = {key: np.concatenate([b.plain[key] for b in blocks]) for key in ("reward", "advantage", "tokens")}
    id_keys = np.concatenate([block.id_key for block in blocks])
    _refuse_repeats(id_keys, source)
    return RolloutTable(
        source=source,
        step=np.concatenate([block.step for block in blocks]),
        group=group.astype(np.int32),
        group_keys=keys,
        environment=order[np.concatenate([block.environment for block in blocks])],
        environments=environments,
        terms=terms,
        values=_matrix([block.terms for block in blocks], terms, sizes),
        weights=_weights_of(blocks, terms, sizes, plan),
        checks=checks,
        check_values=_matrix([block.checks for block in blocks], checks, sizes),
        id_keys=id_keys,
        notes=_notes(names, bool(stepped), len(checks)),
        **plain,
    )


def _names(held: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted({name for one in held for name in one}))


def _matrix(held: Sequence[Mapping[str, np.ndarray]], names: tuple[str, ...], sizes: Sequence[int]) -> np.ndarray:
    out = np.full((sum(sizes), len(names)), np.nan, np.float32)
    first = 0
    for one, size in zip(held, sizes, strict=True):
        for name, column in one.items():
            out[first : first + size, names.index(name)] = column
        first += size
    return out


def _weights_of(blocks: list[Block], terms: tuple[str, ...], sizes: Sequence[int], plan: Columns) -> np.ndarray:
    """(T,) where every row that has a term gives it one weight, else (n, T)."""
    given = np.array([plan.weights.get(name, 1.0) for name in terms], np.float32)
    if all(block.weights is None for block in blocks):
        return given
    if any(block.weights is None for block in blocks):
        raise EvidenceError("some rollouts carry weights and some do not. Log them in all or in none.")
    out = _matrix([block.weights or {} for block in blocks], terms, sizes)
    with np.errstate(all="ignore"):
        low, high = np.nanmin(out, axis=0, initial=np.inf), np.nanmax(out, axis=0, initial=-np.inf)
    return low if (low == high).all() else np.nan_to_num(out, nan=1.0)


def _refuse_weights(plan: Columns, terms: tuple[str, ...]) -> None:
    for name, weight in plan.weights.items():
        if name not in terms:
            raise SettingError(f"weights name {name!r}, which is no reward term of these rollouts. "
                               f"{nearest(name, terms)}")  # fmt: skip
        if not np.isfinite(weight):
            raise SettingError(f"the weight of {name!r} must be finite, got {weight}.")


def _refuse_unknown(plan: Columns, names: Names) -> None:
    for key in (*plan.rename, *plan.terms, *plan.checks):
        if key not in names.keys:
            raise SettingError(f"columns name {key!r}, which no row has. {nearest(key, names.keys)}")


def _refuse_repeats(id_keys: np.ndarray, source: RowSource) -> None:
    order = np.argsort(id_keys, kind="stable")
    same = np.flatnonzero(id_keys[order][1:] == id_keys[order][:-1])
    if len(same):
        again = int(order[same + 1].min())
        first = int(np.flatnonzero(id_keys == id_keys[again])[0])
        row = next(source.rows(np.array([again])))[1]
        raise EvidenceError(
            f"{source.where(again)}: id {row.get('id')!r} stands already at {source.where(first)}; {len(same)} ids "
            "are repeated. An id stands for one rollout."
        )


def _notes(names: Names, stepped: bool, checks: int) -> tuple[str, ...]:
    notes = []
    if not stepped:
        hint = nearest("step", names.keys)
        notes.append("no step is logged, so nothing can be dated." + (f" {hint}" if hint.startswith("Did") else ""))
    if not checks:
        notes.append("no unrewarded check is logged, so no reward term can be compared with one.")
    return tuple(notes)
