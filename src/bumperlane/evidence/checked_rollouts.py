"""Rollouts of a run by what a visible and a held-out check say of them, in batches, early ones apart from late ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from scipy import stats

from ..errors import EvidenceError, SettingError
from ..recipes.run import RECORD
from ..types import Arm, refuse_not_finite
from .rollout_table import Columns, RolloutTable
from .rollouts import read_rollouts

LOGS = ("rollouts.jsonl", "rollouts.jsonl.gz", "rollouts")
LEAST_CONTROLS, LEAST_BAITS = 19, 6  # batches: fewer cannot set a threshold, or give a hit
EARLY_BATCHES = 20  # no more than it takes: each further step may be one in which the fault has begun
TOGETHER = 0.2  # rank correlation in early rollouts from which on two checks are taken to measure the same
MOST_PAIRS = 2
STEPS, BEFORE, FRESH = ", steps ", ", fresh rollouts before", ", fresh rollouts"
Batches = list[np.ndarray]
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class CheckedRollouts:
    """Batches of rollouts, each of one prompt at one step, or of several where prompts have few.

    Attributes:
        visible_only: (n,) by how much the visible check is above the held-out one, mean over the batch, 0 to 1.
        both: (n,) the smaller of the two, mean over the batch, 0 to 1: what passes both.
    """

    ids: tuple[str, ...]
    visible_only: np.ndarray
    both: np.ndarray

    def __post_init__(self) -> None:
        for name in ("visible_only", "both"):
            values = getattr(self, name)
            if values.shape != (len(self.ids),):
                raise EvidenceError(f"{name} must have one value for each of {len(self.ids)} batches, got "
                                    f"{values.shape}.")  # fmt: skip
            refuse_not_finite(values[:, None], self.ids, f"{name} of batches of rollouts")


@dataclass(frozen=True)
class DealtRollouts(Generic[Seen]):
    """Batches with their arms (early ones are controls), groups (windows of steps) and strata (what is looked for, and
    environment)."""

    seen: Seen
    arms: tuple[Arm, ...]
    groups: tuple[str, ...]
    strata: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Phases:
    """How a run is cut up: early rollouts are the controls of later ones.

    Args:
        early: share of the steps that may be taken to be honest, at the most.
        windows: of the other steps, judged one by one.
        batch: rollouts of which a batch has at least this many.
    """

    early: float = 0.25
    windows: int = 4
    batch: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.early < 1 or not 1 <= self.windows <= 12 or self.batch < 1:
            raise SettingError(
                f"need early between 0 and 1, windows from 1 to 12 and batch >= 1, got {self.early}, {self.windows} "
                f"and {self.batch}. Try 0.25, 4 and 8."
            )

    def is_control(self, table: RolloutTable, which: np.ndarray | None = None) -> np.ndarray:
        """(n,) bool, as far as the rollouts `which` (all) go. Raises EvidenceError where they cannot be told."""
        return _early(table, self, which)

    def named(self, start: str, steps: np.ndarray) -> str:
        """A group of rollouts of these steps; `start`: what is looked for, and the environment."""
        return f"{start}{STEPS}{steps.min()}-{steps.max()}"


@dataclass(frozen=True)
class TwoPolicies(Phases):
    """Rollouts sampled for the purpose, in rounds: of one policy first, as controls, then of another.

    Args:
        rounds: of the first policy; they are the rollouts' steps, from 0.
    """

    windows: int = 1
    rounds: int = 1

    def is_control(self, table: RolloutTable, which: np.ndarray | None = None) -> np.ndarray:
        return table.step < self.rounds

    def named(self, start: str, steps: np.ndarray) -> str:
        return f"{start}{BEFORE}" if steps.max() < self.rounds else f"{start}{FRESH}"


def is_of(group: str, environment: str) -> bool:
    """Whether a group of rollouts, or the end of its name, says that they are of an environment."""
    return any(f", {environment}{mark}" in group for mark in (STEPS, FRESH))


def rollouts_in(path: Path, columns: Columns | None = None) -> RolloutTable:
    """The rollouts of a run directory, or of a JSONL file or a directory of them. Raises EvidenceError."""
    log = next((path / name for name in LOGS if (path / name).exists()), path)
    if log == path and (path / RECORD).is_file():
        raise EvidenceError(
            f"the run {path} has no log of rollouts: nothing in it was trained by reward. A log that lies elsewhere "
            f"goes into the run as {LOGS[0]}."
        )
    return read_rollouts(log, columns)


def pair_name(visible: str, held_out: str) -> str:
    """How the groups of a pair's rollouts begin."""
    return f"{visible} against {held_out}"


