"""Get a task's subject, and read all its items: activations in subject and base, and what the subject answers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import EvidenceError, SettingError
from ...evidence.memo import Memo
from ...evidence.observe import activations, responses
from ...recipes.stage import Progress
from ...recipes.train import train
from ...subjects.activations import blocks_of
from ...subjects.generate import Decoding
from ...subjects.subject import Subject
from ...types import Activations, Item, PairedActivations
from .task import AnomalyTask, TaskItem


@dataclass(frozen=True)
class Opened:
    """A task's subject, and the base that it was finetuned from, if it was."""

    subject: Subject
    base: Subject | None


@dataclass(frozen=True)
class Seen:
    """What was read of a task's items, in their order.

    Attributes:
        answers: what the subject says to each item, a prefill left out; of a classifier, the class.
        base: of the base that a recipe starts from; None for a model as it is and for a module.
    """

    items: tuple[TaskItem, ...]
    answers: tuple[str, ...]
    subject: Activations
    base: Activations | None = None

    def __post_init__(self) -> None:
        ids = tuple(i.id for i in self.items)
        if self.subject.ids != ids or len(self.answers) != len(ids) or (self.base and self.base.ids != ids):
            raise EvidenceError(
                f"{len(ids)} items need as many rows and answers in the same order, got {len(self.subject.ids)} rows "
                f"and {len(self.answers)} answers. Read all items in one call."
            )

    def rows(self, *roles: str) -> Activations:
        """The subject's activations of the items in some roles."""
        return _part(self.subject, self.are(*roles))

    def base_rows(self, *roles: str) -> Activations:
        """The base's. Raises EvidenceError without a base."""
        if self.base is None:
            raise EvidenceError("this task has no base: its subject was not finetuned from a model. Read it alone.")
        return _part(self.base, self.are(*roles))

    def pairs(self, *roles: str) -> PairedActivations:
        """Those of subject and base."""
        return PairedActivations(self.rows(*roles), self.base_rows(*roles))

    def are(self, *roles: str) -> np.ndarray:
        """(n,) bool: which items have one of these roles."""
        return np.array([i.role in roles for i in self.items], bool)


def open_task(task: AnomalyTask, out: Path, progress: Progress | None = None) -> Opened:
    """Train the task's recipe in the directory `out` (or go on there), or take its model or module as it is."""
    if task.module is not None:
        return Opened(Subject.load(task.module), None)
    if task.model:
        return Opened(Subject.load(task.model), None)
    if task.recipe is None:
        raise SettingError(f"task {task.name} names no recipe to train.")
    run = train(task.recipe, out, progress)
    subject = Subject.load(run.recipe.base, adapter=run.last.path)
    return Opened(subject, subject.sibling(None))


def read_task(task: AnomalyTask, opened: Opened, depth: float, memo: Memo) -> Seen:
    """Read every item once: residual stream at the prompt's last token, and a greedy answer.

    Args:
        depth: where the residual stream is read, as a share of the blocks; a module is read at the task's site.
        memo: where readings of a language model are kept; a module is read anew.

    Raises SettingError for a depth outside (0, 1], EvidenceError for rows that are not finite.
    """
    ids = tuple(i.id for i in task.items)
    if task.module is not None:
        images = torch.from_numpy(np.stack([np.asarray(i.shown, np.float32) for i in task.items]))
        rows = opened.subject.activations(images, [task.site])[task.site].reshape(len(ids), -1)
        with torch.no_grad():
            classes = opened.subject.model(images).argmax(dim=1).tolist()
        return Seen(task.items, tuple(map(str, classes)), Activations(rows, ids))
    if not 0 < depth <= 1:
        raise SettingError(f"depth must be in (0, 1], a share of the blocks, got {depth}. Try 0.5.")
    shown = [i.shown for i in task.items if isinstance(i.shown, Item)]
    if len(shown) != len(ids):
        raise EvidenceError(f"{len(ids) - len(shown)} items of task {task.name} show arrays to a language model.")
    blocks = len(blocks_of(opened.subject.host.model))
    layer = min(blocks - 1, int(depth * blocks))
    said = responses(opened.subject, shown, Decoding(max_new_tokens=task.max_new_tokens), memo)
    answers = tuple(text[len(item.context.prefill) :] for text, item in zip(said, shown, strict=True))
    ours = activations(opened.subject, shown, [layer], memo)[layer]
    base = activations(opened.base, shown, [layer], memo)[layer] if opened.base else None
    return Seen(task.items, answers, ours, base)


def _part(seen: Activations, chosen: np.ndarray) -> Activations:
    ids = tuple(id for id, kept in zip(seen.ids, chosen, strict=True) if kept)
    return Activations(seen.rows[chosen], ids, seen.layer, seen.step)
