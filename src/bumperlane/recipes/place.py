"""Places in a text that a user wrote, so that an error can show them: file, line, column, and the part underlined."""

import difflib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import BumperlaneError, RecipeError

Key = int | str
On = Literal["key", "value"]
Spans = Callable[[str, tuple[Key, ...], On], tuple[int, int]]  # text, path of keys, which of both -> start and end
WIDTH = 100  # columns of a line that are shown
CLOSE = 0.8  # a key this like a known one is taken for a slip of the pen


@dataclass(frozen=True)
class Place:
    """A stretch of a text. As a string it is `file:line:column`, counted from 1, as editors and compilers write it.

    Attributes:
        text: the whole text, or the one line that was read of a longer file.
        start, end: the stretch, in characters of `text`.
        first_line: the file's line in which `text` begins.
        spans: finds a path of keys in `text`; None where it has no keys.
    """

    file: Path | str
    text: str
    start: int = 0
    end: int = 0
    first_line: int = 1
    spans: Spans | None = None

    def at(self, *keys: Key, on: On = "value") -> "Place":
        """The place of a path of keys. The deepest part of it that stands in the text is taken, else this place."""
        if self.spans is None or not keys:
            return self
        start, end = self.spans(self.text, keys, on)
        return replace(self, start=start, end=end)

    def lacks(self, row: Iterable[str], wanted: Iterable[str]) -> "Place":
        """Where a row of this place lacks a key: at one that is nearly it, else the whole row."""
        found = _slip(row, wanted)
        return self.at(found[0], on="key") if found else self

    @property
    def line(self) -> int:
        return self.first_line + self.text.count("\n", 0, self.start)

    @property
    def column(self) -> int:
        """In characters, from 1."""
        return self.start - self._begin + 1

    @property
    def _begin(self) -> int:
        return self.text.rfind("\n", 0, self.start) + 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def fault(self, message: str, wrong: type[BumperlaneError] = RecipeError) -> BumperlaneError:
        """The error to raise: where, what, and the line with the place underlined."""
        return wrong(self.said(message))

    def said(self, message: str) -> str:
        return f"{self}: {message}\n{self.shown()}"

    def shown(self) -> str:
        """The line and, under it, a row of ^ where the place is. Of a long line only what is near is shown."""
        stop = self.text.find("\n", self.start)
        line = self.text[self._begin : None if stop < 0 else stop].rstrip("\r")
        first = min(self.column - 1, len(line))
        last = max(min(self.end - self._begin, len(line.rstrip())), first + 1)
        cut = max(0, min(first - WIDTH // 3, len(line) - WIDTH))
        cut, head = (cut, "…") if cut > 1 else (0, "")
        tail = "…" if len(line) > cut + WIDTH else ""
        seen, last = line[cut : cut + WIDTH], min(last, cut + WIDTH)
        room = " " * (len(head) + _columns(line[cut:first]))
        marks = "^" * max(1, _columns(line[first:last]))
        number = str(self.line)
        return f"  {number} | {head}{_visible(seen)}{tail}\n  {' ' * len(number)} | {room}{marks}"


class PlacedRow(dict[str, Any]):
    """A row that knows where it stands. `place` is None once it was copied."""

    def __init__(self, row: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), place: Place | None = None) -> None:
        super().__init__(row)
        self.place = place


def misspelt(row: Iterable[str], wanted: Iterable[str]) -> str:
    """A closing sentence about a key that is nearly a wanted one: ` Is 'promt' meant to be 'prompt'?`; or none."""
    found = _slip(row, wanted)
    return f" Is {found[0]!r} meant to be {found[1]!r}?" if found else ""


def _slip(row: Iterable[str], wanted: Iterable[str]) -> tuple[str, str] | None:
    """The first key that is nearly a wanted one that the row lacks: (key, what it is nearly)."""
    there, wanted = [str(key) for key in row], list(wanted)
    for key in (k for k in wanted if k not in there):
        close = difflib.get_close_matches(key, [k for k in there if k not in wanted], n=1, cutoff=CLOSE)
        if close:
            return close[0], key
    return None


def row_fault(row: Mapping[str, Any], key: Key, message: str, wrong: type[BumperlaneError]) -> BumperlaneError:
    """The error about a key of a row: with its place where the row was read from a file, else as it is."""
    place = getattr(row, "place", None)
    return place.at(key).fault(message, wrong) if place else wrong(message)


def refuse_misspelt(row: Mapping[str, Any], known: Iterable[str], place: Place, wrong: type[BumperlaneError]) -> None:
    """Raise `wrong` for a key that is nearly a known one that the row lacks. Others are the user's own."""
    allowed = set(known)
    known = sorted(allowed - set(row))
    for key in (k for k in row if k not in allowed):
        close = difflib.get_close_matches(str(key), known, n=1, cutoff=CLOSE)
        if close:
            raise place.at(key, on="key").fault(
                f"unknown key {key!r}. Did you mean {close[0]!r}? Known keys that are not here: {', '.join(known)}.",
                wrong,
            )


def _visible(text: str) -> str:
    """One character for one: tabs as arrows, other hidden characters as dots."""
    return "".join("→" if c == "\t" else c if c.isprintable() else "·" for c in text)


def _columns(text: str) -> int:
    """Columns that a terminal gives a text: two for wide characters, none for combining marks."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in _visible(text)
    )
