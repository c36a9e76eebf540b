"""What each reward term adds to each advantage, as a group-normalised policy gradient counts it.

GRPO (Shao et al. 2024, arXiv:2402.03300) gives rollout i of a prompt the advantage (r_i - mean) / (spread + 1e-4), mean
and spread over the rollouts of the same prompt and step. A reward is a weighted sum of terms, so with the spread held
at the group's own the advantage is a sum over terms too, exactly. Without division by the spread (Liu et al. 2025,
arXiv:2503.20783) the same holds with the spread at 1.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...evidence.rollout_table import RolloutTable

Rule = Literal["spread", "mean"]
EPSILON = 1e-4  # added to the spread, as trainers do
FLAT = 1e-4  # share of a usual group's spread under which a group is flat: it teaches nothing
AGREES = 0.02  # median difference, in spreads of the logged advantages, up to which a rule explains them
SAME_REWARD = 1e-3  # share of the rewards' spread by which a sum of terms may miss the logged reward
REMAINDER = "(not logged)"


@dataclass(frozen=True)
class Cells:
    """Rollouts of one prompt at one step: those that a group-normalised trainer compares.

    Attributes:
        of: (n,) int32, cell of each rollout.
        group: (m,) prompt code of each cell, `step` (m,) its step, `size` (m,) its rollouts.
    """

    of: np.ndarray
    group: np.ndarray
    step: np.ndarray
    size: np.ndarray

    @staticmethod
    def of_table(table: RolloutTable) -> "Cells":
        steps = table.step.astype(np.int64)
        first = steps.min()
        width = int(steps.max() - first) + 1
        key = table.group.astype(np.int64) * width + (steps - first)
        found, of, size = np.unique(key, return_inverse=True, return_counts=True)
        return Cells(of.astype(np.int32), found // width, found % width + first, size)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """(m,) mean of each cell."""
        return np.bincount(self.of, values, len(self.size)) / self.size

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(m,) standard deviation of each cell with n - 1 in the denominator; 0 for a cell of one."""
        off = values - self.mean(values)[self.of]
        return np.sqrt(np.bincount(self.of, off * off, len(self.size)) / np.maximum(self.size - 1, 1))


@dataclass(frozen=True)
class Rewards:
    """Rewards as terms that sum to them.

    Attributes:
        terms: names; the last is `(not logged)` where the logged reward is not the weighted sum of its terms.
        total: (n,) float64, what the trainer saw.
        remainder: (n,) float64 or None.
        scale: (m,) what each cell's differences are divided by.
        flat: (m,) bool, cells in which all rewards are equal: no advantage, whatever the terms do.
    """

    table: RolloutTable
    cells: Cells
    terms: tuple[str, ...]
    total: np.ndarray
    remainder: np.ndarray | None
    rule: Rule
    scale: np.ndarray
    flat: np.ndarray
    notes: tuple[str, ...]

    def paid(self, term: int) -> np.ndarray:
        """(n,) what a term added to each reward."""
        if self.remainder is not None and term == len(self.terms) - 1:
            return self.remainder
        return self.table.paid(term)


def rewards_of(table: RolloutTable, rule: Rule | None = None) -> Rewards:
    """The rewards of a table, its cells, and the rule that its logged advantages follow.

    Args:
        rule: "spread" or "mean"; None takes the one that explains the logged advantages, "spread" where none are.
    """
    cells = Cells.of_table(table)
    total = np.zeros(len(table))
    for term in range(len(table.terms)):
        total += table.paid(term)
    total, remainder, notes = _with_remainder(table, total)
    spread = cells.spread(total)
    flat = _flat(spread, cells.mean(np.abs(total)))
    if rule is None:
        rule, said = _rule_of(table, cells, total, flat, spread)
        notes += said
    return Rewards(
        table=table,
        cells=cells,
        terms=(*table.terms, REMAINDER) if remainder is not None else table.terms,
        total=total,
        remainder=remainder,
        rule=rule,
        scale=_scale(spread, rule),
        flat=flat,
        notes=tuple(notes),
    )


def advantages(rewards: np.ndarray, cells: Cells, rule: Rule, grain: np.ndarray | float = 0.0) -> np.ndarray:
    """(n,) group-normalised advantages of any rewards. Differences from the mean up to `grain` count as none."""
    off = rewards - cells.mean(rewards)[cells.of]
    off = np.where(np.abs(off) <= grain, 0.0, off)
    return off / _scale(cells.spread(off), rule)[cells.of]


def _flat(spread: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(m,) bool. Against the usual spread of a group, which one huge reward does not move."""
    some = spread > 1e-6 * size
    return ~some | (spread <= FLAT * float(np.median(spread[some]))) if some.any() else ~some


def _scale(spread: np.ndarray, rule: Rule) -> np.ndarray:
    return spread + EPSILON if rule == "spread" else np.ones(len(spread))


def _with_remainder(table: RolloutTable, total: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """What the logged reward has beyond the weighted terms, where it has any."""
    logged = table.reward.astype(np.float64)
    there = np.isfinite(logged)
    if not there.any():
        return total, None, []
    off = np.where(there, logged - total, 0.0)
    low, high = np.quantile(logged[there], [0.05, 0.95])
    spread = float(high - low) / 3.3 or float(logged[there].std())  # of the bulk, whatever its tails
    beyond = np.abs(off) > SAME_REWARD * spread + 1e-5 * np.abs(total)
    if not beyond.any():
        return total, None, []
    note = (
        f"the logged reward is not the weighted sum of its terms in {int(beyond.sum())} of {len(total)} rollouts; the "
        f"difference is kept as the term {REMAINDER}. Log every term, and the weights."
    )
    return total + off, off, [note]


def _rule_of(
    table: RolloutTable, cells: Cells, total: np.ndarray, flat: np.ndarray, spread: np.ndarray
) -> tuple[Rule, list[str]]:
    logged = table.advantage.astype(np.float64)
    use = np.isfinite(logged) & ~flat[cells.of]
    size = float(logged[use].std()) if use.any() else 0.0
    if size == 0:
        return "spread", []
    off = (total - cells.mean(total)[cells.of])[use]
    rules: tuple[Rule, ...] = ("spread", "mean")
    missed: dict[Rule, float] = {}
    for rule in rules:
        ours = off / _scale(spread, rule)[cells.of][use]
        factor = float(ours @ logged[use] / (ours @ ours))  # n or n - 1, and any constant, change no share
        missed[rule] = float(np.median(np.abs(logged[use] - factor * ours))) / size
    best = min(rules, key=lambda rule: missed[rule])
    if missed[best] <= AGREES:
        return best, []
    return best, [
        f"the logged advantages are not group-normalised rewards (median difference {missed[best]:.2g} of their "
        f"spread under the nearest rule, {best!r}); advantages are computed from the rewards."
    ]
