"""What a trainer is told: one stage of a recipe, where it starts and where it writes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .models import CommandStage, GrpoStage, Recipe, SftStage
from .run import CHECKPOINTS, Checkpoint

Progress = Callable[[int, int, str], None]


def silent(step: int, total: int, message: str) -> None:
    """The progress of a caller who wants none."""


@dataclass(frozen=True)
class StageTask:
    """One stage to carry out. Steps are counted over the whole recipe.

    Attributes:
        index: which stage of the recipe.
        offset: steps taken by the stages before it.
        start: the checkpoint to go on from (of the stage before, of the rewound run, or of this stage when it was
            interrupted); None is the base.
        base: the model directory or name that the recipe's base stands for.
        out: the run directory.
        saved: called with each checkpoint once it is written.
    """

    recipe: Recipe
    index: int
    offset: int
    start: Checkpoint | None
    base: str
    out: Path
    progress: Progress = silent
    saved: Callable[[Checkpoint], None] = field(default=lambda checkpoint: None)

    @property
    def stage(self) -> SftStage | CommandStage | GrpoStage:
        return self.recipe.stages[self.index]

    @property
    def done(self) -> int:
        """Steps of this stage that were already taken."""
        return self.start.step - self.offset if self.start else 0

    def checkpoint(self, step: int) -> Checkpoint:
        return Checkpoint(step, self.out / CHECKPOINTS / f"step-{step:06d}")
