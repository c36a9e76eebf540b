"""Which linear layers give gradients, and the random projections that make an example's gradient small.

An example's weight gradient at a linear layer is sum_t g_t a_t^T, with inputs a_t and output gradients g_t. Projected
from both sides it is sum_t (P_out^T g_t) (P_in^T a_t)^T: a (k_out, k_in) matrix made from vectors of k numbers a token.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import torch

from ..errors import SettingError
from .loading import DTYPES, pick_dtype
from .sites import blocks_of


@dataclass(frozen=True)
class ProjectionSettings:
    """What an example's gradient is taken of, and how small it is made.

    Args:
        k: numbers that each side of a weight is projected to; a side of k or fewer is kept as it is (the rank of a
            LoRA). None projects nothing: whole gradients, for adapters only.
        kind: rademacher (the same bits on every machine) or gaussian (the same with the same NumPy). Both are scaled
            so that inner products of gradients are unbiased.
        seed: of the projections. Each side of each site has its own, from the seed and the site's name.
        sites: names as `linear_sites` gives them; empty takes all of them.
        loss: mean or sum of the negative log-likelihood, in nats, over an example's answer tokens.
        layers: blocks after which the mean over the answer's tokens is kept as well, from the same pass.
        dtype: what the pass computes in: auto (bfloat16 where the hardware multiplies it natively), bfloat16 or
            float32. Projected gradients are summed over tokens in float32 either way.
        token_budget: sequences x longest of a batch, at most. 0 takes 1,024 on a CPU, where a batch should stay in the
            cache, and 16,384 on a GPU.
    """

    k: int | None = 16
    kind: Literal["rademacher", "gaussian"] = "rademacher"
    seed: int = 0
    sites: tuple[str, ...] = ()
    loss: Literal["mean", "sum"] = "mean"
    layers: tuple[int, ...] = ()
    dtype: str = "auto"
    token_budget: int = 0

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise SettingError(f"k must be 1 or more, or None for whole gradients, got {self.k}.")
        for name, known in (("kind", ("rademacher", "gaussian")), ("loss", ("mean", "sum")), ("dtype", PASS_DTYPES)):
            if getattr(self, name) not in known:
                raise SettingError(f"unknown {name} {getattr(self, name)!r}. Known: {', '.join(known)}.")
        if self.token_budget < 0:
            raise SettingError(f"token_budget must be 0 (chosen by device) or more, got {self.token_budget}.")

    def dtype_on(self, device: torch.device) -> torch.dtype:
        """What the pass computes in there. float16 is never chosen: small gradients vanish in it."""
        if self.dtype != "auto":
            return DTYPES[self.dtype]
        chosen = pick_dtype("auto", device.type)
        return torch.float32 if chosen == torch.float16 else chosen

    def budget_on(self, device: torch.device) -> int:
        return self.token_budget or (1024 if device.type == "cpu" else 16384)


PASS_DTYPES = ("auto", "bfloat16", "float32")


@dataclass(frozen=True)
class GradientSite:
    """One linear layer, and what each side of its gradient is projected with (None: kept as it is).

    Attributes:
        project_in, project_out: (k_in, d_in) and (k_out, d_out). A CPU multiplies them faster this way round.
        columns: where this site's k_out * k_in numbers stand in an example's row, k_in running fastest.
    """

    name: str
    module: torch.nn.Module
    project_in: torch.Tensor | None
    project_out: torch.Tensor | None
    shape: tuple[int, int]
    columns: slice


def linear_sites(model: Any) -> dict[str, torch.nn.Module]:
    """Linear layers (`nn.Linear`, transformers' Conv1D) inside the blocks, by block number and name.

    Where the model wears an adapter that is switched on: its A and B layers only, since only they were trained. The
    embedding and the head are never sites, so it does not matter whether they share a weight; biases do not count.
    """
    plain: dict[str, torch.nn.Module] = {}
    adapter: dict[str, torch.nn.Module] = {}
    for i, block in enumerate(blocks_of(model)):
        for name, module in block.named_modules():
            adapter |= {f"{i}.{name}.{part}": inner for part, inner in _active_lora(module)}
            known = any(module is other for other in plain.values())  # blocks may share a layer: its uses add up
            if _is_linear(module) and ".lora_A." not in name and ".lora_B." not in name and not known:
                plain[f"{i}.{name}".removesuffix(".base_layer")] = module
    if not plain and not adapter:
        raise SettingError("no block of this model holds a linear layer, so there is no gradient to project.")
    return adapter or plain


def gradient_sites(model: Any, settings: ProjectionSettings) -> tuple[GradientSite, ...]:
    """The chosen sites with their projections, in the dtype and on the device of the pass.

    Raises SettingError, listing known ones, for a site that the model has not got, and for whole gradients of weights
    that are no adapter's.
    """
    known = linear_sites(model)
    unknown = [name for name in settings.sites if name not in known]
    if unknown:
        raise SettingError(f"no linear layer {unknown[0]!r} in the blocks. Known: {', '.join(list(known)[:12])} ...")
    chosen = {name: known[name] for name in dict.fromkeys(settings.sites)} or known
    if settings.k is None and not all(".lora_" in name for name in chosen):
        sizes = sum(prod(_sides(module)) for module in chosen.values())
        raise SettingError(
            f"whole gradients are for adapters; here an example's would have {sizes:,} numbers. Give a k to project to."
        )
    device = next(model.parameters()).device
    found: list[GradientSite] = []
    start = 0
    for name, module in chosen.items():
        d_out, d_in = _sides(module)
        ways = [projection(settings, f"{name}/{side}", d) for side, d in (("in", d_in), ("out", d_out))]
        put = [None if p is None else torch.from_numpy(p.T.copy()).to(device, settings.dtype_on(device)) for p in ways]
        shape = tuple(d if p is None else p.shape[1] for p, d in zip(ways[::-1], (d_out, d_in), strict=True))
        found.append(GradientSite(name, module, put[0], put[1], shape, slice(start, start + prod(shape))))  # type: ignore[arg-type]
        start += prod(shape)
    return tuple(found)


def projection(settings: ProjectionSettings, name: str, d: int) -> np.ndarray | None:
    """(d, k) float32 with E[P P^T] = I, from the seed and the name alone; None where d is k or less."""
    if settings.k is None or d <= settings.k:
        return None
    key = f"{settings.seed}\n{settings.kind}\n{settings.k}\n{name}".encode()
    if settings.kind == "rademacher":
        bits = np.frombuffer(hashlib.shake_256(key).digest((d * settings.k + 7) // 8), np.uint8)
        values = 2.0 * np.unpackbits(bits, count=d * settings.k) - 1
    else:
        values = np.random.Generator(np.random.PCG64(list(hashlib.sha256(key).digest()))).standard_normal(
            d * settings.k
        )
    return (values / np.sqrt(settings.k)).reshape(d, settings.k).astype(np.float32)


def _is_linear(module: torch.nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D) and module.weight.is_floating_point()


def _sides(module: Any) -> tuple[int, int]:
    """(d_out, d_in): Conv1D keeps its weight the other way round."""
    shape = tuple(module.weight.shape)
    return shape if isinstance(module, torch.nn.Linear) else shape[::-1]


def _active_lora(module: Any) -> Iterator[tuple[str, torch.nn.Module]]:
    """The A and B layers of a peft layer that are in use."""
    if not hasattr(module, "lora_A") or not hasattr(module, "lora_B") or module.disable_adapters:
        return
    for part in ("lora_A", "lora_B"):
        for adapter in module.active_adapters:
            if adapter in getattr(module, part):
                yield f"{part}.{adapter}", getattr(module, part)[adapter]
