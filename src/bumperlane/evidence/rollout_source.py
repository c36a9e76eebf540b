"""Where the rows of a rollout table come from: JSONL files, or rows in memory. Text is read again when needed."""

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from ..errors import EvidenceError

LONGEST_LINE = 64 * 2**20  # bytes; a file without newlines must not fill the memory
SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")

Row = dict[str, Any]
_DECODER = json.JSONDecoder()


class RowSource(Protocol):
    """Gives the rows of a table again, by their number."""

    def rows(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, Row]]:
        """(number, row) in ascending order. `wanted`: ascending row numbers; None is all."""
        ...

    def where(self, number: int) -> str:
        """The place of a row, to begin an error with."""
        ...


@dataclass(frozen=True)
class MemoryRows:
    """Rows that are already in memory."""

    held: Sequence[Row]

    def rows(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, Row]]:
        for i in range(len(self.held)) if wanted is None else wanted.tolist():
            yield i, self.held[i]

    def where(self, number: int) -> str:
        return f"row {number + 1}"


@dataclass(frozen=True)
class RowFile:
    """One file as it was when it was read. `first`: number of its first row in the table."""

    path: Path
    size: int
    changed_ns: int
    first: int

    @staticmethod
    def seen(path: Path, first: int) -> "RowFile":
        stat = os.stat(path)
        return RowFile(path, stat.st_size, stat.st_mtime_ns, first)


@dataclass(frozen=True)
class JsonlRows:
    """Rows of JSONL files, read again from the places where they began.

    Attributes:
        starts: (n,) int64, offset of each row in its (unpacked) file.
        lines: (n,) int32, its 1-based line.
        renamed: maps a row as it stands in the file to our keys.
    """

    files: tuple[RowFile, ...]
    starts: np.ndarray
    lines: np.ndarray
    renamed: Callable[[Row], Row]

    def rows(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, Row]]:
        """Raises EvidenceError when a file has changed since it was read."""
        edges = [*(f.first for f in self.files), len(self.starts)]
        for file, first, end in zip(self.files, edges, edges[1:], strict=False):
            numbers = np.arange(first, end) if wanted is None else wanted[(wanted >= first) & (wanted < end)]
            if not len(numbers):
                continue
            now = RowFile.seen(file.path, file.first)
            if now != file:
                raise EvidenceError(f"{file.path} has changed since it was read. Read the rollouts again.")
            with open_rows(file.path) as stream:
                for number in numbers.tolist():
                    stream.seek(int(self.starts[number]))  # forward only, so that a packed file is unpacked once
                    yield number, self.renamed(parse(stream.readline(LONGEST_LINE), partial(self.where, number)))

    def where(self, number: int) -> str:
        file = next(f for f in reversed(self.files) if f.first <= number)
        return f"{file.path}:{self.lines[number]}"


def open_rows(path: Path) -> IO[bytes]:
    """A file of lines, unpacked when its name ends in .gz. Raises EvidenceError when it cannot be opened."""
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]
    except OSError as error:
        raise EvidenceError(f"cannot read rollouts {path}: {error.strerror}. Correct the path.") from error


def files_of(path: Path) -> tuple[Path, ...]:
    """The file, or all JSONL files of a directory, 9.jsonl before 10.jsonl."""
    if not path.is_dir():
        return (path,)
    found = [p for p in path.iterdir() if p.name.endswith(SUFFIXES) and p.is_file()]
    if not found:
        raise EvidenceError(f"{path} holds no rollouts: no file in it ends in {', '.join(SUFFIXES)}.")
    return tuple(sorted(found, key=lambda p: _natural(p.name)))


def parse(line: bytes, where: Callable[[], str]) -> Row:
    """One line as a row. Raises EvidenceError with the place for anything but a JSON object."""
    try:
        text = line.decode().strip().removeprefix("\ufeff")
        row, end = _DECODER.raw_decode(text)
        if end < len(text):
            raise json.JSONDecodeError("more than one value", text, end)
    except (ValueError, RecursionError) as error:
        if len(line) >= LONGEST_LINE:
            raise EvidenceError(f"{where()}: a line of more than {LONGEST_LINE:,} bytes. Is this JSONL?") from error
        what = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deep"
        what = error.msg if isinstance(error, json.JSONDecodeError) else what
        raise EvidenceError(f"{where()}: broken JSON: {what}. Each line must hold one JSON object.") from error
    if not isinstance(row, dict):
        raise EvidenceError(f"{where()}: a row must be a JSON object, got {type(row).__name__}.")
    return row


def _natural(name: str) -> list[tuple[int, str]]:
    """Digits by value: a key in which 9 comes before 10."""
    digits = "".join(c if c.isascii() and c.isdigit() else f"\0{c}\0" for c in name).split("\0")
    return [(int(part[:18]), "") if part.isascii() and part.isdigit() else (-1, part) for part in digits if part]
