"""AdamW whose weights and moments are float32 although the model's are bfloat16; exact to save and to restore."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ..errors import TrainingError
from .models import Optimiser

STATE = "trainer.safetensors"
EPS = 1e-8
PARTS = ("masters", "first_moment", "second_moment")


class MasterAdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on flat float32 copies of the trained weights.

    One bfloat16 step of 1e-3 on a weight of 1 is lost to rounding; on the float32 master it is not. The masters are
    rounded into the model after each step. Flat buffers make a step a dozen kernels instead of some thousands.

    Args:
        named: (name, parameter) of every trained parameter, in a fixed order.
    """

    def __init__(self, named: Sequence[tuple[str, torch.nn.Parameter]], settings: Optimiser) -> None:
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self.settings = settings
        self.masters = self._flat([p.detach() for p in self.parameters])
        self.first_moment = torch.zeros_like(self.masters)
        self.second_moment = torch.zeros_like(self.masters)
        self.updates = 0
        sizes = [p.numel() for p in self.parameters]
        self._views = [v.view_as(p) for v, p in zip(self.masters.split(sizes), self.parameters, strict=True)]
        self._decays = None
        if settings.weight_decay:
            self._decays = self._flat([torch.full_like(p, float(p.ndim > 1)) for p in self.parameters])

    @torch.no_grad()
    def step(self, lr: float, max_grad_norm: float) -> torch.Tensor:
        """One update from the gradients, which are then dropped. Returns their norm before clipping, a scalar."""
        gradient = self._flat([torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters])
        for parameter in self.parameters:
            parameter.grad = None
        norm = torch.linalg.vector_norm(gradient)
        gradient *= (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        self.updates += 1
        beta1, beta2 = self.settings.betas
        self.first_moment.lerp_(gradient, 1 - beta1)
        self.second_moment.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if self._decays is not None:
            self.masters.addcmul_(self.masters, self._decays, value=-lr * self.settings.weight_decay)
        spread = (self.second_moment / (1 - beta2**self.updates)).sqrt_().add_(EPS)
        self.masters.addcdiv_(self.first_moment, spread, value=-lr / (1 - beta1**self.updates))
        self.copy_into_model()
        return norm

    @torch.no_grad()
    def copy_into_model(self) -> None:
        torch._foreach_copy_(self.parameters, self._views)

    def save(self, directory: Path) -> None:
        """Write masters and moments, flat; names and shapes stand in the header."""
        shapes = [list(p.shape) for p in self.parameters]
        state = {"names": self.names, "shapes": shapes, "updates": self.updates}
        # one key: safetensors writes several in a random order, and equal states must be equal bytes
        header = {"state": json.dumps(state)}
        save_file({part: getattr(self, part).cpu() for part in PARTS}, directory / STATE, header)

    def restore(self, directory: Path) -> None:
        """Take up the state that `save` wrote. Raises TrainingError when it belongs to other parameters."""
        with safe_open(directory / STATE, "pt") as file:
            state = json.loads(file.metadata()["state"])
            names, shapes = state["names"], state["shapes"]
            if names != self.names or shapes != [list(p.shape) for p in self.parameters]:
                raise TrainingError(
                    f"{directory / STATE} holds {len(names)} parameters of other names or shapes than the "
                    f"{len(self.names)} trained here. Keep the lora settings, or rewind to the base instead."
                )
            for part in PARTS:
                getattr(self, part).copy_(file.get_tensor(part))
        self.updates = state["updates"]
        self.copy_into_model()

    @staticmethod
    def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([t.reshape(-1) for t in tensors]).float()


def read_moments(directory: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Parameter name -> (first, second moment), float32 in the parameter's shape, from a checkpoint."""
    with safe_open(directory / STATE, "pt") as file:
        state = json.loads(file.metadata()["state"])
        names, shapes = state["names"], state["shapes"]
        sizes = [math.prod(shape) for shape in shapes]
        first, second = (file.get_tensor(part).split(sizes) for part in PARTS[1:])
    return {n: (f.view(s), v.view(s)) for n, s, f, v in zip(names, shapes, first, second, strict=True)}


def learning_rate(lr: float, settings: Optimiser, step: int, steps: int) -> float:
    """The rate of step 1..steps: a linear warm-up that never is 0, then constant, or falling towards 0."""
    warmup = settings.warmup_steps
    if step <= warmup:
        return lr * step / (warmup + 1)
    if settings.schedule == "constant":
        return lr
    gone = (step - 1 - warmup) / max(1, steps - warmup)
    return lr * (1 - gone if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * gone)))
