"""Activations on disk: safetensors shards with a parquet index, written shard by shard and read through memory maps.

STORE/store.json                what all shards share; written before the first
STORE/shard-000000.safetensors  rows (n, d) of each site
STORE/shard-000000.parquet      id, shard, row, position, role of each row; written last, and with it the shard counts
"""

import fcntl
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from ..case import write_json
from ..errors import EvidenceError, SettingError
from ..subjects.chunk import Chunk, Site, label
from ..types import Activations
from .seen_ids import UNSEEN, SeenIds
from .shard import Shard, numbers_in, remove_leftovers, shards_in, stored_rows, write_shard
from .store_settings import RECORD, ROLES, Role, StoreSettings, code_of, read_record, refuse_other, shared_by

READ_AHEAD = 1024


class HasId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=HasId)


class ActivationStore:
    """A directory of activations. Killed at any moment, it holds every shard that was complete.

    Several processes may write to it: each holds a lock while it writes a shard. Memory: one shard, and nine bytes an
    item while writing.
    """

    def __init__(self, directory: Path | str, record: dict[str, Any]) -> None:
        """Use `begin` or `open`."""
        self.directory, self._record = Path(directory), record
        self._seen, self._counted = SeenIds(), set[int]()

    @classmethod
    def begin(cls, directory: Path | str, settings: StoreSettings) -> "ActivationStore":
        """A new store, or the one that is there, to go on with.

        Raises EvidenceError when that one was begun with other settings, or has lost its store.json.
        """
        store = cls(directory, settings.record())
        store._agree({})
        return store

    @classmethod
    def open(cls, directory: Path | str) -> "ActivationStore":
        """A store to read. Raises EvidenceError when there is none, or its store.json is damaged."""
        record = read_record(Path(directory))
        if record is None:
            raise EvidenceError(f"no activation store in {directory}: it has no {RECORD}. Correct the path.")
        return cls(directory, record)

    @property
    def settings(self) -> StoreSettings:
        """Sites are numbers and names here; that of an Input is `input of ...`."""
        r = self._record
        return StoreSettings(r["subject_key"], tuple(r["sites"]), r["position"], r["dtype"], r["step"])

    def n_rows(self, role: Role | None = None) -> int:
        return sum(shard.rows for shard in self._of(role))

    def unseen(self, items: Iterable[T], role: Role) -> Iterator[T]:
        """The items that are not stored yet, in order: what is left to capture after a kill. Reads 1024 items ahead.

        Raises EvidenceError, with the ids, for items that are given twice or are stored in another role.
        """
        code_of(role)
        return self._unseen(items, role)

    def _unseen(self, items: Iterable[T], role: Role) -> Iterator[T]:
        source, given = iter(items), SeenIds()
        while ahead := list(islice(source, READ_AHEAD)):
            ids = [item.id for item in ahead]
            before = [id for id, code in zip(ids, given.codes_of(ids), strict=True) if code != UNSEEN]
            _refuse_twice([*_repeated(ids), *before])
            given.add(ids)
            codes = self._codes_of(ids, role)
            yield from (item for item, code in zip(ahead, codes, strict=True) if code == UNSEEN)

    def extend(self, chunks: Iterable[Chunk], role: Role) -> None:
        """Append each chunk as it comes, so that a kill loses one chunk at most.

        `store.extend(subject.stream_activations(store.unseen(items, role), sites), role)` can be called again.
        """
        for chunk in chunks:
            self.append(chunk, role)

    def append(self, chunk: Chunk, role: Role) -> None:
        """Write one shard: all of it or nothing.

        Raises EvidenceError, with the ids where it is about items: stored already, in this role or in another; twice at
        one token; too large for the store's dtype; read at other sites, widths, positions or steps than the store's.
        """
        code, ids = code_of(role), list(dict.fromkeys(chunk.ids))
        if not ids:
            raise EvidenceError("a chunk without rows cannot be stored. Read at least one item.")
        _refuse_twice([id for id, _ in _repeated(zip(chunk.ids, chunk.tokens.tolist(), strict=True))])
        with self._lock():
            self._agree(shared_by(chunk, self._record["sites"]))
            known = [id for id, was in zip(ids, self._codes_of(ids, role), strict=True) if was != UNSEEN]
            if known:
                raise EvidenceError(
                    f"{len(known)} items are stored already, first {known[:3]}. Leave them out with "
                    "`store.unseen(items, role)`; all rows of an item belong in one chunk."
                )
            remove_leftovers(self.directory)
            number = max(self._counted, default=-1) + 1
            rows = {str(site): stored_rows(seen, self._record["dtype"]) for site, seen in chunk.items()}
            if not (self.directory / RECORD).is_file():
                write_json(self.directory / RECORD, self._record)
            write_shard(Shard(number, self.directory, role, len(chunk.ids)), rows, chunk.ids, chunk.tokens)
            self._seen.add(ids, code)
            self._counted.add(number)

    def shards(self, site: Site, role: Role | None = None) -> Iterator[Activations]:
        """Activations at one site, shard by shard, of one role or of all. Raises EvidenceError for a damaged shard."""
        return (chunk[label(site)] for chunk in self.chunks(role, [site]))

    def chunks(self, role: Role | None = None, sites: Sequence[Site] | None = None) -> Iterator[Chunk]:
        """The shards at several sites, with token indices. Keys are sites as they stand in `settings`."""
        wanted = self._named(sites)
        return (self._chunk(shard, wanted) for shard in self._of(role))

    def read(self, ids: Sequence[str], sites: Sequence[Site] | None = None) -> Chunk:
        """The rows of these items, in the order asked. Raises EvidenceError, with the ids, for those not stored."""
        wanted, order = self._named(sites), {id: k for k, id in enumerate(ids)}
        _refuse_twice(_repeated(ids))
        found: list[Chunk] = []
        for shard in self._of(None):
            at = [k for k, id in enumerate(shard.read_index("id")["id"]) if id in order]
            if at:
                found.append(self._chunk(shard, wanted, _runs(at)))
        held = [id for chunk in found for id in chunk.ids]
        missing = sorted(order.keys() - set(held), key=order.__getitem__)
        if missing or not order:
            raise EvidenceError(
                f"{len(missing)} of {len(order)} items are not in {self.directory}, first {missing[:3]}. Capture them."
            )
        by = np.argsort([order[id] for id in held], kind="stable")
        rows = {site: np.concatenate([chunk[site].rows for chunk in found])[by] for site in wanted}
        tokens = np.concatenate([chunk.tokens for chunk in found])[by]
        return Chunk.of(rows, [held[k] for k in by], tokens, self._record["position"], self._record["step"])

    def verify(self) -> None:
        """Read every byte back and compare hashes. Raises EvidenceError for the first shard that was changed."""
        for shard in self._of(None):
            if not shard.is_whole():
                raise shard.damaged("its rows are missing or are not the bytes that were written")

    def _chunk(self, shard: Shard, sites: dict[Any, int], parts: Sequence[slice] = (slice(None),)) -> Chunk:
        rows = {site: shard.read(str(site), d, parts) for site, d in sites.items()}
        index = shard.read_index("id", "position")
        ids = [id for part in parts for id in index["id"][part]]
        tokens = np.array([token for part in parts for token in index["position"][part]], np.int64)
        return Chunk.of(rows, ids, tokens, self._record["position"], self._record["step"])

    def _of(self, role: Role | None) -> list[Shard]:
        if role is not None:
            code_of(role)
        return [shard for shard in shards_in(self.directory) if role in (None, shard.role)]

    def _named(self, sites: Sequence[Site] | None) -> dict[Any, int]:
        """Label -> width. Raises SettingError, listing the known ones, for a site that the store has not got."""
        known = self._record["sites"]
        unknown = [str(site) for site in sites or () if label(site) not in known]
        if unknown:
            raise SettingError(f"no site {unknown[0]!r} in {self.directory}. Known: {', '.join(map(str, known))}.")
        widths = dict(zip(known, self._record.get("widths", [0] * len(known)), strict=True))
        return {label(site): widths[label(site)] for site in sites or known}

    def _codes_of(self, ids: Sequence[str], role: Role) -> np.ndarray:
        """(n,) -1 for ids that no process has stored. Raises EvidenceError for ids that are stored in another role."""
        if set(numbers_in(self.directory)) != self._counted:
            for shard in shards_in(self.directory):
                if shard.number not in self._counted:
                    self._seen.add(list(dict.fromkeys(shard.read_index("id")["id"])), code_of(shard.role))
                    self._counted.add(shard.number)
        codes = self._seen.codes_of(ids)
        other = [(id, ROLES[c]) for id, c in zip(ids, codes, strict=True) if c not in (UNSEEN, code_of(role))]
        if other:
            raise EvidenceError(
                f"{len(other)} items would stand in two roles, {role} and another in which they are stored, first "
                f"{other[:3]}. An item has one role: leave it out of {role}."
            )
        return codes

    def _agree(self, now: dict[str, Any]) -> None:
        """Take up what is in store.json, and refuse what differs from it."""
        begun = read_record(self.directory)
        if begun is None and numbers_in(self.directory):
            raise EvidenceError(
                f"{self.directory} holds shards but no {RECORD}, so nobody can say what they are. Put it back, or "
                "begin in another directory."
            )
        refuse_other(self.directory, begun or {**self._record, "widths": now.get("widths")}, {**self._record, **now})
        self._record = begun or {**self._record, **now}

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """The kernel frees the lock when its holder dies, so none goes stale."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / ".lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _repeated(keys: Iterable[Any]) -> list[Any]:
    return [key for key, times in Counter(keys).items() if times > 1]


def _refuse_twice(ids: Sequence[str]) -> None:
    if ids:
        raise EvidenceError(
            f"{len(ids)} items are given twice, first {list(ids[:3])}. Give each item an id of its own."
        )


def _runs(at: Sequence[int]) -> list[slice]:
    """Ascending indices as slices of neighbours."""
    cut = [0, *(k for k in range(1, len(at)) if at[k] != at[k - 1] + 1), len(at)]
    return [slice(at[a], at[b - 1] + 1) for a, b in zip(cut, cut[1:], strict=False)]
