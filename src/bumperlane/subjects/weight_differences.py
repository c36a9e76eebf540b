"""What training changed in each weight matrix, from two checkpoints on disk, one matrix in memory at a time.

A LoRA difference is never multiplied out: its singular values are those of the small product of the two triangular
factors of B and A.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import EvidenceError, ModelError
from .loading import refuse_non_finite
from .spectrum import spectrum_features
from .weight_files import Adapter, Tensors, base_of, is_adapter

Say = Callable[[int, int], None]


@dataclass(frozen=True)
class Spectra:
    """Features (n, 5) of the changed matrices, in the order of `spectrum.FEATURES`, their names and kinds.

    `unchanged` counts the matrices that are equal in both checkpoints: they have no spectrum.
    """

    rows: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    unchanged: int


@dataclass(frozen=True)
class _Change:
    """A difference, whole (one matrix) or in factors (B (out, r), A (r, in)); `weight` is the base's tensor of it."""

    name: str
    parts: tuple[torch.Tensor, ...]
    weight: torch.Tensor


_Step = tuple[int, int, _Change]  # tensors done with this one, tensors in all, the change


def weight_differences(
    now: Path | str,
    before: Path | str | None = None,
    base: Path | str | None = None,
    leave_out: Sequence[str] = (),
    device: str = "cpu",
    say: Say | None = None,
) -> Spectra:
    """Spectra of `now` minus `before`, matrix by matrix.

    Args:
        now: directory of a LoRA adapter or of a full checkpoint, in safetensors.
        before: an earlier checkpoint of the same sort; None is the untouched base.
        base: directory of the base; what a change is measured against. None: where the adapter's config points; for
            full checkpoints `before`.
        leave_out: parts of names, such as "embed_tokens": no matrix that has one of them is read.
        device: where singular values are computed.
        say: called with the number of tensors done, and of all.

    Raises:
        ModelError: a file is missing, the two hold different matrices, or a weight is not finite.
        EvidenceError: nothing was changed.
    """
    now, base = Path(now), base_of(now, base, before)
    before = None if before is None or Path(before) == base else Path(before)
    if before is not None and is_adapter(before) != is_adapter(now):
        raise ModelError(
            f"{now} and {before} are an adapter and a full checkpoint. Merge the adapter first, or give two of a sort."
        )
    weights = Tensors.of(base, leave_out)
    read = _of_adapters if is_adapter(now) else _of_checkpoints
    rows: list[np.ndarray] = []
    names: list[str] = []
    unchanged = 0
    for done, total, change in read(now, before, weights):
        values = singular_values(*(part.to(device) for part in change.parts))
        if values.any():
            weight = change.weight.to(device).float()
            norm = float(torch.linalg.norm(weight.double()))
            rows.append(spectrum_features(values, max(weight.shape), norm, spectral_norm(weight)))
            names.append(change.name)
        else:
            unchanged += 1
        if say:
            say(done, total)
    if not rows:
        raise EvidenceError(f"{now} and {before or base} are equal in all {unchanged} matrices. Give two that differ.")
    return Spectra(np.stack(rows), tuple(names), tuple(map(kind_of, names)), unchanged)


def kind_of(name: str) -> str:
    """What a matrix is, wherever its block stands: model.layers.3.mlp.experts.0.up_proj is mlp.experts.*.up_proj."""
    inside = re.split(r"\.\d+\.", name, maxsplit=1)[-1]
    return re.sub(r"(?<=[.\[])\d+(?=[.\]]|$)", "*", inside)


def singular_values(*factors: torch.Tensor) -> np.ndarray:
    """Of one matrix (out, in), or of the product B A of two factors, which is not formed. Largest first, float64."""
    if len(factors) == 1:
        return torch.linalg.svdvals(factors[0].float()).double().cpu().numpy()
    left, right = factors
    one, other = (torch.linalg.qr(side.double(), mode="r").R for side in (left, right.T))
    found = torch.linalg.svdvals(one @ other.T)
    rounding = 1e-13 * float(torch.linalg.norm(one) * torch.linalg.norm(other))  # two equal adapters differ by so much
    return torch.where(found > rounding, found, 0.0).cpu().numpy()


