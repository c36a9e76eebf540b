"""Several attribution methods made one score, each with the weight that its trap earned it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...errors import EvidenceError, SettingError
from ..tranches import fuse_ranks

How = Literal["robust", "ranks"]


@dataclass(frozen=True)
class Weighed:
    """What a method said, and how far its trap lets it be heard.

    Attributes:
        scores: (q, n); a column of NaN means that the method did not look at that example.
        weight: >= 0; 0 leaves the method out.
        why: what the trap found, for the reader of the result.
    """

    name: str
    scores: np.ndarray
    weight: float = 1.0
    why: str = ""

    def __post_init__(self) -> None:
        seen = ~np.isnan(self.scores)
        if self.scores.ndim != 2 or not self.scores.size or not np.isfinite(self.scores[seen]).all():
            raise EvidenceError(
                f"{self.name}: scores must be (queries, examples) and finite, NaN where a method did not look, got "
                f"shape {self.scores.shape}. Check the method."
            )
        if not np.array_equal(seen.any(axis=0), seen.all(axis=0)):
            half = int((seen.any(axis=0) & ~seen.all(axis=0)).sum())
            raise EvidenceError(f"{self.name}: {half} examples have scores for some queries only. Give all or none.")
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise SettingError(f"{self.name}: a weight must be a finite number >= 0, got {self.weight}.")


@dataclass(frozen=True)
class Fused:
    """One score an example and query.

    Attributes:
        per_query: (q, n) float64. Robust: spreads above the median example; ranks: in (0, 1).
        used: (name, weight) of the methods that were heard, the heaviest first; weights sum to 1.
        left_out: (name, why) of those that were not.
    """

    per_query: np.ndarray
    used: tuple[tuple[str, float], ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def scores(self) -> np.ndarray:
        """(n,): the mean over queries."""
        return self.per_query.mean(axis=0)


def fuse(methods: Sequence[Weighed], how: How = "robust", null: Sequence[Weighed] = ()) -> Fused:
    """The weighted mean of the methods' scores, after each was brought to its own spread over the examples.

    robust: (score - median) / `spread`, both of the method's mean over queries, so that the mean over queries of what
    comes out is the fusion of the means. A method that sees a few examples far out outweighs one that sees nothing.
    ranks: mean of normalised ranks within each query (`fuse_ranks`); how far out an example stands is lost.
    An example that a method did not look at is judged by the others.

    Args:
        null: the same methods in the same order, asked about benign outputs against benign ones. Given, it is their
            scores that come out, on the scale of `methods`, to say what chance gives (robust only).

    Raises EvidenceError when no method has weight, or an example was looked at by none of those that have.
    """
    heard = [(i, m) for i, m in enumerate(methods) if m.weight > 0]
    if not heard:
        reasons = "; ".join(f"{m.name}: {m.why or 'weight 0'}" for m in methods) or "no method was given"
        raise EvidenceError(f"no attribution method has weight in this model, so nothing is proposed ({reasons}).")
    shapes = {m.name: m.scores.shape for _, m in heard}
    if len(set(shapes.values())) != 1:
        raise EvidenceError(f"fusing takes scores of the same queries and examples, got {shapes}.")
    total = sum(m.weight for _, m in heard)
    weights = np.array([m.weight / total for _, m in heard])
    if how == "ranks":
        if len(null):
            raise SettingError("ranks have no scale to carry over to a null. Fuse robustly.")
        per_query = _ranked([m.scores for _, m in heard], weights)
    elif how == "robust":
        if len(null) and [m.name for m in null] != [m.name for m in methods]:
            raise SettingError(
                f"the null must hold the methods {[m.name for m in methods]}, got {[m.name for m in null]}."
            )
        per_query = _robust([m.scores for _, m in heard], [null[i].scores for i, _ in heard] if null else None, weights)
    else:
        raise SettingError(f"unknown way to fuse {how!r}. Known: robust, ranks.")
    if not np.isfinite(per_query).all():
        missing = int(np.isnan(per_query).any(axis=0).sum())
        raise EvidenceError(f"{missing} examples were looked at by no method that has weight. Score them by one.")
    used = sorted(((m.name, float(w)) for (_, m), w in zip(heard, weights, strict=True)), key=lambda u: (-u[1], u[0]))
    return Fused(per_query, tuple(used), tuple((m.name, m.why or "weight 0") for m in methods if m.weight == 0))


def spread(scores: np.ndarray) -> tuple[float, float]:
    """(median, scale) of one number an example; NaN is left out. Scale: 1.4826 MAD, or SD / 4 where that is larger.

    The SD puts a floor under the MAD: a method that gives most examples the same score, as one by words does, has a
    MAD near 0, and would drown all others. A planted share s thereby stands at most 4 / sqrt(s) spreads out.
    """
    seen = scores[~np.isnan(scores)]
    middle = float(np.median(seen))
    scale = max(1.4826 * float(np.median(np.abs(seen - middle))), float(seen.std()) / 4)
    return middle, scale if scale > 1e-12 * max(1.0, abs(middle)) else 1.0  # all equal: says nothing, all 0


def _robust(scores: Sequence[np.ndarray], null: Sequence[np.ndarray] | None, weights: np.ndarray) -> np.ndarray:
    total, weight = 0.0, 0.0
    for i, values in enumerate(scores):
        middle, scale = spread(values.mean(axis=0))
        shown = values if null is None else null[i]
        z = (np.asarray(shown, float) - middle) / scale
        total = total + weights[i] * np.nan_to_num(z, nan=0.0)
        weight = weight + weights[i] * ~np.isnan(z)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total) / np.asarray(weight)


def _ranked(scores: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Ranks among the examples that a method looked at; an example's weights are those of the methods that did."""
    rows = np.full(scores[0].shape, np.nan)
    seen = np.stack([~np.isnan(s[0]) for s in scores])
    if seen.all():
        return np.stack([fuse_ranks([s[q] for s in scores], weights.tolist()) for q in range(len(rows))])
    ranks = np.zeros(rows.shape)
    for s, mask, weight in zip(scores, seen, weights, strict=True):
        ranks[:, mask] += weight * np.stack([fuse_ranks([row]) for row in s[:, mask]])
    with np.errstate(invalid="ignore", divide="ignore"):
        return ranks / (weights @ seen)
