"""Save and load fitted bumpers: arrays in safetensors, settings beside them as JSON. Nothing is unpickled."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import EvidenceError

T = TypeVar("T")


def save_fitted(fitted: Any, path: Path) -> Path:
    """Write a frozen dataclass of arrays, numbers, strings, None and tuples of numbers."""
    arrays, plain = {}, {}
    for field in fields(fitted):
        value = getattr(fitted, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = np.ascontiguousarray(value)
        else:
            plain[field.name] = value
    meta = {"fitted": type(fitted).__name__, "plain": json.dumps(plain)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays or {"_": np.zeros(1)}, path, metadata=meta)
    return path


def load_fitted(kind: type[T], path: Path) -> T:
    """Read what `save_fitted` wrote. Raises EvidenceError when the file is damaged or holds another kind."""
    try:
        with safe_open(path, "numpy") as file:
            meta = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys() if name != "_"}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise EvidenceError(f"{path} cannot be read: {error}. Fit the bumper again.") from error
    if meta.get("fitted") != kind.__name__:
        raise EvidenceError(f"{path} holds a {meta.get('fitted')}, not a {kind.__name__}. Load it as what it is.")
    plain = json.loads(meta["plain"])
    tupled = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    return kind(**arrays, **tupled)
