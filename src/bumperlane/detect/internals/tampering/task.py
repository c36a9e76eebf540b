"""Items that several sensors have measured, in a trusted set and an untrusted one."""

from dataclasses import dataclass, replace

import numpy as np

from ....errors import EvidenceError
from ....types import Activations, Labelled


@dataclass(frozen=True)
class Sensed:
    """Items, the activations of the model that predicts their measurements, and the measurements.

    Attributes:
        activations: rows (n, d) at one layer.
        sensors: (n, S) bool, True where a sensor says that the wanted outcome came about.
        truth: (n,) bool, whether it came about; None where nobody knows.
    """

    activations: Activations
    sensors: np.ndarray
    truth: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.activations.ids)
        if self.sensors.ndim != 2 or len(self.sensors) != n or self.sensors.dtype != bool:
            raise EvidenceError(
                f"sensors must be bool of shape (n, S) with n = {n} items, got {self.sensors.dtype} of shape "
                f"{self.sensors.shape}. Turn each reading into yes or no."
            )
        if self.sensors.shape[1] < 1:
            raise EvidenceError("items without a sensor cannot be measured. Pass at least one reading an item.")
        if self.truth is not None and (self.truth.shape != (n,) or self.truth.dtype != bool):
            raise EvidenceError(
                f"truth must be {n} booleans, one an item, got {self.truth.dtype} of shape {self.truth.shape}."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.activations.ids

    @property
    def all_positive(self) -> np.ndarray:
        """(n,) bool: every sensor says that the outcome came about."""
        return np.asarray(self.sensors.all(axis=1))

    @property
    def inconsistent(self) -> np.ndarray:
        """(n,) bool: the sensors contradict each other."""
        return np.logical_and(self.sensors.any(axis=1), ~self.all_positive)

    def where(self, chosen: np.ndarray) -> "Sensed":
        """The items for which `chosen` (n,) bool holds, in order."""
        return Sensed(
            part_of(self.activations, chosen), self.sensors[chosen], None if self.truth is None else self.truth[chosen]
        )

    def read_again(self, activations: Activations) -> "Sensed":
        """The same items with activations of another model, found by id. Raises EvidenceError when some are missing."""
        at = {name: i for i, name in enumerate(activations.ids)}
        missing = [name for name in self.ids if name not in at]
        if missing:
            raise EvidenceError(
                f"{len(missing)} of {len(self.ids)} items were not read again, first {missing[:3]}. The refit must "
                "return the activations of every item, kept or not."
            )
        order = np.array([at[name] for name in self.ids], int)
        return replace(self, activations=replace(activations, rows=activations.rows[order], ids=self.ids))


@dataclass(frozen=True)
class MeasurementTask:
    """What a tampering detector learns from.

    Attributes:
        trusted: items on which nobody could tamper: all sensors are positive where the outcome came about, and only
            there. Its truth is known.
        untrusted: items on which the sensors may have been tampered with. Their truth, where given, is used by
            nothing but the ground-truth reference.

    Raises EvidenceError for other sensors or another place in one of the two, an item in both, trusted items whose
    sensors contradict the truth, or no untrusted item with all sensors positive.
    """

    trusted: Sensed
    untrusted: Sensed

    def __post_init__(self) -> None:
        refuse_other_sensors(self.trusted, self.untrusted, "trusted and untrusted items")
        if self.trusted.truth is None:
            raise EvidenceError("the truth of trusted items must be known. Pass it, or trust their sensors and copy.")
        wrong = np.flatnonzero(self.trusted.all_positive != self.trusted.truth)
        if len(wrong):
            first = [self.trusted.ids[i] for i in wrong[:3]]
            raise EvidenceError(
                f"the sensors of {len(wrong)} of {len(self.trusted.ids)} trusted items contradict the truth, first "
                f"{first}. Trust only items on which no tampering was possible."
            )
        if not self.untrusted.all_positive.any():
            raise EvidenceError(
                f"none of {len(self.untrusted.ids)} untrusted items has all {self.untrusted.sensors.shape[1]} sensors "
                "positive, so there is no positive that could be fake. Pass items that the sensors call successes."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.trusted.ids + self.untrusted.ids

    @property
    def place(self) -> tuple[int | str, int]:
        """(layer, d) of all its activations."""
        return self.trusted.activations.place

    def read_again(self, activations: Activations) -> "MeasurementTask":
        """The same task seen by another model, for instance one that was retrained."""
        return MeasurementTask(self.trusted.read_again(activations), self.untrusted.read_again(activations))


def refuse_other_sensors(one: Sensed, other: Sensed, what: str) -> None:
    """Raises EvidenceError unless both have the same sensors, the same place and no item in common."""
    if one.sensors.shape[1] != other.sensors.shape[1] or one.activations.place != other.activations.place:
        raise EvidenceError(
            f"{what} have {one.sensors.shape[1]} and {other.sensors.shape[1]} sensors, at (layer, d) "
            f"{one.activations.place} and {other.activations.place}. Measure and read both alike."
        )
    both = sorted(set(one.ids) & set(other.ids))
    if both:
        raise EvidenceError(f"{what} share {len(both)} items, first {both[:3]}. Leave them out of one of the two.")


def labelled(parts: list[tuple[Sensed, np.ndarray]]) -> Labelled:
    """Several sets of items as one, each with its labels (n,) bool; True is the bad kind."""
    seen = [part.activations for part, _ in parts]
    rows, ids = np.concatenate([a.rows for a in seen]), tuple(name for a in seen for name in a.ids)
    return Labelled(replace(seen[0], rows=rows, ids=ids), np.concatenate([labels for _, labels in parts]))


def part_of(activations: Activations, chosen: np.ndarray) -> Activations:
    """The items for which `chosen` (n,) bool holds, in order."""
    ids = tuple(name for name, taken in zip(activations.ids, chosen, strict=True) if taken)
    return replace(activations, rows=activations.rows[chosen], ids=ids)
