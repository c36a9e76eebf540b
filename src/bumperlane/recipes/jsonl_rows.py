"""Rows of a JSONL file that a user wrote, each with its place in the file and an id of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BumperlaneError, RecipeError
from .json_spans import json_place, parsed_json
from .place import Place, PlacedRow

ADVICE = "Each line must hold one JSON object."


def read_rows(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield (place, object) for each line that is not blank. Raises RecipeError with file, line and column."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = row_in(line, path, number)
                    yield row.place or json_place(path, "", number), row
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}. Correct the path in the recipe.") from error


def row_in(line: bytes, file: Path, number: int, wrong: type[BumperlaneError] = RecipeError) -> PlacedRow:
    """The JSON object that a line holds. Raises `wrong` with the place."""
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        readable = line.decode("utf-8", "replace").rstrip("\r\n")
        at = len(line[: error.start].decode("utf-8", "replace"))
        place = Place(file, readable, at, at + 1, number)
        raise place.fault(f"broken JSON: not UTF-8. {ADVICE}", wrong) from error
    place = json_place(file, text, number)
    row = parsed_json(place, wrong, ADVICE)
    if not isinstance(row, dict):
        raise place.fault(f"a row must be a JSON object, got {type(row).__name__}.", wrong)
    return PlacedRow(row, place)


class RowIds:
    """The ids of one file's rows, in order: its own, or `<name>/<first 10 hex digits of the content's key>`, with `-2`,
    `-3` for repeats."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.lines: dict[str, int] = {}
        self.repeats: dict[str, int] = {}

    def of(self, place: Place, row: dict[str, Any], key: str) -> str:
        """The id of the row there. Raises RecipeError for one that is no string, or stands in a line before."""
        at, id = place.at("id"), row.get("id")
        if id is None:
            short = f"{self.name}/{key[:10]}"
            self.repeats[short] = self.repeats.get(short, 0) + 1
            id = short if self.repeats[short] == 1 else f"{short}-{self.repeats[short]}"
        if not isinstance(id, str) or not id:
            raise at.fault(f"id must be a non-empty string, got {id!r}. Quote it, or leave it out.")
        if id in self.lines:
            raise at.fault(f"id {id!r} stands already in line {self.lines[id]}. Rename one of the two.")
        self.lines[id] = place.line
        return id
