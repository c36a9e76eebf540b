"""Where a key or value stands in a JSON text. Used only once something is wrong: the text is read a second time."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from json.decoder import JSONDecoder, scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from ..errors import BumperlaneError
from .place import Key, On, Place

LONG = re.compile(r"\d{1000,}")
SPACE = re.compile(r"[ \t\r\n]*")
Part = tuple[Key, tuple[int, int], tuple[int, int]]  # key or index, where it stands, where its value stands


def json_span(text: str, keys: tuple[Key, ...], on: On = "value") -> tuple[int, int]:
    """Start and end of the deepest part of a path of keys that is there; of a key that stands twice, the last."""
    found = whole = (_after(text, 0), len(text.rstrip()))
    for i, key in enumerate(keys):
        parts = [part for part in _parts(text, whole[0]) if part[0] == key]
        if not parts:
            break
        _, own, whole = parts[-1]
        found = own if on == "key" and i == len(keys) - 1 else whole
    return found


def json_place(file: Path | str, text: str, first_line: int = 1) -> Place:
    """The whole of a text that is JSON."""
    return Place(file, text, _after(text, 0), len(text.rstrip()), first_line, json_span)


def parsed_json(place: Place, wrong: type[BumperlaneError], advice: str) -> Any:
    """The value that the text holds. Raises `wrong` at the character where it breaks off being JSON."""
    try:
        return json.loads(place.text)
    except json.JSONDecodeError as error:
        at = min(error.pos, max(len(place.text.rstrip()) - 1, 0))
        broken = Place(place.file, place.text, at, at + 1, place.first_line)
        raise broken.fault(f"broken JSON: {error.msg}. {advice}", wrong) from error
    except RecursionError as error:
        raise place.fault(f"broken JSON: nested too deep. {advice}", wrong) from error
    except ValueError as error:  # Python reads no number of more than 4300 digits
        long = LONG.search(place.text)
        here = replace(place, start=long.start(), end=long.end(), spans=None) if long else place
        raise here.fault(f"broken JSON: a number with too many digits. {advice}", wrong) from error


def _parts(text: str, at: int) -> Iterator[Part]:
    """The members of the object, or the items of the list, that begins at `at`."""
    kind = text[at : at + 1]
    if kind not in ("{", "["):
        return
    at, index = _after(text, at + 1), 0
    while text[at : at + 1] not in ("}", "]", ""):
        key: Key = index
        start = at
        if kind == "{":
            key, at = scanstring(text, at + 1, False)
            own = (start, at)
            start = at = _after(text, _after(text, at) + 1)
        _, at = JSONDecoder(strict=False).raw_decode(text, start)
        yield key, own if kind == "{" else (start, at), (start, at)
        at, index = _after(text, at), index + 1
        at = _after(text, at + 1) if text[at : at + 1] == "," else at


def _after(text: str, at: int) -> int:
    """The first place from `at` that is no white space."""
    found = SPACE.match(text, at)
    return found.end() if found else at