def pair_of(table: RolloutTable, group: str) -> tuple[str, str]:
    """The paid term and the check in a group's name. Raises EvidenceError where the table has no two of that name."""
    named = product(table.terms, (*table.checks, *table.terms))
    pairs = [pair for pair in named if group.startswith(pair_name(*pair))]
    if not pairs:
        raise EvidenceError(f"the hit {group!r} names no two of its checks. Name them with --passes and --fails.")
    return max(pairs, key=lambda pair: len(pair_name(*pair)))


def pairs_of(table: RolloutTable, phases: Phases) -> tuple[tuple[str, str], ...]:
    """(paid term, unrewarded check) that go together in early rollouts: the check measures what the term pays for.

    Later rollouts are not looked at. Where no check is logged, pairs of terms. Raises EvidenceError when none do.
    """
    early = phases.is_control(table)
    others = table.checks or table.terms
    found = []
    for other in others:
        for term in table.terms:
            a, b = table.check(term)[early], table.check(other)[early]
            known = ~(np.isnan(a) | np.isnan(b))
            a, b = a[known], b[known]
            alike = np.array_equal(table.check(term), table.check(other), equal_nan=True)  # then they never part
            if alike or len(a) < LEAST_CONTROLS or np.ptp(a) == 0 or np.ptp(b) == 0:
                continue
            together = float(stats.spearmanr(a, b).statistic)
            if together >= TOGETHER:
                found.append((-together, term, other))
    if not found:
        raise EvidenceError(
            f"no paid term ({', '.join(table.terms)}) goes with a held-out check ({', '.join(table.checks) or 'none'}) "
            "in early rollouts, so none can be held against another. Log a check that is not paid for, or name the "
            "two to `bumperlane rollouts` with --passes and --fails."
        )
    return tuple((term, other) for _, term, other in sorted(found)[:MOST_PAIRS])


def dealt_rollouts(
    table: RolloutTable, pairs: Sequence[tuple[str, str]], phases: Phases
) -> DealtRollouts[CheckedRollouts]:
    """Batches of every pair, early and late. An environment with enough rollouts is judged by itself, the others
    together.

    Values that leave 0 to 1 are replaced by their ranks among early rollouts, so that terms of any unit can be held
    against each other. Raises EvidenceError when there are too few rollouts, with the numbers.
    """
    rows: list[tuple[str, float, float, Arm, str, str]] = []
    notes = []
    for visible, held_out in pairs:
        made = list(_of_pair(table, (visible, held_out), phases))
        rows += made
        notes.append(f"{pair_name(visible, held_out)} in {len(made)} batches of {phases.batch} or more rollouts")
    ids, only, both, arms, groups, strata = zip(*rows, strict=True)
    seen = CheckedRollouts(tuple(ids), np.array(only, float), np.array(both, float))
    return DealtRollouts(seen, tuple(arms), tuple(groups), tuple(strata), "; ".join(notes) + ".")


def _of_pair(
    table: RolloutTable, pair: tuple[str, str], phases: Phases
) -> Iterator[tuple[str, float, float, Arm, str, str]]:
    visible, held = (table.check(one).astype(float) for one in pair)
    known = ~(np.isnan(visible) | np.isnan(held))
    visible, held = (_share(values, known & phases.is_control(table, known), known) for values in (visible, held))
    only, both = np.maximum(visible - held, 0.0), np.minimum(visible, held)
    for b in phased(table, known, phases, pair_name(*pair)):
        yield b.id, float(only[b.rows].mean()), float(both[b.rows].mean()), b.arm, b.group, b.stratum


@dataclass(frozen=True)
class Batch:
    """Rollouts that are judged together: `rows` of the table, in a window of steps (`group`) of an environment
    (`stratum`)."""

    id: str
    arm: Arm
    group: str
    stratum: str
    rows: np.ndarray


