"""JSON that all readers take alike."""

import json
import math
from typing import Any


def strict_json(text: str | bytes) -> Any:
    """The value of a JSON text that all readers take alike.

    Raises ValueError for what is no JSON, or is nested too deep; for a key that stands twice in an object, of which
    one reader takes the first and another the last; and for NaN, Infinity and numbers too large for 64 bits: NaN is
    neither above nor below any line, so that no check of it could fail.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_each_once, parse_constant=_finite, parse_float=_finite, parse_int=_whole
        )
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _whole(text: str) -> int:
    value = int(text) if len(text) <= 20 else 2**63
    if not -(2**63) <= value < 2**63:
        raise ValueError(
            f"{text[:20]}... does not fit into 64 bits" if len(text) > 20 else f"{text} needs over 64 bits"
        )
    return value
