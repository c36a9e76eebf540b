"""The log of a search: every attempt, one JSON object a line, written before the next one begins."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import EvidenceError, SettingError

HEADER = "search"


class Attempts:
    """A log on disk. A search that was cut off goes on from it; it belongs to one subject and one set of settings.

    Args:
        path: a JSONL file; None keeps the log in memory only.
        search: what the search depends on. A file that begins with something else is another search's.

    Raises:
        SettingError: the file belongs to another search.
        EvidenceError: the file cannot be read as a log.
    """

    def __init__(self, path: Path | None, search: Mapping[str, Any]) -> None:
        self.path, self.rows = path, []  # type: Path | None, list[dict[str, Any]]
        head = json.loads(json.dumps({"kind": HEADER, **search}))
        if path is not None and path.is_file():
            self.rows = _whole_rows(path)
        if not self.rows:
            self.write(head)
        elif self.rows[0] != head:
            other = sorted(k for k in {*head, *self.rows[0]} if head.get(k) != self.rows[0].get(k))
            raise SettingError(
                f"{path} is the log of another search: {', '.join(other)} differ. Give another directory with -o, or "
                "the settings it was begun with."
            )

    def write(self, row: Mapping[str, Any]) -> None:
        """Add one row; it is on its way to the disk when this returns."""
        self.rows.append(dict(row))
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def of(self, kind: str, search: str = "") -> Iterator[dict[str, Any]]:
        """Rows of a kind, of one search or of all."""
        return (r for r in self.rows if r["kind"] == kind and (not search or r.get("search") == search))

    @property
    def passes(self) -> int:
        """Forward passes that all attempts took together."""
        return sum(row.get("passes", 0) for row in self.rows)


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a log. A last line that was cut off is taken away from the file."""
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    try:
        rows = [json.loads(line) for line in whole.splitlines()]
        _ = [row["kind"] for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{path} is no log of a search: {error}. Remove it, or give another directory.") from error
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
    return rows