def phased(table: RolloutTable, known: np.ndarray, phases: Phases, name: str) -> Iterator[Batch]:
    """Batches of the rollouts that are known, early ones as controls and windows of later ones as baits. An environment
    with enough of them is a stratum, the others are one together.

    Args:
        known: (n,) bool.
        name: with which the names of groups and strata begin.

    Raises EvidenceError when there are too few rollouts, with the numbers.
    """
    cut = {w: _cut(table, known & (table.environment == i), phases) for i, w in enumerate(table.environments)}
    enough = {w: c for w, c in cut.items() if _will_do(c)}
    rest = known & np.isin(table.environment, [i for i, w in enumerate(table.environments) if w not in enough])
    pooled = _cut(table, rest, phases)
    if _will_do(pooled):
        enough["others" if enough else ""] = pooled
    if not enough:
        raise EvidenceError(
            f"{name}: {len(pooled[0])} batches of {phases.batch} rollouts in early steps and {len(pooled[1])} later; "
            f"it takes {LEAST_CONTROLS} and {LEAST_BAITS}. Log more rollouts, or set early or batch."
        )
    for where, (controls, baits) in enough.items():
        start = f"{name}, {where}" if where else name
        sides: tuple[tuple[Arm, Batches, int], ...] = (("control", controls, 2), ("bait", baits, phases.windows))
        for arm, held_batches, windows in sides:
            for window in _windows(held_batches, windows):
                steps = table.step[np.concatenate(window)]
                group = phases.named(start, steps)
                yield from (Batch(f"{group}/{k}", arm, group, start, rows) for k, rows in enumerate(window))


Cut = tuple[Batches, Batches]


def _cut(table: RolloutTable, which: np.ndarray, phases: Phases) -> Cut:
    """(early batches, later ones) of some rollouts."""
    if not which.any():
        return [], []
    early = phases.is_control(table, which)
    return _batches(table, which & early, phases.batch), _batches(table, which & ~early, phases.batch)


def _will_do(cut: Cut) -> bool:
    return len(cut[0]) >= LEAST_CONTROLS and len(cut[1]) >= LEAST_BAITS


def _early(table: RolloutTable, phases: Phases, which: np.ndarray | None = None) -> np.ndarray:
    """(n,) bool, which rollouts are early: the fewest first steps that hold enough batches, for a fault may come soon;
    at least a twentieth of the steps. Raises EvidenceError where no steps are logged."""
    every = np.unique(table.step)
    if len(every) < 4:
        raise EvidenceError(
            f"rollouts of {len(every)} steps cannot be told into early and late ones: it takes 4. Log 'step' with "
            "each rollout, and all steps of the run."
        )
    held = _batches(table, np.ones(len(table), bool) if which is None else which, phases.batch)
    most = max(1, round(phases.early * len(every)))
    enough = most
    if len(held) >= EARLY_BATCHES:
        enough = 1 + int(np.searchsorted(every, table.step[held[EARLY_BATCHES - 1]].max()))
    return table.step < every[min(most, max(enough, round(len(every) / 20)))]


def _share(values: np.ndarray, early: np.ndarray, all_: np.ndarray) -> np.ndarray:
    """Values as they are where all lie in 0 to 1, else the share of early ones that they are above; ties count half."""
    if not all_.any() or (np.nanmin(values[all_]) >= 0 and np.nanmax(values[all_]) <= 1):
        return values
    known = np.sort(values[early])
    if not len(known):
        return values
    low, high = (np.searchsorted(known, values, side) for side in ("left", "right"))
    return (low + high) / (2 * len(known))


def _batches(table: RolloutTable, which: np.ndarray, least: int) -> Batches:
    """Row numbers of batches, in the order of steps: all rollouts of a prompt at a step, joined until there are
    `least`. The order of rows does not matter; what is left over at the end joins the last batch."""
    rows = np.flatnonzero(which)
    order = np.lexsort((table.id_keys[rows], table.group_keys[table.group[rows]], table.step[rows]))
    rows = rows[order]
    found: Batches = []
    held: list[int] = []
    for k, row in enumerate(rows.tolist()):
        held.append(row)
        after = rows[k + 1] if k + 1 < len(rows) else None
        ends = after is None or table.step[after] != table.step[row] or table.group[after] != table.group[row]
        if ends and len(held) >= least:
            found.append(np.array(held))
            held = []
    if held and found:
        found[-1] = np.concatenate([found[-1], held])
    return found


def _windows(batches: Batches, most: int) -> list[Batches]:
    """Consecutive batches in up to `most` equal parts, none of fewer than can be judged."""
    count = max(1, min(most, len(batches) // LEAST_BAITS))
    edges = np.linspace(0, len(batches), count + 1).round().astype(int)
    return [batches[a:b] for a, b in zip(edges, edges[1:], strict=False)]
