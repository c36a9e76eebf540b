"""Flagged rollouts beside unflagged ones of the same prompt and step; where there are too few, of the same environment.

A prompt that is hard, or a step that is late, changes the reward and the rate of the behaviour together. Within one
prompt at one step neither differs.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...errors import EvidenceError
from ...evidence.rollout_flags import Flags
from ...evidence.rollout_table import RolloutTable
from .advantage import Cells
from .clusters import LEAST, ClusterRatios

ROUNDING = 1e-9
STRATA = 20  # bins of steps within which rollouts of one environment are compared


@dataclass(frozen=True)
class Matching:
    """Which rollouts are compared with which.

    Attributes:
        kind: "prompt" compares within one prompt and step, "environment" within one environment and stretch of steps.
        place: (n,) int32, where each rollout is compared; -1 where it is not.
        cluster: (n,) int32, what counts as one independent draw.
        flagged: (n,) bool.
        by_prompt, by_environment, unmatched: flagged rollouts that have an unflagged one of their own prompt and
            step; of only their environment and stretch of steps; or neither.
        clusters: how many hold a compared flagged rollout; `over` names what they are.
    """

    kind: Literal["prompt", "environment"]
    place: np.ndarray
    cluster: np.ndarray
    flagged: np.ndarray
    by_prompt: int
    by_environment: int
    unmatched: int
    clusters: int
    over: Literal["prompts", "groups"]

    @property
    def used(self) -> np.ndarray:
        return self.place >= 0

    def differences(self, columns: "list[np.ndarray]") -> ClusterRatios:
        """Mean of the flagged less mean of their matched, for each (n,) column, by cluster.

        Within a place with f flagged and u unflagged each flagged rollout counts v - mean(unflagged), and each
        unflagged one -(f/u)(v - mean(unflagged)), which sums to 0 and carries the uncertainty of that mean. All columns
        are finite at the rollouts used. Columns enter linearly: differences of a sum are the sum of differences.
        """
        rows = np.flatnonzero(self.used)
        place, flag = self.place[rows], self.flagged[rows]
        places = int(place.max()) + 1 if len(rows) else 0
        f = np.bincount(place, flag, places)
        u = np.bincount(place, ~flag, places)
        ratio = (f / np.maximum(u, 1))[place]
        cluster = self.cluster[rows]
        most = int(cluster.max()) + 1 if len(rows) else 0
        sums = np.empty((most, len(columns)))
        for k, column in enumerate(columns):
            values = column[rows]
            mean = np.bincount(place, np.where(flag, 0.0, values), places) / np.maximum(u, 1)
            off = values - mean[place]
            off[np.abs(off) <= ROUNDING * np.abs(values)] = 0.0  # a term that is the same for all must give exactly 0
            sums[:, k] = np.bincount(cluster, np.where(flag, off, -ratio * off), most)
        return ClusterRatios.of(sums, np.bincount(cluster, flag, most))

    def among(self, keep: np.ndarray) -> "Matching | None":
        """The same comparison where `keep` (n,) is true; None with too few clusters."""
        place = _both(np.where(self.used & keep, self.place, -1), self.flagged)
        clusters = _count(self.cluster, place, self.flagged)
        if clusters < LEAST:
            return None
        return Matching(
            self.kind, place, self.cluster, self.flagged, self.by_prompt, self.by_environment, self.unmatched, clusters,
            self.over,
        )  # fmt: skip


def match(table: RolloutTable, flags: Flags, cells: Cells) -> Matching:
    """Compare within prompts where 6 or more of them (or of their groups) hold both kinds, else within environments.

    Raises EvidenceError with the numbers when neither gives enough, or when nothing is flagged.
    """
    if len(flags.values) != len(table):
        raise EvidenceError(f"{len(flags.values)} flags for {len(table)} rollouts. Make the flags from this table.")
    flagged, n = flags.values, int(flags.values.sum())
    if not n:
        raise EvidenceError(f"none of {int(flags.known.sum())} rollouts is flagged ({flags.name}): nothing to trace.")
    known = np.where(flags.known, cells.of, -1).astype(np.int32)
    place = _both(known, flagged)
    by_prompt = int((flagged & (place >= 0)).sum())
    wide = _both(np.where(flags.known, _strata(table), -1).astype(np.int32), flagged)
    either = int((flagged & ((place >= 0) | (wide >= 0))).sum())
    counts = (by_prompt, either - by_prompt, n - either)
    prompts = _count(table.group, place, flagged)
    if prompts >= LEAST:
        return Matching("prompt", place, table.group, flagged, *counts, prompts, "prompts")
    groups = _count(cells.of, place, flagged)
    if groups >= LEAST:
        return Matching("prompt", place, cells.of, flagged, *counts, groups, "groups")
    wide_prompts = _count(table.group, wide, flagged)
    if wide_prompts >= LEAST:
        return Matching("environment", wide, table.group, flagged, *counts, wide_prompts, "prompts")
    raise EvidenceError(
        f"{n} rollouts are flagged ({flags.name}); of them {by_prompt} in {prompts} prompts have an unflagged rollout "
        f"of the same prompt and step, and {either} in {wide_prompts} prompts one of the same environment and stretch "
        f"of steps. {LEAST} prompts are needed. Flag more rollouts, or sample more of each prompt."
    )


def step_bins(steps: np.ndarray, most: int) -> np.ndarray:
    """(n,) int: bin of each step, ascending; at most `most` bins of nearly equal size, equal steps together."""
    found, of, counts = np.unique(steps, return_inverse=True, return_counts=True)
    if len(found) <= most:
        return of
    before = np.cumsum(counts) - counts
    return np.unique(before * most // len(steps), return_inverse=True)[1][of]


def _strata(table: RolloutTable) -> np.ndarray:
    bins = step_bins(table.step, STRATA)
    return table.environment.astype(np.int64) * (int(bins.max()) + 1) + bins


def _both(place: np.ndarray, flagged: np.ndarray) -> np.ndarray:
    """The places that hold a flagged and an unflagged rollout; -1 elsewhere."""
    there = place >= 0
    most = int(place.max()) + 1
    if most <= 0:
        return place
    f = np.bincount(place[there], flagged[there], most)
    u = np.bincount(place[there], ~flagged[there], most)
    return np.where(there & ((f > 0) & (u > 0))[place], place, -1).astype(np.int32)


def _count(cluster: np.ndarray, place: np.ndarray, flagged: np.ndarray) -> int:
    return len(np.unique(cluster[(place >= 0) & flagged]))
