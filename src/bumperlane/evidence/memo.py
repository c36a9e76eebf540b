"""Costly results, kept under the hash of what they were made from: a killed investigation goes on where it stopped."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..case import temporary_beside, write_json
from ..recipes.provenance import content_key, sha256_file, sha256_tree
from ..subjects.scripted import ScriptedSubject
from ..subjects.subject import ADAPTER, Subject


class Memo:
    """A directory of results. A result is written whole or not at all, and never overwritten."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def json(self, what: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """The JSON value made from `what`; computed once. A damaged file is computed again."""
        path = self.directory / f"{what['kind']}-{content_key(what)[:20]}.json"
        if path.is_file():
            try:
                return json.loads(path.read_text())
            except ValueError:
                path.unlink()
        value = compute()
        write_json(path, value)
        return json.loads(path.read_text())

    def arrays(self, what: Mapping[str, Any], compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays made from `what`, in safetensors."""
        path = self.directory / f"{what['kind']}-{content_key(what)[:20]}.safetensors"
        if path.is_file():
            try:
                return load_file(path)
            except (SafetensorError, OSError):
                path.unlink()
        value = {k: np.ascontiguousarray(v) for k, v in compute().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        save_file(value, temporary)
        os.replace(temporary, path)
        return value


class NoMemo(Memo):
    """Keeps nothing."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def json(self, what: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        return compute()

    def arrays(self, what: Mapping[str, Any], compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return compute()


def subject_key(subject: Subject | ScriptedSubject) -> str:
    """Hash of what determines a subject's answers: base, adapter, dtype, device kind and alterations."""
    if isinstance(subject, ScriptedSubject):
        return subject.name
    model = subject.host.model
    parameter = next(model.parameters())
    base = subject.host.name
    parts = {
        "base": sha256_tree(base) if Path(base).is_dir() else base,
        "adapter": sha256_file(subject.adapter / ADAPTER) if subject.adapter else "",
        "settings": sha256_file(subject.adapter / "adapter_config.json") if subject.adapter else "",  # alpha scales it
        "dtype": str(parameter.dtype),
        "device": parameter.device.type,
        **({"altered": subject.altered} if subject.altered else {}),
    }
    return content_key(parts)
