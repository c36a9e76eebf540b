"""Rollouts in Parquet, one file or a directory of them, as tables of completions are often kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from .checked_rollouts import LOGS
from .rollout_table import Columns, RolloutTable
from .rollouts import read_rollouts, rollouts_of

SUFFIX = ".parquet"


def read_any_rollouts(path: Path, columns: Columns | None = None) -> RolloutTable:
    """Read rollouts from JSONL (`read_rollouts`) or, where the file or the directory's files are such, from Parquet.

    Of a run directory its own log. Parquet is held in memory, texts and all. Raises EvidenceError for a file that is
    neither.
    """
    path = next((path / name for name in LOGS if (path / name).exists()), path)
    files = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path] if path.suffix == SUFFIX else []
    if not files:
        return read_rollouts(path, columns)
    return rollouts_of(_rows(files), columns)


def _rows(files: list[Path]) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    for file in files:
        try:
            table = parquet.read_table(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise EvidenceError(f"{file} is no Parquet file that can be read: {error}") from error
        for batch in table.to_batches():
            yield from batch.to_pylist()
