"""Which rollouts a hit in the log is about, from the name of the group that was hit."""

import re

import numpy as np

from ..errors import EvidenceError
from .checked_rollouts import pair_of
from .rollout_flags import Flags
from .rollout_table import RolloutTable
from .trait_rollouts import trait_of
from .traits import TRAITS

STEPS = re.compile(r", steps (\d+)-(\d+)$")
MOST_READ = 8192  # replies that are read for a trait; of more, those of fewer steps


def flags_of(table: RolloutTable, group: str, rows: np.ndarray | None = None) -> Flags:
    """The rollouts that are what the group's name says: those of two checks that are apart, or those that have a trait.

    Replies are read for a trait in the group's environment only, and at no more than so many steps that `MOST_READ`
    are read; the others are unknown.

    Args:
        rows: numbers of rollouts, none of which others are looked at; None: all.

    Raises EvidenceError for a group of another bumper, or where the rollouts hold nothing to go by.
    """
    trait = trait_of(TRAITS, group)
    if trait is None:
        return Flags.apart(table, *pair_of(table, group))
    chosen = _of_fewer_steps(table, np.flatnonzero(in_environment(table, group)) if rows is None else rows)
    if not len(chosen):
        raise EvidenceError(f"the log holds no rollouts of {group!r}.")
    values, known = np.zeros(len(table), bool), np.zeros(len(table), bool)
    values[chosen], known[chosen] = trait.has(table.responses(chosen)), True
    return Flags(f"{trait.name} replies", values, known)


def in_environment(table: RolloutTable, group: str) -> np.ndarray:
    """(n,) bool: the rollouts of the environment that a group is named after; all of them where it is none."""
    named = [i for i, name in enumerate(table.environments) if f", {name}, steps " in group]
    return np.isin(table.environment, named) if named else np.ones(len(table), bool)


def in_steps(table: RolloutTable, group: str) -> np.ndarray:
    """(n,) bool: the rollouts of the steps that a group is named after; all of them where it names none."""
    steps = STEPS.search(group)
    return np.ones(len(table), bool) if steps is None else (table.step >= int(steps[1])) & (table.step <= int(steps[2]))


def _of_fewer_steps(table: RolloutTable, rows: np.ndarray) -> np.ndarray:
    """Rows of whole steps, evenly taken, about `MOST_READ` of them: what is compared is of one prompt and step."""
    steps = np.unique(table.step[rows])
    keep = max(1, round(len(steps) * MOST_READ / max(len(rows), 1)))
    if keep >= len(steps):
        return rows
    chosen = steps[np.unique(np.linspace(0, len(steps) - 1, keep).round().astype(int))]
    return rows[np.isin(table.step[rows], chosen)]
