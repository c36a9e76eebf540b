"""The user's rows for a bumper that asks: read, or refused with the row and key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import EvidenceError
from ..recipes.place import misspelt, row_fault
from .sources import sameness


@dataclass(frozen=True)
class GivenRow:
    """One row of the user's items. Everything here raises EvidenceError naming bumper, row and key.

    Args:
        bumper: whose row it is.
        number: which one, counted from 1 as its look was given them.
        row: the keys and values.
    """

    bumper: str
    number: int
    row: Mapping[str, Any]

    def words(self, key: str, default: str | None = None) -> str:
        """A non-empty string; the default where the key is missing and there is one."""
        value = self.row.get(key, default)
        if value is default and default is not None:
            return default
        if not isinstance(value, str) or not value.strip():
            self.refuse(f"needs {key!r}, a string that is not empty, got {value!r:.60}", key)
        return value.strip()

    def several(self, key: str, least: int = 0) -> tuple[str, ...]:
        """A list of different non-empty strings; none where the key is missing and none are needed."""
        values = self.row.get(key, [])
        good = isinstance(values, Sequence) and not isinstance(values, str)
        if not good or not all(isinstance(v, str) and v.strip() for v in values):
            self.refuse(f"needs {key!r}, a list of strings that are not empty, got {values!r:.60}", key)
        found = tuple(dict.fromkeys(v.strip() for v in values))
        if len(found) < least:
            self.refuse(f"needs {least} or more different entries in {key!r}, got {len(found)}", key)
        return found

    def under(self, key: str) -> tuple["GivenRow", ...]:
        """A list of rows inside the row; none where the key is missing."""
        values = self.row.get(key, [])
        if not isinstance(values, list | tuple) or not all(isinstance(v, Mapping) for v in values):
            self.refuse(f"needs {key!r}, a list of objects, got {values!r:.60}", key)
        return tuple(GivenRow(f"{self.bumper} row {self.number} {key}", i, v) for i, v in enumerate(values, 1))

    def refuse(self, what: str, key: str = "") -> NoReturn:
        """Raise EvidenceError about this row, or one key of it: with its place where a file is known."""
        keys, hint = ", ".join(sorted(map(str, self.row))[:8]) or "none", misspelt(self.row, (key,)) if key else ""
        message = f"{self.bumper} row {self.number} {what}; its keys are {keys}.{hint} Correct the row."
        raise row_fault(self.row, key, message, EvidenceError)


def rows_given(bumper: str, rows: Sequence[Mapping[str, Any]]) -> tuple[GivenRow, ...]:
    """Rows of a bumper, numbered, each once. Raises EvidenceError for what is no row."""
    found: dict[str, GivenRow] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise EvidenceError(f"{bumper} row {number} is {row!r:.60} and no object. Write one JSON object a line.")
        found.setdefault(sameness(row), GivenRow(bumper, number, row))
    return tuple(found.values())
