"""Which rollouts a hit in the log is about, from the name of the group that was hit."""

import re
from collections.abc import Sequence

import numpy as np

from ..errors import EvidenceError
from .checked_rollouts import is_of, pair_of
from .rollout_flags import Flags
from .rollout_table import RolloutTable
from .trait_rollouts import trait_of
from .traits import TRAITS, Trait

STEPS = re.compile(r", steps (\d+)-(\d+)$")
MOST_READ = 8192  # replies that are read for a trait; of more, those of fewer prompts a step


def flags_of(
    table: RolloutTable, group: str, rows: np.ndarray | None = None, traits: Sequence[Trait] = TRAITS
) -> Flags:
    """The rollouts that are what the group's name says: those of two checks that are apart, or those that have a trait.

    Replies are read for a trait in the group's environment only, about `MOST_READ` of them; the others are unknown.

    Args:
        rows: numbers of rollouts, which alone are looked at; None: all.
        traits: those that a group may be named after.

    Raises EvidenceError for a group of another bumper, or where the rollouts hold nothing to go by.
    """
    trait = trait_of(traits, group)
    if trait is None:
        return Flags.apart(table, *pair_of(table, group))
    chosen = _of_fewer_prompts(table, np.flatnonzero(in_environment(table, group)) if rows is None else rows)
    if not len(chosen):
        raise EvidenceError(f"the log holds no rollouts of {group!r}.")
    values, known = np.zeros(len(table), bool), np.zeros(len(table), bool)
    values[chosen], known[chosen] = trait.has(table.responses(chosen)), True
    return Flags(f"{trait.name} replies", values, known)


def in_environment(table: RolloutTable, group: str) -> np.ndarray:
    """(n,) bool: the rollouts of the environment that a group is named after; all of them where it is none."""
    named = [i for i, name in enumerate(table.environments) if is_of(group, name)]
    return np.isin(table.environment, named) if named else np.ones(len(table), bool)


def in_steps(table: RolloutTable, group: str) -> np.ndarray:
    """(n,) bool: the rollouts of the steps that a group is named after; all of them where it names none."""
    steps = STEPS.search(group)
    return np.ones(len(table), bool) if steps is None else (table.step >= int(steps[1])) & (table.step <= int(steps[2]))


def _of_fewer_prompts(table: RolloutTable, rows: np.ndarray) -> np.ndarray:
    """Rows of whole prompts of a step, taken evenly along the steps, about `MOST_READ` of them: what is compared is of
    one prompt and step, and a date needs every step."""
    if len(rows) <= MOST_READ:
        return rows
    cells, of = np.unique(np.stack([table.step[rows], table.group[rows]]), axis=1, return_inverse=True)
    keep = max(1, round(cells.shape[1] * MOST_READ / len(rows)))
    chosen = np.unique(np.linspace(0, cells.shape[1] - 1, keep).round().astype(int))
    return rows[np.isin(of.ravel(), chosen)]
