"""Rows of a JSONL file that a recipe names, each with an id of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BumperlaneError, RecipeError


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, object) for each line that is not blank. Raises RecipeError with file and line."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, row_in(line, f"{path}:{number}")
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}. Correct the path in the recipe.") from error


def row_in(line: bytes, where: str, wrong: type[BumperlaneError] = RecipeError) -> dict[str, Any]:
    """The JSON object that a line holds. Raises `wrong`, beginning with `where`."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8"
        raise wrong(f"{where}: broken JSON: {what}. Each line must hold one JSON object.") from error
    if not isinstance(row, dict):
        raise wrong(f"{where}: a row must be a JSON object, got {type(row).__name__}.")
    return row


class RowIds:
    """The ids of one file's rows, in order: its own, or `<name>/<first 10 hex digits of the content's key>`, with `-2`,
    `-3` for repeats."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.lines: dict[str, int] = {}
        self.repeats: dict[str, int] = {}

    def of(self, number: int, row: dict[str, Any], key: str) -> str:
        """The id of the row in that line. Raises RecipeError for one that is no string, or stands in a line before."""
        where, id = f"{self.path}:{number}", row.get("id")
        if id is None:
            short = f"{self.name}/{key[:10]}"
            self.repeats[short] = self.repeats.get(short, 0) + 1
            id = short if self.repeats[short] == 1 else f"{short}-{self.repeats[short]}"
        if not isinstance(id, str) or not id:
            raise RecipeError(f"{where}: id must be a non-empty string, got {id!r}. Quote it, or leave it out.")
        if id in self.lines:
            raise RecipeError(f"{where}: id {id!r} stands already in line {self.lines[id]}. Rename one of the two.")
        self.lines[id] = number
        return id