def spectral_norm(weight: torch.Tensor, close: float = 1e-5, most: int = 100) -> float:
    """Largest singular value, by iterating a block of 8 directions until it changes by less than `close` of itself."""
    start = torch.Generator().manual_seed(0)
    block = torch.randn(weight.shape[1], min(8, *weight.shape), generator=start).to(weight)
    found = 0.0
    for _ in range(most):
        left = torch.linalg.qr(weight @ block).Q
        back = weight.T @ left
        last, found = found, float(torch.linalg.matrix_norm(back, 2))
        if found - last <= close * found:
            break
        block = torch.linalg.qr(back).Q
    return found


def _of_checkpoints(now: Path, before: Path | None, weights: Tensors) -> Iterator[_Step]:
    new = Tensors.of(now, weights.leave_out)
    old = weights if before is None else Tensors.of(before, weights.leave_out)
    other = sorted(set(new.matrices) ^ set(old.matrices))
    if other:
        raise ModelError(
            f"{len(other)} matrices are in only one of {now} and {old.directory}, first {other[0]}. Give two "
            "checkpoints of one model, or leave these out."
        )
    for done, name in enumerate(new.matrices, 1):
        one, two, weight = new.read(name), old.read(name), weights.read(weights.find(name))
        _same_shape(name, one, two, weight)
        gap = one.float() - two.float()
        refuse_non_finite({name: gap}, now)
        module = name.removesuffix(".weight")
        if gap.ndim == 2:
            yield done, len(new.matrices), _Change(module, (gap,), weight)
        else:  # one matrix an expert
            for i, (part, its) in enumerate(zip(gap.flatten(0, -3), weight.flatten(0, -3), strict=True)):
                yield done, len(new.matrices), _Change(f"{module}[{i}]", (part,), its)


def _of_adapters(now: Path, before: Path | None, weights: Tensors) -> Iterator[_Step]:
    new, old = Adapter.of(now, weights.leave_out), None if before is None else Adapter.of(before, weights.leave_out)
    if old is not None and new.modules != old.modules:
        other = sorted(set(new.modules) ^ set(old.modules))
        raise ModelError(
            f"{len(other)} modules are adapted in only one of {now} and {before}, first {other[0]}. Give two "
            "checkpoints of one training run, or leave these out."
        )
    for done, module in enumerate(new.modules, 1):
        weight = weights.read(weights.find(module))
        parts = _factored(module, new, old)
        whole = [adapter.whole(module) if adapter else None for adapter in (new, old)]
        if any(w is not None for w in whole) or not parts:
            parts = (_multiplied_out(module, parts, whole, weight),)
        refuse_non_finite({f"{module} ({i})": part for i, part in enumerate(parts)}, now)
        yield done, len(new.modules), _Change(module, parts, weight)


def _factored(module: str, new: Adapter, old: Adapter | None) -> tuple[torch.Tensor, ...]:
    """The difference of two low-rank products is one of twice the rank. Empty where neither holds factors."""
    sides = [(sign, adapter.factors(module)) for sign, adapter in ((1, new), (-1, old)) if adapter]
    held = [(sign * factors[0], factors[1]) for sign, factors in sides if factors]
    return (torch.cat([b for b, _ in held], dim=1), torch.cat([a for _, a in held])) if held else ()


def _multiplied_out(
    module: str, parts: tuple[torch.Tensor, ...], whole: Sequence[torch.Tensor | None], weight: torch.Tensor
) -> torch.Tensor:
    """The difference where a weight is saved beside the adapter; without one it is the base's."""
    one, two = (weight if kept is None else kept for kept in whole)
    _same_shape(module, one, two, weight)
    gap = one.double() - two.double()
    if not parts:
        return gap
    product = parts[0] @ parts[1]
    return gap + (product if product.shape == gap.shape else product.T)  # an embedding's factors are transposed


def _same_shape(name: str, *tensors: torch.Tensor) -> None:
    shapes = [tuple(t.shape) for t in tensors]
    if len(set(shapes)) > 1:
        raise ModelError(f"{name} has the shapes {shapes} in the checkpoints compared and the base. Leave it out.")
