"""Detectors on a task: each is fitted on trusted items and scores all others, and its failures are kept as text."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...detect.contract import is_offline, learns_from, load_bumpers, scorer
from ...detect.internals.against_base import AgainstBase, Paired
from ...detect.internals.relative_mahalanobis import Grouped
from ...detect.internals.tampering.task import MeasurementTask, Sensed
from ...errors import EvidenceError, SettingError
from ...types import Activations, Item, Labelled, PairedActivations
from .reading import Seen
from .tampering import sensor_arrays
from .task import SCORED, TaskItem

PLAIN, LESS_BASE = "", " less base"


@dataclass(frozen=True)
class Contender:
    """A detector, alone or less what it sees in the base."""

    detector: type
    less_base: bool = False

    @property
    def name(self) -> str:
        return self.detector.__name__ + (LESS_BASE if self.less_base else PLAIN)


@dataclass(frozen=True)
class Outcome:
    """What came of a detector on a task.

    Attributes:
        values: (n,) scores of the scored items, in the task's order; None if it failed.
        cpu_s: CPU seconds of this process for fitting and scoring.
        error: kind and text of what went wrong; empty if nothing did.
    """

    contender: str
    values: np.ndarray | None
    cpu_s: float
    error: str = ""


def contenders(names: Sequence[str] = (), has_base: bool = True) -> list[Contender]:
    """Every registered internals bumper that watches Activations, plain and less the base, and those that watch
    PairedActivations where there is a base; or those named.

    Raises SettingError, listing the known ones, for another name.
    """
    known = {
        name: cls
        for name, cls in load_bumpers().items()
        if cls.family == "internals" and cls.watches in (Activations, PairedActivations)  # type: ignore[attr-defined]
    }
    wrong = [name for name in names if name not in known]
    if wrong:
        raise SettingError(f"unknown detectors {wrong}. Known: {', '.join(known)}.")
    out = []
    for name in names or known:
        paired = known[name].watches is PairedActivations  # type: ignore[attr-defined]
        out += [Contender(known[name])] if has_base or not paired else []
        out += [Contender(known[name], less_base=True)] if has_base and not paired else []
    return out


def run_contender(contender: Contender, seen: Seen) -> Outcome:
    """Fit on the trusted items, score the others. What it raises becomes the outcome's error, whatever it is.

    An offline detector is given all scored items as its untrusted batch.
    """
    began = time.process_time()
    try:
        values = _values(contender, seen)
        error = ""
    except Exception as raised:  # a table must show what failed, and go on
        values, error = None, f"{type(raised).__name__}: {' '.join(str(raised).split())}"
    return Outcome(contender.name, values, time.process_time() - began, error)


def scored_ids(seen: Seen) -> tuple[str, ...]:
    """Ids of the items that are scored, in the task's order."""
    return tuple(i.id for i in seen.items if i.role in SCORED)


def _values(contender: Contender, seen: Seen) -> np.ndarray:
    cls = contender.detector
    if contender.less_base:
        clean = Paired(_clean(cls, seen, seen.rows("fit")), _clean(cls, seen, seen.base_rows("fit"), base=True))
        batch = Paired(seen.rows(*SCORED), seen.base_rows(*SCORED))
        score = AgainstBase(cls()).fit(clean, batch if is_offline(cls) else None).score
        found = score(batch)
    elif cls.watches is PairedActivations:  # type: ignore[attr-defined]
        _refuse_other(learns_from(cls))
        pairs = seen.pairs(*SCORED)
        found = scorer(cls(), seen.pairs("fit"), pairs)(pairs)
    else:
        rows = seen.rows(*SCORED)
        found = scorer(cls(), _clean(cls, seen, seen.rows("fit")), rows)(rows)
    if found.ids != scored_ids(seen):
        raise EvidenceError(f"it scored {len(found.ids)} other items than the {len(scored_ids(seen))} it was given.")
    return found.values


def _clean(cls: type, seen: Seen, rows: Activations, base: bool = False) -> Any:
    """Trusted evidence of the kind that the detector's `fit` asks for."""
    wanted = learns_from(cls)
    if wanted is Grouped:
        return Grouped(rows, tuple(_group(i) for i in seen.items if i.role == "fit"))
    if wanted is MeasurementTask:
        if not any(i.sensors for i in seen.items):
            raise EvidenceError("it learns from sensors, and the items of this task have none.")
        untrusted = seen.base_rows("untrusted") if base else seen.rows("untrusted")
        return MeasurementTask(sensed(seen, rows, "fit"), sensed(seen, untrusted, "untrusted"))
    if wanted is Labelled:
        raise EvidenceError("it learns from labelled anomalies, and the trusted items of this task hold none.")
    _refuse_other(wanted)
    return rows


def _refuse_other(wanted: type) -> None:
    """Raises EvidenceError for a detector that learns from what a task does not hold."""
    if wanted not in (Activations, PairedActivations):
        raise EvidenceError(f"it learns from {wanted.__name__}, which a task does not hold.")


def _group(item: TaskItem) -> str:
    """What trusted items of one kind have in common: kind and system prompt, or the class of an image."""
    if isinstance(item.shown, Item):
        return f"{item.kind}: {item.shown.context.system}"
    return item.trusted_answer


def sensed(seen: Seen, rows: Activations, *roles: str) -> Sensed:
    """Items of some roles with their sensors and their truth. Raises EvidenceError for tasks without sensors."""
    return Sensed(rows, *sensor_arrays([i for i in seen.items if i.role in roles]))
