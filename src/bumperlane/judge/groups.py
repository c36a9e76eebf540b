"""Conformal p-values within groups (language, task, length): each is judged by its own clean items, or not at all."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import EvidenceError, SettingError
from ..types import Verdict
from .conformal import needed, p_values, threshold

Pool = Literal["refuse", "all"]


@dataclass(frozen=True)
class GroupLine:
    """How one group is judged.

    Attributes:
        clean: clean items of this group.
        missing: clean items that it lacks for a threshold of its own; 0 if it has one.
        threshold: None when the group is blind.
        pooled: its items are compared with the clean items of all groups, for want of its own.
    """

    group: str
    clean: int
    missing: int
    threshold: float | None
    pooled: bool = False

    @property
    def blind(self) -> bool:
        return self.threshold is None


@dataclass(frozen=True)
class GroupedResult:
    """Items judged within their groups.

    Attributes:
        p: (n,) p-value of each item; NaN in a blind group, where there is none.
        verdicts: hit, clear or blind for each item. Blind is never clear.
        lines: one a group, by name; groups with clean items only are among them.
    """

    alpha: float
    p: np.ndarray
    verdicts: tuple[Verdict, ...]
    lines: tuple[GroupLine, ...]

    @property
    def missing(self) -> dict[str, int]:
        """Blind groups, and how many clean items each lacks."""
        return {line.group: line.missing for line in self.lines if line.blind}


def judge_groups(
    calibration: tuple[np.ndarray, Sequence[str]],
    seen: tuple[np.ndarray, Sequence[str]],
    alpha: float,
    pool: Pool = "refuse",
) -> GroupedResult:
    """Give every item a conformal p-value among the clean items of its own group (Mondrian conformal).

    In each group that is not blind, a clean item has p <= alpha with probability at most alpha. It needs that clean and
    new items of *one group* are exchangeable (groups may differ in any way), and that an item's group does not depend
    on its score or on whether it is odd. With one threshold for all, the rate would hold only on average over groups:
    a rare language could be flagged always.

    Args:
        calibration: scores (m,) of clean items that no detector was fitted on, and their groups.
        seen: scores (n,) of new items, and their groups.
        pool: what becomes of a group with fewer than 1/alpha - 1 clean items. 'refuse': it is blind, with the number
            missing. 'all': its items are compared with the clean items of all groups; its rate is alpha only if groups
            do not differ, which nobody has checked, and its line says `pooled`.

    Source: Vovk, Gammerman & Shafer 2005, chapter 4 (Mondrian conformal predictors).
    """
    if pool not in ("refuse", "all"):
        raise SettingError(f"unknown pool {pool!r}. Known: refuse, all.")
    clean, clean_groups = _taken(*calibration, "calibration")
    scores, groups = _taken(*seen, "seen")
    p = np.full(len(scores), np.nan)
    lines = []
    for name in sorted({*clean_groups, *groups}):
        own = clean[clean_groups == name]
        missing = max(0, needed(alpha) - len(own))
        pooled = missing > 0 and pool == "all" and len(clean) >= needed(alpha)
        among = clean if pooled else own
        line = GroupLine(name, len(own), missing, threshold(among, alpha) if pooled or not missing else None, pooled)
        lines.append(line)
        if not line.blind:
            here = groups == name
            p[here] = p_values(among, scores[here])
    verdicts: tuple[Verdict, ...] = tuple("blind" if np.isnan(v) else "hit" if v <= alpha else "clear" for v in p)
    return GroupedResult(alpha, p, verdicts, tuple(lines))


def length_bins(tokens: Sequence[int], edges: Sequence[int]) -> tuple[str, ...]:
    """The bin of each length, named by its limits: edges (128, 512) give '0-127', '128-511', '512+'.

    Choose the edges before the scores are seen. Raises SettingError unless they are positive and grow.
    """
    if not edges or list(edges) != sorted(set(edges)) or edges[0] < 1:
        raise SettingError(f"edges must be positive lengths in tokens that grow, got {list(edges)}. Try [128, 512].")
    if min(tokens, default=0) < 0:
        raise EvidenceError(f"a length in tokens cannot be negative, got {min(tokens)}.")
    lows = (0, *edges)
    names = [f"{low}-{high - 1}" for low, high in zip(lows, edges, strict=False)] + [f"{edges[-1]}+"]
    return tuple(names[bisect_right(edges, n)] for n in tokens)


def _taken(scores: np.ndarray, groups: Sequence[str], which: str) -> tuple[np.ndarray, np.ndarray]:
    scores, named = np.asarray(scores, float), np.array(tuple(groups), object)
    if scores.shape != named.shape or not np.isfinite(scores).all():
        raise EvidenceError(
            f"{which} must be one finite score and one group an item, got scores of shape {scores.shape}, "
            f"{int((~np.isfinite(scores)).sum())} of them not finite, and {len(named)} groups."
        )
    return scores, named
