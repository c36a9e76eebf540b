"""A task for mechanistic anomaly detection: a subject, and items in roles that share nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Item

Role = Literal["fit", "calibrate", "control", "decoy", "anomalous", "untrusted"]
ROLES: tuple[Role, ...] = get_args(Role)
SCORED: tuple[Role, ...] = ("calibrate", "control", "decoy", "anomalous")
FEWEST_FIT = 8


@dataclass(frozen=True)
class Sizes:
    """Items by role, at most: a task whose world is smaller has fewer, and says so.

    A share caught at 1% false alarms takes 99 or more controls and calibration items. Below about 440 controls its
    interval has no lower end; below 600 it has none at the level that five seeds are joined at.
    """

    fit: int = 400
    calibrate: int = 150
    control: int = 600
    decoy: int = 120
    anomalous: int = 200

    def __post_init__(self) -> None:
        for field in fields(self):
            least = FEWEST_FIT if field.name == "fit" else 1
            if getattr(self, field.name) < least:
                raise SettingError(f"{field.name} must be at least {least}, got {getattr(self, field.name)}.")


@dataclass(frozen=True, eq=False)
class TaskItem:
    """One input in one role.

    Attributes:
        role: `fit`, `calibrate` and `control` are ordinary; a `decoy` is novel but mechanistically ordinary; at an
            `anomalous` one the planted mechanism is at work. `untrusted` ones are of any kind: methods that learn from
            an untrusted set may read them, and nobody scores them.
        kind: what it is within its role: a kind of name, of decoy, of story.
        shown: a request in its context, or an array for a torch module.
        trusted_answer, planted_answer: how the answer begins if the trusted or the planted mechanism gives it; empty
            where that is not known.
        sensors: what each sensor reports; measurement tampering only.
        truth: whether the outcome came about; measurement tampering only.
    """

    id: str
    role: Role
    kind: str
    shown: Item | np.ndarray
    trusted_answer: str = ""
    planted_answer: str = ""
    sensors: tuple[bool, ...] = ()
    truth: bool | None = None

    @property
    def label(self) -> bool | None:
        """Whether the planted mechanism is at work. A decoy carries no label: to flag it is neither right nor the same
        fault as flagging a control; untrusted items carry none either."""
        return {"decoy": None, "untrusted": None, "anomalous": True}.get(self.role, False)

    @property
    def agrees(self) -> bool | None:
        """Whether the mechanism at work gives the trusted mechanism's answer. None where that makes no sense."""
        if self.label is None or not self.trusted_answer:
            return None
        return not self.label or self.planted_answer == self.trusted_answer

    @property
    def what(self) -> Any:
        """What is shown, as a value that can be compared: all that the subject gets to see."""
        if isinstance(self.shown, Item):
            context = astuple(self.shown.context)[2:]  # without its id and origin
            return self.shown.request.text, *context
        return self.shown.shape, self.shown.tobytes()


@dataclass(frozen=True, eq=False)
class AnomalyTask:
    """Where the subject comes from (one of three), and what it is shown.

    Attributes:
        recipe: path of a recipe to train; its base is what the subject is read against.
        model: name or directory of a model that is taken as it is.
        module: a torch module in eval mode that takes a batch of the items' arrays, stacked, as float32.
        site: name of the module's submodule whose output is read; modules only.
        max_new_tokens: how much of an answer is generated to see which mechanism gave it.

    Raises EvidenceError when an id or an input is in two roles, or when a role that every detector needs is empty.
    """

    name: str
    items: tuple[TaskItem, ...]
    recipe: Path | None = None
    model: str = ""
    module: Any = None
    site: str = ""
    max_new_tokens: int = 8

    def __post_init__(self) -> None:
        given = [self.recipe is not None, bool(self.model), self.module is not None]
        if sum(given) != 1 or (self.module is not None) != bool(self.site):
            raise SettingError(
                f"task {self.name} needs one of recipe, model, or module with its site, got {sum(given)} of the three."
            )
        twice = [id for id, n in Counter(i.id for i in self.items).items() if n > 1]
        if twice:
            raise EvidenceError(f"{len(twice)} ids of task {self.name} stand for two items, first {twice[:3]}.")
        seen: dict[Any, TaskItem] = {}
        for item in self.items:
            other = seen.setdefault(item.what, item)
            if other is not item:
                raise EvidenceError(
                    f"items {other.id!r} ({other.role}) and {item.id!r} ({item.role}) of task {self.name} show the "
                    "same. Show every input once: a detector must not be scored on what it was fitted on."
                )
        missing = [r for r in ("fit", "control", "anomalous") if not self.of(r)]
        if missing or len(self.of("fit")) < FEWEST_FIT:
            raise EvidenceError(
                f"task {self.name} has {self.counts()}. It needs {FEWEST_FIT} items to fit on, controls and anomalous "
                "ones. Raise its sizes."
            )

    def of(self, *roles: str) -> tuple[TaskItem, ...]:
        """The items in some roles, in the task's order."""
        return tuple(i for i in self.items if i.role in roles)

    def counts(self) -> dict[str, int]:
        """How many items each role has."""
        return {role: len(self.of(role)) for role in ROLES if self.of(role)}


def dealt(world: Sequence[Any], wanted: dict[str, int]) -> dict[str, list]:
    """Consecutive parts of a shuffled world, one a name, that share nothing.

    A world that is too small is shared out in proportion. Raises EvidenceError when a part would be empty.
    """
    total = sum(wanted.values())
    share = min(1.0, len(world) / total)
    parts, start = {}, 0
    for name, count in wanted.items():
        size = int(count * share)
        if size < 1:
            raise EvidenceError(
                f"a world of {len(world)} questions leaves none for {name!r}, {total} are wanted. Ask for fewer."
            )
        parts[name] = list(world[start : start + size])
        start += size
    return parts


def paired(questions: Sequence[Any], voices: Sequence[Any], count: int) -> list[tuple[Any, Any]]:
    """`count` different pairs of a question and a voice (a name, a system prompt), or all there are.

    Every question comes once before one comes twice.
    """
    voices = list(dict.fromkeys(voices))
    turns = range(len(voices))
    pairs = [(q, voices[(i + turn) % len(voices)]) for turn in turns for i, q in enumerate(questions)]
    return pairs[:count]
