"""What a run was made from: hashes of files and settings, and the versions of the software."""

import hashlib
import json
import platform
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import RunError

PACKAGES = ("bumperlane", "torch", "transformers", "peft", "safetensors", "numpy")
MODEL_SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt")


def content_key(value: Any) -> str:
    """sha256, 64 hex digits, of the canonical JSON of `value` (sorted keys, no spaces).

    Raises TypeError for what JSON cannot hold and ValueError for NaN.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_file(path: Path | str) -> str:
    """sha256 of a file's bytes. A file of the same size and modification time is read once per process.

    Raises RunError when the file cannot be read.
    """
    path = Path(path).resolve()
    try:
        stat = path.stat()
        return _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}. Put it back, or correct the path.") from error


@lru_cache(maxsize=4096)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_files(files: Iterable[Path], root: Path) -> dict[str, str]:
    """Relative path -> sha256, sorted by path."""
    return {str(file.relative_to(root)): sha256_file(file) for file in sorted(files)}


def sha256_tree(directory: Path | str) -> str:
    """One hash over the names and bytes of every file below a directory. Raises RunError when it is none."""
    directory = Path(directory)
    if not directory.is_dir():
        raise RunError(f"{directory} is no directory. Correct the path.")
    return content_key(sha256_files((f for f in directory.rglob("*") if f.is_file()), directory))


def model_files(where: str) -> dict[str, str]:
    """Hashes of a model directory's weights, configuration and tokenizer; empty for a name that is not on disk."""
    directory = Path(where)
    if not directory.is_dir():
        return {}
    return sha256_files((f for f in directory.iterdir() if f.suffix in MODEL_SUFFIXES and f.is_file()), directory)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that training depends on. `absent` where one is not installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
