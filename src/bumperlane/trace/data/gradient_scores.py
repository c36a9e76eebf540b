"""Scores of many queries at once, as a matrix product over blocks of stored gradients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ...errors import EvidenceError, SettingError
from ...evidence.gradient_store import GradientStore
from .second_moments import Whitening

Variant = Literal["dot", "cosine", "preconditioned", "whitened cosine"]


@dataclass(frozen=True)
class GradientScorer:
    """Takes blocks (m, K) of gradients to scores (q, m).

    dot: g . q, as a step on the example moves the query's loss.
    cosine: the same over both lengths, so that a loud example does not win by its loudness. Nought for g = 0.
    preconditioned: g^T F^-1 q (`Whitening`). whitened cosine: the cosine in the whitened space.

    Attributes:
        queries: (q, K) float32, made ready for the product.
        whitening: what rows go through first, if anything.
    """

    variant: Variant
    queries: np.ndarray
    whitening: Whitening | None = None

    @classmethod
    def of(cls, variant: Variant, queries: np.ndarray, whitening: Whitening | None = None) -> "GradientScorer":
        """Raises EvidenceError for queries that are nought or not finite: a bad output equal to its benign one."""
        if variant not in get_args(Variant):
            raise SettingError(f"unknown variant {variant!r}. Known: {', '.join(get_args(Variant))}.")
        if (whitening is None) == (variant in ("preconditioned", "whitened cosine")):
            raise SettingError(f"variant {variant!r} {'needs' if whitening is None else 'takes no'} whitening.")
        queries = np.ascontiguousarray(queries, np.float32)
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0))).tolist()
        if wrong:
            raise EvidenceError(
                f"queries {wrong[:5]} of {len(queries)} have a gradient that is nought or not finite, so they point "
                "nowhere. Give each bad output a benign one that differs from it."
            )
        if whitening is not None:
            queries = whitening(queries)
            queries = whitening.back(queries) if variant == "preconditioned" else queries
        if "cosine" in variant:
            queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        return cls(variant, queries, whitening)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        if self.variant == "whitened cosine" and self.whitening is not None:
            rows = self.whitening(rows)
        found = self.queries @ rows.T
        if "cosine" in self.variant:
            lengths = np.sqrt(np.einsum("mk,mk->m", rows, rows))
            found /= np.where(lengths > 0, lengths, 1)
        return found

    def stream(self, store: GradientStore, most: int = 2048) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """(ids, scores (q, m)) of block after block, in stored order. In memory are one block and its scores."""
        return ((block.ids, self(block.gradients)) for block in store.blocks(most))

    def all(self, store: GradientStore, ids: Sequence[str]) -> np.ndarray:
        """(q, n) float32 in the order of these ids. Raises EvidenceError, with the ids, for those not stored."""
        place = {id: k for k, id in enumerate(ids)}
        out = np.full((len(self.queries), len(ids)), np.nan, np.float32)
        for found, scores in self.stream(store):
            kept = [(k, place[id]) for k, id in enumerate(found) if id in place]
            if kept:
                here, there = zip(*kept, strict=True)
                out[:, list(there)] = scores[:, list(here)]
        bad = [ids[k] for k in np.flatnonzero(~np.isfinite(out).all(0))[:3]]
        if bad:
            raise EvidenceError(f"no finite score for examples {bad} in {store.directory}. Fill the store first.")
        return out
