"""Keep the state of a stream's alarm in a JSON file: killed at any moment, it goes on where it was saved last."""

import json
import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from ..errors import EvidenceError

T = TypeVar("T")


def save_state(state: Any, path: Path) -> Path:
    """Write a frozen dataclass of arrays, numbers, strings and dataclasses of these, whole or not at all.

    Floats are written so that they read back to the last bit. Raises ValueError for NaN, which no state holds.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    with open(draft, "w", encoding="utf-8") as file:
        json.dump({"state": type(state).__name__, **_plain(state)}, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    return path


def load_state(kind: type[T], path: Path) -> T:
    """Read what `save_state` wrote. Raises EvidenceError when the file is damaged or holds another kind of state."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        held = content.get("state")
    except (OSError, ValueError, AttributeError) as error:
        raise EvidenceError(
            f"{path} cannot be read: {error}. Start the alarm again from calibration scores."
        ) from error
    if held != kind.__name__:
        raise EvidenceError(f"{path} holds a {held}, not a {kind.__name__}. Load it as what it is.")
    try:
        return _made(kind, content)
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"{path} is damaged: {type(error).__name__} {error}. Start the alarm again from calibration scores."
        ) from error


def _plain(state: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if is_dataclass(value):
            out[field.name] = _plain(value)
        elif isinstance(value, np.ndarray):
            out[field.name] = {"dtype": value.dtype.str, "shape": value.shape, "values": value.ravel().tolist()}
        else:
            out[field.name] = value
    return out


def _made(kind: Any, content: dict[str, Any]) -> Any:
    hints: dict[str, Any] = get_type_hints(kind)
    made: dict[str, Any] = {}
    for field in fields(kind):
        value, hint = content[field.name], hints[field.name]
        if is_dataclass(hint):
            made[field.name] = _made(hint, value)
        elif hint is np.ndarray:
            made[field.name] = np.array(value["values"], np.dtype(value["dtype"])).reshape(value["shape"])
        else:
            made[field.name] = value
    return kind(**made)
