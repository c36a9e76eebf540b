"""The cases under a directory. Links are not followed, and a case that cannot be read is listed as such."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from ...case import Case, load_case
from ...errors import CaseError
from ..sentences import contradiction, every_bumper, outcome

FILE = "case.json"
MOST_CASES = 2_000
MOST_DIRECTORIES = 50_000
DEEPEST = 12
LARGEST_BYTES = 64_000_000
OWN = frozenset({"work", "runs"})  # directories of a case that hold no cases of their own
UNREADABLE = "unreadable"  # a fix can be `damaged`: that is another thing


@dataclass(frozen=True)
class Listed:
    """One case in a list.

    Attributes:
        key: its directory, relative to the one that is served, as `address_of` writes it; empty for that one itself.
        word: the verdict that stands over it, or `unreadable`.
        hits: bumpers that were hit.
        fault: why it cannot be read; empty when it can.
        directory: where it lies.
        note: how it contradicts itself; empty where it does not.
    """

    key: str
    word: str
    run: str
    stages: tuple[str, ...]
    hits: tuple[str, ...]
    bumpers: tuple[str, ...]
    changed: datetime
    directory: Path
    fault: str = ""
    note: str = ""


@dataclass(frozen=True)
class Catalogue:
    """The cases that were found, newest first. `cut` says what was not looked at."""

    root: Path
    cases: tuple[Listed, ...]
    cut: str = ""

    def directory(self, key: str) -> Path | None:
        """Where a case lies; None for a key that no found case has."""
        return next((c.directory for c in self.cases if c.key == key), None)


def catalogue(root: Path) -> Catalogue:
    """Look for cases, no more than 2,000 in 50,000 directories, 12 deep."""
    root = root.resolve()
    found: list[Listed] = []
    cut = ""
    for n, directory in enumerate(_directories(root)):
        if n >= MOST_DIRECTORIES or len(found) >= MOST_CASES:
            cut = f"Only the first {len(found):,} cases in {n:,} directories are listed. Serve a smaller directory."
            break
        file = directory / FILE
        if os.path.lexists(file):
            key = address_of(directory.relative_to(root).as_posix())
            found.append(_listed("" if key == "." else key, file))
    return Catalogue(root, tuple(sorted(found, key=lambda c: (-c.changed.timestamp(), c.key))), cut)


def address_of(name: str) -> str:
    """A file's name as an address can hold it: bytes that are no UTF-8 and control codes are escaped, as in `\\xe9`."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(f"\\x{ord(char):02x}" if char < " " or char == "\x7f" else char for char in text)


def read_case(file: Path) -> Case:
    """The case of a `case.json` that is a plain file of a sane size. Raises CaseError."""
    if file.is_symlink() or not file.is_file():
        raise CaseError("case.json is a link or no plain file, and links are not followed.")
    state = file.stat()
    if state.st_size > LARGEST_BYTES:
        raise CaseError(f"case.json has {state.st_size:,} bytes; more than {LARGEST_BYTES:,} are not read here.")
    return _read(file.parent, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _read(directory: Path, changed_ns: int, size: int) -> Case:
    """Kept while the file is as it was: several pages show one case."""
    try:
        return load_case(directory)
    except (OSError, ValueError, RecursionError) as error:
        raise CaseError(f"case.json cannot be read: {error}") from error


def _listed(key: str, file: Path) -> Listed:
    state = file.lstat()
    return _summary(key, file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4 * MOST_CASES)
def _summary(key: str, file: Path, changed_ns: int, size: int) -> Listed:
    """What the list shows of a case, kept while its file is as it was."""
    changed = datetime.fromtimestamp(changed_ns / 1e9, UTC)
    try:
        case = read_case(file)
    except CaseError as error:
        return Listed(key, UNREADABLE, "", (), (), (), changed, file.parent, str(error))
    rows = every_bumper(case)
    hits = tuple(sorted({b.bumper for b in rows if b.verdict == "hit"}))
    looked = tuple(sorted({b.bumper for b in rows}))
    stages, note = tuple(case.stages), contradiction(case)
    return Listed(key, outcome(case), case.run, stages, hits, looked, changed, file.parent, note=note)


def _directories(root: Path) -> Iterator[Path]:
    """The root and all directories below, nearest first. Hidden ones, links and what cannot be opened are left out."""
    level = [root]
    for _ in range(DEEPEST + 1):
        below: list[Path] = []
        for directory in level:
            yield directory
            below += _inside(directory)
        level = below


def _inside(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            found = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    except OSError:
        return []
    own = OWN if (directory / FILE).exists() else frozenset()
    return sorted(path for path in found if path.name not in own)
