"""What a policy is kept close to: the weights at the stage's start, or the base under its adapter."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ..errors import TrainingError
from ..subjects.loading import load_causal_lm
from .adamw import MasterAdamW
from .models import GrpoStage
from .stage import StageTask

REFERENCE = "reference.safetensors"


class Reference:
    """The reference policy of a stage whose `kl` is not 0.

    The start's trained weights go into every checkpoint (hard-linked, so they take space once), because a run that is
    resumed or rewound to the middle of the stage has no other way back to them.

    Raises TrainingError when the checkpoint to go on from lacks them.
    """

    def __init__(self, task: StageTask, stage: GrpoStage, model: Any, optimiser: MasterAdamW) -> None:
        self.model, self.optimiser = model, optimiser
        self.weights: Mapping[str, torch.Tensor] | None = None
        self.home: Path | None = None
        self.kept = stage.kl_to == "start"
        if self.kept and task.done and task.start:
            self.home = task.start.path / REFERENCE
            if not self.home.is_file():
                raise TrainingError(
                    f"{task.start.path} lacks {REFERENCE}: it was trained without kl to the stage's start. Rewind to "
                    f"step {task.offset} or before, or set kl_to: base."
                )
            self.weights = load_file(self.home)
        elif self.kept:
            self.weights = {n: p.detach().clone() for n, p in zip(optimiser.names, optimiser.parameters, strict=True)}
        elif stage.lora is None:
            base = dict(load_causal_lm(task.base, dtype=task.recipe.dtype).named_parameters())
            self.weights = {name: base[name] for name in optimiser.names}

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Within it the model is the reference; after it, it is the policy again."""
        if self.weights is None:
            with self.model.disable_adapter() if hasattr(self.model, "disable_adapter") else nullcontext():
                yield
            return
        with torch.no_grad():
            for name, parameter in zip(self.optimiser.names, self.optimiser.parameters, strict=True):
                parameter.copy_(self.weights[name])
        try:
            yield
        finally:
            self.optimiser.copy_into_model()

    def save(self, directory: Path, to_be: Path) -> None:
        """Put the weights into a checkpoint that is being written and will stand at `to_be`."""
        if not self.kept or self.weights is None:
            return
        target = directory / REFERENCE
        if not self._linked(target):
            save_file({name: value.cpu().contiguous() for name, value in self.weights.items()}, target)
        self.home = to_be / REFERENCE

    def _linked(self, target: Path) -> bool:
        try:
            os.link(self.home or "", target)
        except OSError:  # there is none yet, it is on another file system, or that checkpoint was removed
            return False
        return True
