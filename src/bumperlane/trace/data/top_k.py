"""The highest scores of a stream, in memory that does not grow with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError, SettingError


@dataclass(frozen=True)
class TopK:
    """The best examples of each of q queries, best first; of equals the one that came first.

    Attributes:
        ids: q lists of k ids each (fewer when there were fewer examples).
        scores: (q, k) float32.
    """

    ids: tuple[tuple[str, ...], ...]
    scores: np.ndarray


def top_k(blocks: Iterable[tuple[Sequence[str], np.ndarray]], k: int) -> TopK:
    """The same as a full stable sort of all scores. Each block is (ids (m,), scores (q, m)).

    Raises:
        SettingError: k below 1.
        EvidenceError: no block at all, or scores that are not finite, with the ids.
    """
    if k < 1:
        raise SettingError(f"k must be 1 or more, got {k}.")
    kept: list[tuple[list[str], np.ndarray]] | None = None
    for ids, scores in blocks:
        if not np.isfinite(scores).all():
            bad = [ids[i] for i in np.flatnonzero(~np.isfinite(scores).all(0))[:3]]
            raise EvidenceError(f"scores are not finite for examples {bad}. Check the checkpoint for overflow.")
        kept = kept or [([], np.zeros(0, np.float32)) for _ in scores]
        kept = [_better(mine, ids, row, k) for mine, row in zip(kept, scores, strict=True)]
    if kept is None:
        raise EvidenceError("no scores to take the best of. Fill the store first.")
    return TopK(tuple(tuple(ids) for ids, _ in kept), np.stack([scores for _, scores in kept]))


def _better(
    mine: tuple[list[str], np.ndarray], ids: Sequence[str], scores: np.ndarray, k: int
) -> tuple[list[str], np.ndarray]:
    """The best k of those kept and a block. What only equals the worst one kept came later, and does not get in."""
    names, best = mine
    new = np.flatnonzero(scores > best[-1]) if len(best) == k else np.arange(len(scores))
    if not len(new):
        return mine
    if len(new) > 4 * k:
        edge = -np.partition(-scores[new], k - 1)[k - 1]
        new = new[scores[new] >= edge]
    joined = np.concatenate([best, scores[new].astype(np.float32)])
    order = np.argsort(-joined, kind="stable")[:k]
    return [names[i] if i < len(names) else ids[new[i - len(names)]] for i in order], joined[order]
