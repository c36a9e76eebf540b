"""The ledger: every look with every bumper, and what it steered. Append-only, each line chained to the one before.

The chain shows a changed, reordered or missing line in the middle. Lines cut off at the end leave a shorter chain that
is whole, so `case.json` carries a copy. No time stamps: a resumed run must end with the same chain.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..case import LedgerEntry
from ..errors import CaseError, SettingError
from ..strict_json import strict_json

START = "0" * 64
SPLITS = ("open", "sealed", "spent")


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        n: position, from 1.
        what: what was looked at, in words. Empty for a steer.
        steered: the fix that this bumper steered. Empty for a look.
        key: names the piece of work, so that doing it again after an interruption is not a second look.
        hash: sha256 over the hash before and the other fields as canonical JSON.
    """

    n: int
    bumper: str
    split: str
    what: str
    steered: str
    key: str
    hash: str

    def in_case(self) -> LedgerEntry:
        """The entry as it stands in `case.json`."""
        return LedgerEntry(
            n=self.n, bumper=self.bumper, split=self.split, what=self.what, steered=self.steered, hash=self.hash
        )


class Ledger:
    """The ledger kept in one JSON-lines file. One writer at a time.

    A line without its newline is a write that a kill cut short: reading leaves it out, the next write removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def look(self, bumper: str, split: str, what: str, key: str = "") -> Entry:
        """Record a look. A second look with the same bumper and non-empty key returns the entry that is there.

        A bumper that has steered a fix is recorded as spent, whatever `split` says.
        """
        if split not in SPLITS:
            raise SettingError(f"unknown split {split!r} for a look with {bumper}. Known: {', '.join(SPLITS)}.")
        for entry in self.entries():
            if key and entry.key == key and entry.bumper == bumper and not entry.steered:
                return entry
        return self._append(bumper, "spent" if bumper in self.spent() else split, what, "", key)

    def steer(self, bumper: str, fix: str) -> Entry:
        """Record that `bumper` steered `fix`; it is spent from here on. Recorded once for each bumper and fix."""
        if not fix:
            raise SettingError(f"{bumper} cannot steer a fix without a name. Pass the fix in words.")
        for entry in self.entries():
            if entry.bumper == bumper and entry.steered == fix:
                return entry
        return self._append(bumper, "spent", "", fix, "")

    def entries(self) -> tuple[Entry, ...]:
        """All complete lines, in order. Raises CaseError at a line that is not an entry."""
        return tuple(self._parse(i, line) for i, line in enumerate(self._whole().splitlines(), start=1))

    def verify(self, copy: Sequence[LedgerEntry] = ()) -> None:
        """Raises CaseError naming the first line that does not follow from the one before, or that differs from the
        copy in a case: only that shows lines which were cut off at the end. The file may go on where the copy ends."""
        last = START
        for i, entry in enumerate(self.entries(), start=1):
            if entry.n != i or entry.hash != _hash(last, entry):
                raise CaseError(
                    f"{self.path} is broken at line {i} (bumper {entry.bumper}): its hash does not follow from the "
                    "lines before it. A line was changed, removed or put in. Do not rely on this case; check it anew."
                )
            last = entry.hash
        held = [entry.hash for entry in self.entries()]
        for i, kept in enumerate(copy):
            if i >= len(held) or held[i] != kept.hash:
                what = "is missing" if i >= len(held) else "is another one"
                raise CaseError(
                    f"{self.path}: line {i + 1} (bumper {kept.bumper}) {what}, while case.json holds it. Do not rely "
                    "on this case; check it anew."
                )

    def spent(self) -> set[str]:
        """Names of the bumpers that have steered a fix."""
        return {entry.bumper for entry in self.entries() if entry.steered}

    def looks(self, bumper: str) -> int:
        """How many looks were taken with a bumper."""
        return sum(entry.bumper == bumper and not entry.steered for entry in self.entries())

    def in_case(self) -> list[LedgerEntry]:
        """All entries as they stand in `case.json`."""
        return [entry.in_case() for entry in self.entries()]

    def _append(self, bumper: str, split: str, what: str, steered: str, key: str) -> Entry:
        self.verify()  # never build on a broken chain
        before = self.entries()
        bare = Entry(len(before) + 1, bumper, split, what, steered, key, "")
        entry = Entry(**{**asdict(bare), "hash": _hash(before[-1].hash if before else START, bare)})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = len(self._whole())
        with open(self.path, "ab") as file:
            file.truncate(whole)  # drops a torn last line
            file.write(_canonical(asdict(entry)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return entry

    def _whole(self) -> bytes:
        """The file up to its last newline."""
        if not self.path.exists():
            return b""
        content = self.path.read_bytes()
        return content[: content.rfind(b"\n") + 1]

    def _parse(self, i: int, line: bytes) -> Entry:
        try:
            entry = Entry(**strict_json(line))
            words = (entry.bumper, entry.split, entry.what, entry.steered, entry.key, entry.hash)
            if type(entry.n) is not int or not all(isinstance(word, str) for word in words):
                raise ValueError("a field of it is of another kind")
        except (ValueError, TypeError) as error:
            raise CaseError(
                f"{self.path} is broken at line {i}: not a ledger entry ({error}). Only a last line without a newline "
                "can be repaired. Do not rely on this case; check it anew."
            ) from error
        return entry


def _canonical(content: dict) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _hash(before: str, entry: Entry) -> str:
    content = {name: value for name, value in asdict(entry).items() if name != "hash"}
    return hashlib.sha256(before.encode() + _canonical(content)).hexdigest()
