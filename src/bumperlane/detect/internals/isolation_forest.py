"""How few random cuts it takes to cut an activation off from trusted ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import blocks
from .whitening import FEWEST, same_place


@bumper
@dataclass(frozen=True)
class IsolationForest:
    """Flags activations that a few random cuts along single dimensions separate from trusted ones.

    Watches: Activations, rows (n, d) at one layer.
    Score: 2 to the power of minus the mean number of cuts over that of a random search tree; 0 to 1, about 0.45 on
        clean data. It does not depend on units or offsets of dimensions.
    Blind to: a change in a few of many dimensions, as each tree looks at about eight of them; a change of correlation
        that leaves each dimension inside its own trusted range.
    Source: Liu, Ting and Zhou 2008. Grown by scikit-learn; we score the exported trees, so nothing is pickled.

    Args:
        trees: number of trees.
        rows_a_tree: trusted rows that each tree is grown on, at most.
        seed: of the random cuts.
    """

    watches = Activations
    family = "internals"
    by_default = False
    trees: int = 100
    rows_a_tree: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trees < 1 or self.rows_a_tree < 2:
            raise SettingError(
                f"a forest needs 1 or more trees and 2 or more rows a tree, got {self.trees} and {self.rows_a_tree}. "
                "Try 100 and 256."
            )

    def fit(self, clean: Activations) -> "FittedIsolationForest":
        """Grow the trees. Raises EvidenceError below 8 rows or without spread, SettingError without scikit-learn."""
        n = len(clean.ids)
        if n < FEWEST:
            raise EvidenceError(f"a forest needs {FEWEST} or more trusted rows, got {n}. Pass more trusted prompts.")
        if not np.ptp(clean.rows, axis=0).any():
            raise EvidenceError(
                f"all {n} trusted rows at layer {clean.layer} are equal. Check that the hook reads the right module."
            )
        take = min(n, self.rows_a_tree)
        grown = _scikit_learn()(n_estimators=self.trees, max_samples=take, random_state=self.seed).fit(
            _single(clean.rows)
        )
        trees = [tree.tree_ for tree in grown.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])
        own = np.arange(roots[-1])
        depth = np.concatenate([tree.compute_node_depths() for tree in trees]) - 1  # scikit-learn's root has depth 1
        samples = np.concatenate([tree.n_node_samples for tree in trees])

        def child(name: str) -> np.ndarray:
            """Indices into the forest; a leaf is its own child, so that walking on stays there."""
            at = np.concatenate([getattr(tree, name) + root for tree, root in zip(trees, roots, strict=False)])
            leaf = np.concatenate([getattr(tree, name) < 0 for tree in trees])
            return np.where(leaf, own, at).astype(np.int32)

        return FittedIsolationForest(
            *clean.place,
            left=child("children_left"),
            right=child("children_right"),
            dimension=np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            cuts=(depth + usual_cuts(samples)) / float(usual_cuts(np.array([take]))[0]),
            roots=roots[:-1].astype(np.int32),
            deepest=int(depth.max()),
        )

    @classmethod
    def trap(cls) -> Trap:
        """Half of the dimensions move a little out of range; the blind spot moves one of them far."""
        rng, d = np.random.default_rng(0), 64

        def at(n: int, moved: int, shift: float, start: int) -> Activations:
            return Activations(rng.normal(size=(n, d)) + shift * (np.arange(d) < moved), numbered(n, start))

        return Trap(cls(), at(400, 0, 0, 0), at(200, 0, 0, 400), bad=at(50, 32, 3, 600), blind=at(200, 1, 4, 650))


@dataclass(frozen=True)
class FittedIsolationForest:
    """All trees behind one another. For each node its children (a leaf is its own), the dimension and threshold of its
    cut, and the mean number of cuts of an item that ends there, over that of a random search tree."""

    layer: int | str
    d: int
    left: np.ndarray
    right: np.ndarray
    dimension: np.ndarray
    threshold: np.ndarray
    cuts: np.ndarray
    roots: np.ndarray
    deepest: int

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        found = [self._score(_single(part)) for part in blocks(seen.rows)]
        return Scores(np.concatenate(found) if found else np.zeros(0), seen.ids, "IsolationForest")

    def _score(self, rows: np.ndarray) -> np.ndarray:
        node = np.repeat(self.roots[None], len(rows), axis=0)  # (n, trees)
        for _ in range(self.deepest):
            lower = np.take_along_axis(rows, self.dimension[node], axis=1) <= self.threshold[node]
            node = np.where(lower, self.left[node], self.right[node])
        return 2.0 ** -self.cuts[node].mean(axis=1)


def usual_cuts(n: np.ndarray) -> np.ndarray:
    """Mean length of an unsuccessful search in a random binary search tree of n rows; 0 for one row, 1 for two."""
    more = np.maximum(n, 3).astype(np.float64)
    many = 2 * (np.log(more - 1) + np.euler_gamma) - 2 * (more - 1) / more
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, many))


def _single(rows: np.ndarray) -> np.ndarray:
    """Trees are grown and walked in float32."""
    return np.ascontiguousarray(rows, np.float32)


def _scikit_learn() -> Any:
    try:
        from sklearn.ensemble import IsolationForest as Forest
    except ImportError as error:
        raise SettingError(
            "IsolationForest grows its trees with scikit-learn, which is not installed. Install scikit-learn, or use "
            "NearestNeighbours. Scoring with a saved forest works without it."
        ) from error
    return Forest
