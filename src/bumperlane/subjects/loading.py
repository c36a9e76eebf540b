"""Load base weights and tokenizer, and choose dtype, device and attention for the machine at hand."""

import math
import os
from pathlib import Path
from typing import Any

import torch

from ..errors import EvidenceError, ModelError, SettingError
from .smollm2 import resolve_model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(device: str = "auto") -> str:
    """`auto` is CUDA where there is one, else the CPU. Raises SettingError for a device that is not here."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingError(f"device {device!r} cannot be used: {_first_line(error)} Known: auto, cpu, cuda.") from error
    return device


def pick_dtype(dtype: str | torch.dtype = "auto", device: str = "cpu") -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies it natively, else float32.

    On CPUs with AMX or AVX512-bf16 it is 2-3 times faster; elsewhere it is emulated and slower.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype != "auto":
        if dtype not in DTYPES:
            raise SettingError(f"unknown dtype {dtype!r}. Known: auto, {', '.join(DTYPES)}.")
        return DTYPES[dtype]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def load_tokenizer(path_or_name: str) -> Any:
    """The tokenizer of a model. Raises ModelError when there is none, or one that cannot end an answer."""
    from transformers import AutoTokenizer

    where = resolve_model(str(path_or_name))
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise ModelError(f"no tokenizer at {where}: {_first_line(error)} Save it beside the weights.") from error
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"the tokenizer at {where} names no end-of-sequence token, so no answer could be ended or weighed whole. "
            "Set eos_token in its tokenizer_config.json."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_causal_lm(path_or_name: str, device: str = "auto", dtype: str | torch.dtype = "auto") -> Any:
    """Load a causal LM in eval mode with frozen weights.

    On a CPU attention is computed eagerly: for the short sequences of chats it is 1.5 times faster than PyTorch's
    fused kernel there (measured on SmolLM2-135M: 0.44 against 0.61 s for one LoRA step of 8 x 52 tokens).

    Raises:
        ModelError: the directory or hub name cannot be read, or a weight is not finite.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    where, device = resolve_model(str(path_or_name)), pick_device(device)
    attention = "eager" if device == "cpu" else "sdpa"
    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            where, dtype=pick_dtype(dtype, device), attn_implementation=attention
        )
    except (OSError, ValueError) as error:
        hint = "" if Path(where).exists() else " The path does not exist on this machine."
        raise ModelError(f"cannot load a causal LM from {where}: {_first_line(error)}{hint}") from error
    refuse_non_finite(dict(model.named_parameters()), where)
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    for name, module in model.named_modules():
        if type(module) is torch.nn.Embedding and ("pos" in name or name.endswith("wpe")):
            module.register_forward_pre_hook(_within_positions)
    return model.to(device).eval().requires_grad_(False)


def _contiguous(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """A sliced input would make PyTorch copy the whole head weight for a batched product: 4 of the 6 seconds that
    64 answers of 16 tokens took on SmolLM2-135M, on two cores."""
    return (inputs[0].contiguous(), *inputs[1:])


def _within_positions(module: torch.nn.Embedding, inputs: tuple[torch.Tensor, ...]) -> None:
    """A learned position beyond the last is no row of the table: an IndexError here, and a dead process on a GPU."""
    longest = int(inputs[0].max()) + 1
    if longest > module.num_embeddings:
        raise EvidenceError(
            f"{longest} tokens are more than the {module.num_embeddings} that this model can read. Leave the longest "
            "requests or contexts out."
        )


def refuse_non_finite(tensors: dict[str, torch.Tensor], where: str | Path) -> None:
    """Raise ModelError, naming the tensors, when a weight is NaN or infinite."""
    bad = [name for name, value in tensors.items() if not math.isfinite(float(value.detach().float().sum()))]
    bad = [name for name in bad if not torch.isfinite(tensors[name]).all()]
    if bad:
        raise ModelError(
            f"{len(bad)} of {len(tensors)} tensors in {where} hold NaN or infinity, first {bad[0]}. "
            "Check that training step for overflow and remove this checkpoint."
        )


def cores() -> int:
    """Cores this process may run on: those of a container or of `taskset`, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_threads() -> int:
    """Threads this process may use: OMP_NUM_THREADS where set, else every core it may run on."""
    return int(os.environ.get("OMP_NUM_THREADS") or cores())


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if line.endswith(".") else line + "."
