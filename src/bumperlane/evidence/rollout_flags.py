"""Which rollouts are flagged: by their ids, by what the response says, by a bumper's scores, or by two checks."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EvidenceError, SettingError
from ..types import Scores
from .by_checks import apart
from .rollout_table import RolloutTable, hashed

BATCH = 512


@dataclass(frozen=True)
class Flags:
    """One yes or no a rollout, in the order of the table.

    Attributes:
        name: what is flagged, in words.
        values: (n,) bool; True is flagged. False where it is not known.
        known: (n,) bool; False where nobody looked. Those are neither flagged nor a match for a flagged one.
        reads: reward terms and checks that the rule itself looks at: what it finds on them holds partly by definition.
    """

    name: str
    values: np.ndarray
    known: np.ndarray
    reads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.values, self.known):
            if array.dtype != bool or array.ndim != 1 or array.shape != self.values.shape:
                raise EvidenceError(
                    f"flags must be two equally long arrays of booleans, got {self.values.dtype} of shape "
                    f"{self.values.shape} and {self.known.dtype} of shape {self.known.shape}."
                )
        if (self.values & ~self.known).any():
            raise EvidenceError("a rollout is flagged that is not known. Mark flagged rollouts as known.")

    @staticmethod
    def by_id(table: RolloutTable, flagged: Mapping[str, bool] | Collection[str], name: str = "flagged") -> "Flags":
        """From {id: flagged}, where ids left out are unknown; or from the flagged ids, where all others are not.

        Raises EvidenceError for ids that no rollout has.
        """
        held = flagged if isinstance(flagged, Mapping) else dict.fromkeys(flagged, True)
        ids = list(held)
        wanted = np.array([hashed(str(id)) for id in ids], np.uint64)
        order = np.argsort(table.id_keys, kind="stable")
        place = np.searchsorted(table.id_keys, wanted, sorter=order)
        row = order[np.minimum(place, len(order) - 1)]
        lost = np.flatnonzero(table.id_keys[row] != wanted)
        if len(lost):
            raise EvidenceError(
                f"{len(lost)} of {len(ids)} flagged ids are in no rollout, first {ids[lost[0]]!r:.60}; the table's "
                f"first id is {table.ids([0])[0]!r:.60}. Flag the rollouts of this file."
            )
        values = np.zeros(len(table), bool)
        values[row] = [bool(held[id]) for id in ids]
        known = np.ones(len(table), bool)
        if isinstance(flagged, Mapping):
            known[:] = False
            known[row] = True
        return Flags(name, values, known)

    @staticmethod
    def where(table: RolloutTable, predicate: Callable[[str], bool], name: str = "flagged") -> "Flags":
        """Those whose response the predicate is true of. Reads every response once, one at a time."""
        values = np.fromiter((bool(predicate(text)) for text in table.all_responses()), bool, len(table))
        return Flags(name, values, np.ones(len(table), bool))

    @staticmethod
    def diverging(table: RolloutTable, visible: str, held_out: str, at: float = 0.5) -> "Flags":
        """Those that pass the visible check (value > `at`) and fail the held-out one; unknown where either is absent.

        Both are names of reward terms or checks. Raises SettingError for an unknown name.
        """
        seen, hidden = table.check(visible), table.check(held_out)
        known = ~(np.isnan(seen) | np.isnan(hidden))
        if not known.any():
            raise EvidenceError(f"no rollout has both {visible!r} and {held_out!r}. Log the two together.")
        with np.errstate(invalid="ignore"):
            values = known & (seen > at) & ~(hidden > at)
        return Flags(f"passes {visible}, fails {held_out}", values, known, (visible, held_out))

    @staticmethod
    def apart(table: RolloutTable, visible: str, held_out: str) -> "Flags":
        """Those whose visible value is well above the held-out one (`by_checks.apart`); unknown where either is absent.

        Raises SettingError for an unknown name, EvidenceError where no rollout has both.
        """
        seen, hidden = (table.check(name).astype(float) for name in (visible, held_out))
        known = ~(np.isnan(seen) | np.isnan(hidden))
        if not known.any():
            raise EvidenceError(f"no rollout has both {visible!r} and {held_out!r}. Log the two together.")
        values = np.zeros(len(table), bool)
        values[known] = apart(seen[known], hidden[known])
        return Flags(f"{visible} well above {held_out}", values, known, (visible, held_out))

    @staticmethod
    def above(table: RolloutTable, scores: Scores, threshold: float) -> "Flags":
        """Those that a bumper scored above its threshold; rollouts that it did not score are unknown."""
        _refuse_nan(threshold)
        held = dict(zip(scores.ids, (scores.values > threshold).tolist(), strict=True))
        return Flags.by_id(table, held, scores.bumper)

    @staticmethod
    def scored(
        table: RolloutTable, score: Callable[[Sequence[str]], Sequence[float]], threshold: float, name: str = "flagged"
    ) -> "Flags":
        """Those whose response a scorer puts above the threshold; it is given some hundred responses at a time.

        Raises EvidenceError when it does not return one finite number a response.
        """
        _refuse_nan(threshold)
        values = np.zeros(len(table), bool)
        first, texts = 0, []
        for text in table.all_responses():
            texts.append(text)
            if len(texts) == BATCH or first + len(texts) == len(table):
                found = np.asarray(score(tuple(texts)), float)
                if found.shape != (len(texts),) or not np.isfinite(found).all():
                    raise EvidenceError(
                        f"the scorer of {name!r} returned shape {found.shape} for {len(texts)} responses, "
                        f"{int((~np.isfinite(found)).sum())} not finite. Return one finite number each."
                    )
                values[first : first + len(texts)] = found > threshold
                first, texts = first + len(texts), []
        return Flags(name, values, np.ones(len(table), bool))


def _refuse_nan(threshold: float) -> None:
    if not np.isfinite(threshold):
        raise SettingError(f"a threshold must be a finite number, got {threshold}.")
