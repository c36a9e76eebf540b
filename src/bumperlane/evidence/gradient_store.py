"""Projected gradients on disk: safetensors shards with a parquet index, written shard by shard, read in blocks.

STORE/store.json                what all shards share; written before the first
STORE/shard-000000.safetensors  gradients (n, K), the scale of each row (n, 1), representations (n, d) by block
STORE/shard-000000.parquet      id of each row; written last, and with it the shard counts
"""

import fcntl
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..case import write_json
from ..errors import EvidenceError, SettingError
from ..recipes.provenance import content_key
from ..subjects.chat import Encoded
from ..subjects.gradient_pass import GradientPass
from .seen_ids import UNSEEN, SeenIds
from .shard import Shard, numbers_in, remove_leftovers, shards_in, write_shard

SCHEMA_VERSION = 1
RECORD = "store.json"
ROLE = "gradients"
DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class GradientBlock:
    """Some examples' rows, as float32: `gradients` (m, K), and `representations` (m, d) by block number."""

    ids: tuple[str, ...]
    gradients: np.ndarray
    representations: Mapping[int, np.ndarray]


class GradientStore:
    """A directory of projected gradients. Killed at any moment, it holds every shard that was complete.

    Several processes may write to it, each its own examples: a lock is held while a shard is written. Stores that were
    filled elsewhere are merged in. Memory: one shard, and nine bytes an example while writing.
    """

    def __init__(self, directory: Path | str, record: dict[str, Any]) -> None:
        """Use `begin` or `open`."""
        self.directory, self.record = Path(directory), record
        self._seen, self._counted = SeenIds(), set[int]()

    @classmethod
    def begin(
        cls, directory: Path | str, made_from: Mapping[str, Any], dtype: Literal["float16", "float32"] = "float16"
    ) -> "GradientStore":
        """A new store, or the one that is there, to go on with.

        Args:
            made_from: `GradientPass.made_from`, with whatever else the rows depend on: the subject's key, the data's.
            dtype: how rows are kept. In float16 each row has a scale of its own, a power of two, so that gradients of
                1e-9 keep their 11 bits as well as those of 1e9.

        Raises EvidenceError when that one was begun with other settings.
        """
        if dtype not in DTYPES:
            raise SettingError(f"unknown dtype {dtype!r} for a store. Known: {', '.join(DTYPES)}.")
        now = json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **made_from, "stored": dtype}))
        begun = _read(Path(directory))
        _refuse_other(Path(directory), begun or now, now)
        store = cls(directory, now)
        if begun is None:
            store.directory.mkdir(parents=True, exist_ok=True)
            write_json(store.directory / RECORD, now)
        return store

    @classmethod
    def open(cls, directory: Path | str) -> "GradientStore":
        """A store to read. Raises EvidenceError when there is none, or its store.json is damaged."""
        record = _read(Path(directory))
        if record is None:
            raise EvidenceError(f"no gradient store in {directory}: it has no {RECORD}. Correct the path.")
        return cls(directory, record)

    @property
    def columns(self) -> dict[str, slice]:
        """Where each site's numbers stand in a row."""
        ends = np.cumsum([0, *(prod(shape) for shape in self.record["sites"].values())]).tolist()
        return {name: slice(a, b) for name, a, b in zip(self.record["sites"], ends, ends[1:], strict=False)}

    @property
    def width(self) -> int:
        return sum(prod(shape) for shape in self.record["sites"].values())

    def __len__(self) -> int:
        return sum(shard.rows for shard in shards_in(self.directory))

    def missing(self, ids: Sequence[str]) -> list[int]:
        """Which of these are not stored yet, as indices: what is left to do after a kill."""
        return np.flatnonzero(self._codes_of(ids) == UNSEEN).tolist()

    def append(self, ids: Sequence[str], gradients: np.ndarray, representations: Mapping[int, np.ndarray]) -> None:
        """Write one shard: all of it or nothing.

        Raises EvidenceError, with the ids where it is about examples: stored already, given twice, not finite; or rows
        of another width or at other layers than the store's.
        """
        _refuse("given twice", [i for i, times in Counter(ids).items() if times > 1])
        if gradients.shape != (len(ids), self.width) or sorted(representations) != sorted(self.record["layers"]):
            raise EvidenceError(
                f"{self.directory} keeps {self.width} numbers an example and layers {self.record['layers']}; got "
                f"{gradients.shape} for {len(ids)} examples, and layers {sorted(representations)}. Begin another store."
            )
        for rows in (gradients, *representations.values()):
            _refuse("not finite", [i for i, ok in zip(ids, np.isfinite(rows).all(1), strict=True) if not ok])
        tensors = {**_packed(gradients, self.record["stored"]), **_named(representations)}
        with self._lock():
            _refuse("stored already", [i for i, was in zip(ids, self._codes_of(ids), strict=True) if was != UNSEEN])
            remove_leftovers(self.directory)
            number = max(numbers_in(self.directory), default=-1) + 1
            write_shard(Shard(number, self.directory, ROLE, len(ids)), tensors, ids, np.full(len(ids), -1))
            self._seen.add(ids)
            self._counted.add(number)

    def fill(self, ready: GradientPass, rows: Sequence[Encoded], shard_rows: int = 1024, say: Any = None) -> None:
        """Take the gradients of every row that is not stored yet, a shard at a time. `say(done, of)` hears of it.

        Can be called again after a kill: at most `shard_rows` examples are computed anew.
        """
        if shard_rows < 1:
            raise SettingError(f"shard_rows must be 1 or more, got {shard_rows}.")
        left = [rows[i] for i in self.missing([r.id for r in rows])]
        done = len(rows) - len(left)
        for start in range(0, len(left), shard_rows):
            part = left[start : start + shard_rows]
            gradients = np.empty((len(part), self.width), np.float32)
            means: dict[int, np.ndarray] = {}
            for batch in ready.stream(part):
                at = list(batch.indices)
                gradients[at] = batch.gradients
                for layer, seen in batch.representations.items():
                    means.setdefault(layer, np.empty((len(part), seen.shape[1]), np.float32))[at] = seen
                done += len(at)
                if say:
                    say(done, len(rows))
            self.append([r.id for r in part], gradients, means)

    def merge(self, other: "GradientStore") -> None:
        """Take over the examples of a store that another worker filled; those that are here already are left out.

        Raises EvidenceError when it was begun with other settings.
        """
        _refuse_other(self.directory, self.record, other.record)
        for shard in shards_in(other.directory):
            for block in other.blocks(shard.rows, [shard]):
                keep = self.missing(block.ids)
                if keep:
                    means = {layer: rows[keep] for layer, rows in block.representations.items()}
                    self.append([block.ids[i] for i in keep], block.gradients[keep], means)

    def blocks(self, most: int = 2048, shards: Sequence[Shard] | None = None) -> Iterator[GradientBlock]:
        """At most so many rows at a time, in the order stored. Files are memory-mapped. Raises EvidenceError for a
        damaged shard."""
        for shard in shards_in(self.directory) if shards is None else shards:
            ids = shard.read_index("id")["id"]
            for start in range(0, shard.rows, most):
                part = [slice(start, min(start + most, shard.rows))]
                rows = shard.read("gradients", self.width, part)
                if self.record["stored"] == "float16":
                    rows *= shard.read("scale", 1, part)
                means = {layer: shard.read(f"layer {layer}", d, part) for layer, d in self._widths(shard).items()}
                yield GradientBlock(tuple(ids[part[0]]), rows, means)

    def verify(self) -> None:
        """Read every byte back and compare hashes. Raises EvidenceError for the first shard that was changed."""
        for shard in shards_in(self.directory):
            if not shard.is_whole():
                raise shard.damaged("its rows are missing or are not the bytes that were written")

    def _widths(self, shard: Shard) -> dict[int, int]:
        from safetensors import safe_open

        if not self.record["layers"]:
            return {}
        with safe_open(shard.tensors, "numpy") as file:
            return {n: file.get_slice(f"layer {n}").get_shape()[1] for n in self.record["layers"]}

    def _codes_of(self, ids: Sequence[str]) -> np.ndarray:
        """(n,) -1 for ids that no process has stored."""
        if set(numbers_in(self.directory)) != self._counted:
            for shard in shards_in(self.directory):
                if shard.number not in self._counted:
                    self._seen.add(shard.read_index("id")["id"])
                    self._counted.add(shard.number)
        return self._seen.codes_of(ids)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """The kernel frees the lock when its holder dies, so none goes stale."""
        with open(self.directory / ".lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def data_key(rows: Sequence[Encoded]) -> str:
    """Hash of ids, tokens and where each answer begins."""
    return content_key([[r.id, r.answer_start, list(r.tokens)] for r in rows])


ADVICE = {
    "given twice": "Give each an id of its own.",
    "not finite": "Check the checkpoint for overflow.",
    "stored already": "Leave them out: `missing` names what is left to do.",
}


def _refuse(why: str, ids: Sequence[str]) -> None:
    if ids:
        raise EvidenceError(f"{len(ids)} examples are {why}, first {list(ids[:3])}. {ADVICE[why]}")


def _packed(gradients: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """Rows as stored. In float16 the largest number of each row lies between 16,384 and 32,768."""
    if dtype == "float32":
        return {"gradients": np.ascontiguousarray(gradients, np.float32)}
    largest = np.abs(gradients).max(axis=1, initial=0, keepdims=True)
    scale = np.ldexp(1.0, np.where(largest > 0, np.frexp(largest)[1] - 15, 0)).astype(np.float32)
    return {"gradients": (gradients / scale).astype(np.float16), "scale": scale}


def _named(representations: Mapping[int, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"layer {layer}": np.ascontiguousarray(rows, np.float32) for layer, rows in representations.items()}


def _read(directory: Path) -> dict[str, Any] | None:
    """What store.json holds; None without one."""
    path = directory / RECORD
    if not path.is_file():
        if numbers_in(directory):
            raise EvidenceError(
                f"{directory} holds shards but no {RECORD}. Put it back, or begin in another directory."
            )
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        version, _, _ = record["schema_version"], dict(record["sites"]), record["layers"]
        if record["stored"] not in DTYPES:
            raise ValueError(record["stored"])
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{path} is damaged: {error!r}. Put it back, or begin in another directory.") from error
    if version != SCHEMA_VERSION:
        raise EvidenceError(
            f"{path} has schema version {version}; this is version {SCHEMA_VERSION}. Begin in another directory."
        )
    return record


def _refuse_other(directory: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises EvidenceError naming the settings in which two stores differ."""
    other = [name for name in {**begun, **now} if begun.get(name) != now.get(name)]
    if other:
        told = "; ".join(f"{n} {str(begun.get(n))[:60]}, now {str(now.get(n))[:60]}" for n in other)
        raise EvidenceError(
            f"{directory} was begun with {told}. Such rows do not belong together: begin another store."
        )
