"""Noise in a subject's activations: a push in a random direction at every block of the residual stream."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from math import isfinite
from typing import Any

import torch

from ..errors import SettingError
from .noise import scripted_under
from .scripted import ScriptedSubject
from .sites import blocks_of
from .subject import Subject


@dataclass(frozen=True)
class ActivationNoise:
    """A random direction, one a block, is added to what the block gives on, at every token.

    Its length is `scale` times the length of the token's own row. The direction does not depend on the token, so that
    neither padding nor who shares a batch nor a key-value cache changes an answer. Subject and base get the same draws.

    Args:
        scale: length of the noise in units of the length of the row that it is added to.
        seed: of the draws; a block's direction follows from the seed, its place and the width of the model.
    """

    scale: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not (isfinite(self.scale) and self.scale > 0):
            raise SettingError(f"scale must be a number above 0, got {self.scale}. Try 0.1, a tenth of a row's length.")

    def __str__(self) -> str:
        return f"activation noise {self.scale:g} of each row, seed {self.seed}"

    @contextmanager
    def applied(self, who: Subject) -> Iterator[Subject]:
        """The noised subject; on leaving, also by an error, nothing is added any more.

        Siblings share weights, so they are noised as long as this lasts. A scripted subject is asked in contexts of the
        origin `noised`. Raises SettingError for a model without a list of blocks.
        """
        if isinstance(who, ScriptedSubject):
            yield scripted_under(who, self)  # type: ignore[misc]
            return
        with ExitStack() as stack:
            for layer, block in enumerate(blocks_of(who.model)):
                stack.callback(block.register_forward_hook(partial(self._pushed, layer)).remove)
            yield replace(who, altered="; ".join(filter(None, (who.altered, str(self)))))

    def _pushed(self, layer: int, block: Any, inputs: Any, output: Any) -> Any:
        """A block gives a tensor, or a tuple that begins with it."""
        hidden = output if torch.is_tensor(output) else output[0]
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
        push = self._direction(layer, hidden.shape[-1]).to(hidden.device) * (self.scale * length)
        moved = hidden + push.to(hidden.dtype)
        return moved if torch.is_tensor(output) else (moved, *output[1:])

    def _direction(self, layer: int, width: int) -> torch.Tensor:
        key = int.from_bytes(sha256(f"{self.seed}/{layer}/{width}".encode()).digest()[:7], "big")
        draw = torch.randn(width, generator=torch.Generator().manual_seed(key))
        return draw / draw.norm()
