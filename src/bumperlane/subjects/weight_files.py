"""Weights on disk, read tensor by tensor: full checkpoints in safetensors, and LoRA adapters."""

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..errors import ModelError
from .smollm2 import resolve_model

ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FACTORS = (".lora_A.weight", ".lora_B.weight", ".lora_embedding_A", ".lora_embedding_B")


@dataclass(frozen=True)
class Tensors:
    """The tensors of a checkpoint. `files` gives the file of each, and `matrices` those of two or more axes."""

    directory: Path
    files: dict[str, Path]
    matrices: tuple[str, ...]
    leave_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, directory: Path, leave_out: Sequence[str] = ()) -> "Tensors":
        """Find a checkpoint's tensors, whole or in shards. Raises ModelError when there are none."""
        index = directory / "model.safetensors.index.json"
        names = sorted(set(_json(index)["weight_map"].values())) if index.is_file() else ["model.safetensors"]
        return cls.in_files(directory, [directory / name for name in names], leave_out)

    @classmethod
    def in_files(cls, directory: Path, paths: Sequence[Path], leave_out: Sequence[str] = ()) -> "Tensors":
        files: dict[str, Path] = {}
        matrices = []
        for path in paths:
            if not path.is_file():
                raise ModelError(f"no {path.name} in {directory}. Give a directory that `save_pretrained` wrote.")
            with _opened(path) as file:
                for name in sorted(file.keys()):
                    files[name] = path
                    if len(file.get_slice(name).get_shape()) > 1 and not set(leave_out) & set(name.split(".")):
                        matrices.append(name)
        return cls(directory, files, tuple(matrices), tuple(leave_out))

    def read(self, name: str) -> torch.Tensor:
        """One tensor, in its own precision. Raises ModelError when it is no floating-point tensor."""
        with _opened(self.files[name]) as file:
            tensor = file.get_tensor(name)
        if not tensor.dtype.is_floating_point:
            raise ModelError(
                f"{name} in {self.directory} is stored as {tensor.dtype}, quantised. Give the checkpoint unquantised."
            )
        return tensor

    def find(self, module: str) -> str:
        """The tensor of a module, whatever prefix the file leaves out or adds. Raises ModelError, with what is near."""
        wanted = module.removesuffix(".weight")
        have = {name.removesuffix(".weight"): name for name in self.files}
        if wanted in have:
            return have[wanted]
        found = [full for name, full in have.items() if name.endswith("." + wanted) or wanted.endswith("." + name)]
        if len(found) != 1:
            near = difflib.get_close_matches(wanted, have, n=2, cutoff=0.4)
            raise ModelError(f"{len(found)} tensors of {self.directory} belong to {module}. Near it: {near}.")
        return found[0]


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: the modules it changes, and what scales them."""

    tensors: Tensors
    config: dict[str, Any]
    modules: tuple[str, ...]

    @classmethod
    def of(cls, directory: Path, leave_out: Sequence[str] = ()) -> "Adapter":
        """Raises ModelError for another sort of adapter than plain LoRA on matrices."""
        config = _json(directory / CONFIG)
        if config.get("peft_type") != "LORA" or config.get("use_dora"):
            raise ModelError(
                f"{directory} holds a {config.get('peft_type')} adapter{' with DoRA' * bool(config.get('use_dora'))}; "
                "only plain LoRA is read in factors. Merge it into a full checkpoint."
            )
        tensors = Tensors.in_files(directory, [directory / ADAPTER], leave_out)
        for name in tensors.matrices:
            with _opened(tensors.files[name]) as file:
                if len(file.get_slice(name).get_shape()) > 2:
                    raise ModelError(f"{name} in {directory} is no matrix. Merge the adapter into a full checkpoint.")
        return cls(tensors, config, tuple(dict.fromkeys(_module(name) for name in tensors.matrices)))

    def factors(self, module: str) -> tuple[torch.Tensor, ...]:
        """(B (out, r), A (r, in)) in float64, the scale multiplied into B; empty where a module is saved whole only."""
        own = self._own(module)
        for a, b in (FACTORS[:2], FACTORS[2:]):
            if (a in own) != (b in own):
                raise ModelError(
                    f"{self.tensors.directory} holds {sorted(own)} of {module}; expected a pair A and B. "
                    "Save the adapter again."
                )
            if a in own:
                one, other = self.tensors.read(own[a]).double(), self.tensors.read(own[b]).double()
                return other * self._scale(module, len(one)), one
        return ()

    def whole(self, module: str) -> torch.Tensor | None:
        """A weight saved beside the adapter: of a module trained whole, or of embeddings, which PEFT keeps."""
        names = [name for end, name in self._own(module).items() if end not in FACTORS]
        return self.tensors.read(names[0]) if names else None

    def _own(self, module: str) -> dict[str, str]:
        """What is saved of a module: how the name ends after it, and the whole name."""
        names = [name for name in self.tensors.matrices if _module(name) == module]
        return {name.removeprefix(_prefix(name)).removeprefix(module): name for name in names}

    def _scale(self, module: str, rank: int) -> float:
        patterns = self.config.get("alpha_pattern") or {}
        own = [alpha for key, alpha in patterns.items() if re.match(rf"(.*\.)?({key})$", module)]
        alpha = own[0] if own else self.config["lora_alpha"]
        return alpha / (rank**0.5 if self.config.get("use_rslora") else rank)


def is_adapter(directory: Path) -> bool:
    return (directory / CONFIG).is_file()


def base_of(now: Path, base: Path | str | None, before: Path | str | None) -> Path:
    """The directory of the base. Raises ModelError when none is given and none is named."""
    if base is None and is_adapter(now):
        base = _json(now / CONFIG).get("base_model_name_or_path") or ""
    elif base is None and before is not None:
        base = before
    found = Path(resolve_model(str(base))) if base else None
    if found is None or not found.is_dir():
        raise ModelError(f"the base of {now} is {base or 'not named'}, no directory here. Pass base=, its directory.")
    return found


def _prefix(name: str) -> str:
    return "base_model.model." if name.startswith("base_model.model.") else ""


def _module(name: str) -> str:
    bare = name.removeprefix(_prefix(name))
    for end in (*FACTORS, ".base_layer.weight", ".weight"):
        if bare.endswith(end):
            return bare.removesuffix(end)
    return bare


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}. Save the checkpoint again.") from error


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read {path}: {error}. Save the checkpoint again.") from error
