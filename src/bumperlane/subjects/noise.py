"""Noise in a subject's weights: what is hidden by a little training often breaks before what was learnt by much."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isfinite, sqrt
from typing import Any

import torch

from ..errors import ModelError, SettingError
from .scripted import ScriptedSubject
from .subject import Subject

NOISED = "noised"  # the origin of every context in which a scripted subject under noise is asked
WRAPPED = re.compile(r"\.(base_layer|original_module|modules_to_save\.[^.]+)(?=\.)")


@dataclass(frozen=True)
class WeightNoise:
    """Gaussian noise on every weight matrix of the model, relative to the root mean square (RMS) of its entries.

    An adapter's own matrices are left alone and those under it are noised, which is what noise on the merged weights
    comes to as long as the adapter is small beside them. Subject and base get the same draws. Vectors (norms, biases)
    stay. Source: Tice et al. 2024, arXiv:2412.01784; they scale the noise for the whole model, we for each matrix.

    Args:
        scale: standard deviation of the noise, in units of the matrix's RMS.
        seed: of the draws; a matrix's draws follow from the seed, its name, its shape and the kind of device.
    """

    scale: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not (isfinite(self.scale) and self.scale > 0):
            raise SettingError(f"scale must be a number above 0, got {self.scale}. Try 0.1, a tenth of the RMS.")

    def __str__(self) -> str:
        return f"weight noise {self.scale:g} of RMS, seed {self.seed}"

    @contextmanager
    def applied(self, who: Subject) -> Iterator[Subject]:
        """The noised subject. On leaving, also by an error, every weight has the bits that it had before.

        Siblings share weights, so they are noised as long as this lasts. Takes a second copy of the matrices, in
        main memory. A scripted subject is asked in contexts of the origin `noised`, so that a script can follow.

        Raises ModelError for quantised weights.
        """
        if isinstance(who, ScriptedSubject):
            yield scripted_under(who, self)  # type: ignore[misc]
            return
        was: list[tuple[Any, Any]] = []
        try:
            with torch.no_grad():
                for name, weight in matrices_of(who.model):
                    was.append((weight, weight.detach().to("cpu", copy=True)))
                    weight.add_(self._draw(name, weight))
            yield replace(who, altered="; ".join(filter(None, (who.altered, str(self)))))
        finally:
            with torch.no_grad():
                for weight, before in was:
                    weight.copy_(before)

    def _draw(self, name: str, weight: Any) -> Any:
        key = int.from_bytes(sha256(f"{self.seed}/{name}".encode()).digest()[:7], "big")
        generator = torch.Generator(device=weight.device).manual_seed(key)
        rms = float(torch.linalg.vector_norm(weight, dtype=torch.float32)) / sqrt(weight.numel())
        draw = torch.randn(weight.shape, generator=generator, device=weight.device, dtype=torch.float32)
        return draw.mul_(self.scale * rms).to(weight.dtype)


def scripted_under(who: ScriptedSubject, noise: object) -> ScriptedSubject:
    """A scripted subject that is told of the noise by the origin of each context, so that a script can follow."""
    return replace(
        who,
        says=lambda request, context: who.says(request, replace(context, origin=NOISED)),
        name=f"{who.name}; {noise}",
    )


def matrices_of(model: Any) -> list[tuple[str, Any]]:
    """(name, weight) of each weight matrix but an adapter's, under the names that they have without an adapter.

    Raises ModelError when there is none, or when they are not floating-point numbers.
    """
    wrapped = hasattr(model, "peft_config")
    ours = getattr(model.base_model, "prefix", "") if wrapped else ""
    found = {}
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and not (ours and ours in name):
            plain = WRAPPED.sub("", name.removeprefix("base_model.model.")) if wrapped else name
            found[plain if plain not in found else name] = weight
    other = sorted({str(w.dtype) for w in found.values() if not w.is_floating_point()})
    if other or not found:
        what = f"matrices of {', '.join(other)}" if other else "no weight matrix"
        raise ModelError(f"the model has {what}: noise cannot be added. Load it in float32 or bfloat16, not quantised.")
    return list(found.items())
