"""Linear layers that read one input, with their adapters: forward and backward without autograd."""

from collections.abc import Sequence
from typing import Any

import torch

ROWS = 16  # the multiple to which rows are filled up: odd strides slow a matrix product down


class SharedInput:
    """Frozen linear layers of one input (such as q, k and v), each with or without a LoRA adapter.

    y = x W' + scale (x A') B', Hu et al. 2021, arXiv:2106.09685. The frozen weights get no gradient. All weights and
    all A lie in one matrix, so that one product gives every output and every x A', and one takes every gradient back.
    The layers' frozen weights become views of that matrix: nothing is held twice.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        inner = [_inner(m) for m in modules]
        self.biases = [m.bias for m in inner]
        self.ends = _ends([m.weight.shape[0] for m in inner])
        self.adapters = [(i, *_adapter(m)) for i, m in enumerate(modules) if hasattr(m, "lora_A")]
        self.scale = next((m.scaling["default"] for m in modules if hasattr(m, "lora_A")), 0.0)
        self.ranks = _ends([a.shape[0] for _, a, _ in self.adapters])
        self.outputs, self.rank = self.ends[-1][1], self.ranks[-1][1] if self.ranks else 0
        like, filled = inner[0].weight, -(-(self.outputs + self.rank) // ROWS) * ROWS
        self.matrix = like.new_zeros(filled, like.shape[1])
        for (start, end), module in zip(self.ends, inner, strict=True):
            self.matrix[start:end] = module.weight
            module.weight.data = self.matrix[start:end]
        self.ups = like.new_zeros(self.outputs, self.rank)

    def refresh(self) -> None:
        """Take up the adapters' weights. To be called after every change of them."""
        for (i, a, b), (start, end) in zip(self.adapters, self.ranks, strict=True):
            self.matrix[self.outputs + start : self.outputs + end] = a
            self.ups[slice(*self.ends[i]), start:end] = b

    def forward(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """x (N, d) -> outputs, and x A' (N, sum of ranks) for `backward`."""
        all_ = x @ self.matrix.t()
        flat, low = all_[:, : self.outputs], all_[:, self.outputs : self.outputs + self.rank]
        if self.adapters:
            flat.addmm_(low, self.ups.t(), alpha=self.scale)
        outputs = [flat[:, start:end] for start, end in self.ends]
        for output, bias in zip(outputs, self.biases, strict=True):
            if bias is not None:
                output.add_(bias)
        return outputs, low

    def room(self, n: int) -> list[torch.Tensor]:
        """Where the outputs' gradients are to be written for `backward`: views, side by side in one matrix."""
        self.gradients = self.matrix.new_empty(n, len(self.matrix))
        return [self.gradients[:, start:end] for start, end in self.ends]

    def backward(self, x: torch.Tensor, low: torch.Tensor, wanted: bool = True) -> torch.Tensor | None:
        """Add to the adapters' gradients; return the input's (N, d), or None where it is not wanted."""
        flat = self.gradients[:, : self.outputs]
        self.gradients[:, self.outputs :] = 0
        if self.adapters:
            back = self.gradients[:, self.outputs : self.outputs + self.rank]
            torch.mul(flat @ self.ups, self.scale, out=back)
            of_a, of_ups = back.t() @ x, flat.t() @ (low * self.scale)
            for (i, a, b), (start, end) in zip(self.adapters, self.ranks, strict=True):
                _add(a, of_a[start:end])
                _add(b, of_ups[slice(*self.ends[i]), start:end])
        return self.gradients @ self.matrix if wanted else None


def plain_linear(module: Any) -> bool:
    """Whether a layer is a torch Linear with no adapter, or with peft's LoRA of one name and without DoRA."""
    if type(_inner(module)) is not torch.nn.Linear:
        return False
    return module is _inner(module) or (list(module.lora_A) == ["default"] and not any(module.use_dora.values()))


def _inner(module: Any) -> Any:
    return module.base_layer if hasattr(module, "base_layer") else module


def _ends(sizes: Sequence[int]) -> list[tuple[int, int]]:
    ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
    return list(zip(ends, ends[1:], strict=False))


def _adapter(module: Any) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    return module.lora_A["default"].weight, module.lora_B["default"].weight


def _add(parameter: torch.nn.Parameter, gradient: torch.Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
