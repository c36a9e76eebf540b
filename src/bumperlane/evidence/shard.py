"""One shard of an activation store: rows by site in safetensors, and beside them a parquet index, written last."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ..case import temporary_beside
from ..errors import EvidenceError, SettingError
from ..recipes.provenance import sha256_file
from ..types import Activations

LARGEST = {"float32": 3.4028234e38, "float16": 65504.0, "bfloat16": 3.3895313e38}


@dataclass(frozen=True)
class Shard:
    """A complete shard: its index is there, so its rows are.

    Attributes:
        rows: how many it holds, at each site.
        sha256: of the file of rows, when it was written.
    """

    number: int
    directory: Path
    role: str
    rows: int
    sha256: str = ""

    @property
    def tensors(self) -> Path:
        return self.directory / f"{_stem(self.number)}.safetensors"

    @property
    def index(self) -> Path:
        return self.directory / f"{_stem(self.number)}.parquet"

    def damaged(self, why: Any) -> EvidenceError:
        return EvidenceError(
            f"shard {self.number} of {self.directory} is damaged: {why}. Delete {self.tensors.name} and "
            f"{self.index.name} and capture again: only its {self.rows} rows ({self.role}) are computed anew."
        )

    def read_index(self, *columns: str) -> dict[str, list[Any]]:
        """Columns of the index (id, shard, row, position, role), by name, in row order."""
        with self._readable():
            table = _arrow().parquet.ParquetFile(self.index).read(columns=list(columns), use_threads=False)
        if table.num_rows != self.rows:
            raise self.damaged(f"its index has {table.num_rows} rows")
        return table.to_pydict()

    def read(self, site: str, d: int, parts: Sequence[slice] = (slice(None),)) -> np.ndarray:
        """Float32 rows (m, d) at one site: those of each part, one after the other. The file is memory-mapped."""
        with self._readable():
            bfloat16 = _dtype_of(self.tensors, site) == "BF16"
            with safe_open(self.tensors, "pt" if bfloat16 else "numpy") as file:
                held = file.get_slice(site)
                if list(held.get_shape()) != [self.rows, d]:
                    raise self.damaged(f"site {site} has shape {held.get_shape()}, not {[self.rows, d]}")
                found = [held[part] for part in parts]
        # NumPy has no bfloat16, so PyTorch widens it
        return np.concatenate([f.float().numpy() if bfloat16 else f.astype(np.float32, copy=False) for f in found])

    def is_whole(self) -> bool:
        """Does the file of rows have the bytes that were written?"""
        return self.tensors.is_file() and sha256_file(self.tensors) == self.sha256

    @contextmanager
    def _readable(self) -> Iterator[None]:
        invalid = _arrow().ArrowInvalid
        try:
            yield
        except (OSError, SafetensorError, invalid) as error:
            raise self.damaged(_first_line(error)) from error


def write_shard(shard: Shard, rows: Mapping[str, Any], ids: Sequence[str], tokens: np.ndarray) -> None:
    """Rows first, the index last: a kill between them leaves a shard that does not count and is written again."""
    pyarrow, n = _arrow(), shard.rows
    _whole(shard.tensors, lambda path: _save(rows, path))
    columns = {
        "id": pyarrow.array(list(ids), pyarrow.string()),
        "shard": np.full(n, shard.number, np.int32),
        "row": np.arange(n, dtype=np.int32),
        "position": tokens.astype(np.int32),
        "role": pyarrow.array([shard.role] * n, pyarrow.string()),
    }
    note = json.dumps({"role": shard.role, "rows": n, "sha256": sha256_file(shard.tensors)})
    table = pyarrow.table(columns, metadata={"bumperlane": note})
    _whole(shard.index, lambda path: pyarrow.parquet.write_table(table, path))


def shards_in(directory: Path) -> list[Shard]:
    """The complete shards of a directory, in order. Raises EvidenceError for an index that is damaged."""
    return [_opened(directory, number) for number in numbers_in(directory)]


def numbers_in(directory: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("shard-")) for path in directory.glob("shard-*.parquet"))


def _opened(directory: Path, number: int) -> Shard:
    pyarrow, named = _arrow(), Shard(number, directory, "", 0)
    try:
        note = json.loads(pyarrow.parquet.read_schema(named.index).metadata[b"bumperlane"])
        return Shard(number, directory, note["role"], note["rows"], note["sha256"])
    except (OSError, pyarrow.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"the index of shard {number} of {directory} is damaged: {_first_line(error)}. Delete "
            f"{named.tensors.name} and {named.index.name} and capture again: only their rows are computed anew."
        ) from error


def stored_rows(seen: Activations, dtype: str) -> Any:
    """Rows as they are stored: a NumPy array, or a torch tensor for bfloat16, which NumPy has not got.

    Raises EvidenceError, with the ids, for rows that the dtype would turn into infinity.
    """
    over = np.flatnonzero(np.abs(seen.rows).max(axis=1, initial=0) > LARGEST[dtype])
    if len(over):
        raise EvidenceError(
            f"{len(over)} rows at {seen.layer} exceed what {dtype} holds ({LARGEST[dtype]:g}), first "
            f"{[seen.ids[k] for k in over[:3]]}. Begin a store with dtype bfloat16 or float32."
        )
    if dtype != "bfloat16":
        return np.ascontiguousarray(seen.rows, dtype)
    import torch

    return torch.from_numpy(np.ascontiguousarray(seen.rows, np.float32)).bfloat16()


def remove_leftovers(directory: Path) -> None:
    """What a killed writer left half-written."""
    for path in directory.glob(".shard-*"):
        path.unlink(missing_ok=True)


def _save(rows: Mapping[str, Any], path: Path) -> None:
    if all(isinstance(value, np.ndarray) for value in rows.values()):
        from safetensors.numpy import save_file
    else:
        from safetensors.torch import save_file
    save_file(dict(rows), path)


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write through a temporary file and a rename; the bytes are on the disk before the name is."""
    temporary = temporary_beside(path)
    write(temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _dtype_of(path: Path, site: str) -> str:
    with safe_open(path, "numpy") as file:
        return file.get_slice(site).get_dtype()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _stem(number: int) -> str:
    return f"shard-{number:06d}"


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise SettingError("an activation store needs pyarrow. Install it with `pip install pyarrow`.") from error
    return pyarrow
