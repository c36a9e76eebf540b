"""How many of the best scored examples stand out, and which of them belong together?"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from ...errors import EvidenceError, SettingError

MOST_GROUPS = 10
STRUCTURE = 0.25  # mean silhouette below which there is no substantial structure (Kaufman & Rousseeuw 1990)


@dataclass(frozen=True)
class Top:
    """The examples that stand out.

    Attributes:
        places: their indices, the best score first; empty where none does.
        threshold: the lowest score among them; infinite where there is none.
        fdr: expected share of them that chance would put there; 1 where there is none.
    """

    places: np.ndarray
    threshold: float
    fdr: float


def stand_out(scores: np.ndarray, null: np.ndarray | None = None, fdr: float = 0.2, most: int = 2000) -> Top:
    """The largest set of best examples of which no more than `fdr` are expected by chance.

    Chance is the null where one is given: the same fused scores for benign outputs asked about against benign ones.
    Else it is what stands as far below the median as the set stands above it: under chance a contrast falls to either
    side alike. Examples that argue against the behaviour then count as chance, so fewer stand out.

    Source: the excess over a mirrored null is that of Barber & Candes 2015, arXiv:1404.5609 (knockoff+), the one over
    a given null that of target and decoy (Elias & Gygi 2007).

    Args:
        scores: (n,) finite.
        null: (m,) on the same scale (`fuse(..., null=...)`), m may differ from n.
        most: examples at the most.
    """
    values = np.asarray(scores, float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise EvidenceError(f"scores must be one finite number an example, got shape {values.shape}.")
    if not 0 < fdr < 1 or most < 1:
        raise SettingError(f"fdr must be in (0, 1) and most 1 or more, got {fdr} and {most}. Try 0.2 and 2000.")
    middle = float(np.median(values))
    if null is None:
        chance = 2 * middle - values
    else:
        chance = np.asarray(null, float)
        if chance.ndim != 1 or not len(chance) or not np.isfinite(chance).all():
            raise EvidenceError(f"a null must be one finite number an example, got shape {chance.shape}.")
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    at_least = np.searchsorted(-ordered, -ordered, side="right")  # examples of no lower score, ties together
    by_chance = len(chance) - np.searchsorted(np.sort(chance), ordered, side="left")
    expected = (1 + by_chance * len(values) / len(chance)) / at_least
    good = np.flatnonzero((expected <= fdr) & (ordered > middle) & (at_least <= most))
    if not len(good):
        return Top(np.empty(0, int), float("inf"), 1.0)
    k = int(at_least[good[-1]])
    return Top(order[:k], float(ordered[k - 1]), float(expected[k - 1]))


def groups_of(cosines: np.ndarray, least: int = 5) -> np.ndarray:
    """Group of each of k examples, from their (k, k) cosines; -1 for those in a group of fewer than `least`.

    Average linkage, cut into the number of groups that has the best mean silhouette; one group where that is no
    substantial structure. Groups are numbered by size, the largest 0.
    """
    k = len(cosines)
    if k < 2 * least:
        return np.zeros(k, int)
    distance = np.clip(1 - (cosines + cosines.T) / 2, 0, None)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    cuts = {g: fcluster(tree, g, "maxclust") for g in range(2, min(MOST_GROUPS, k // least) + 1)}
    quality = {g: silhouette(distance, cut) for g, cut in cuts.items()}
    best = max(quality, key=lambda g: (quality[g], -g))
    if quality[best] < STRUCTURE:
        return np.zeros(k, int)
    sizes = Counter(cuts[best].tolist())  # in the order of their first examples
    number = {g: i for i, (g, size) in enumerate(sizes.most_common()) if size >= least}
    return np.array([number.get(g, -1) for g in cuts[best]])


def silhouette(distance: np.ndarray, groups: np.ndarray) -> float:
    """Mean over examples of (distance to the nearest other group - own) / the larger of them; 0 for groups of one.

    Source: Rousseeuw 1987.
    """
    known, codes = np.unique(groups, return_inverse=True)
    if len(known) < 2:
        return 0.0
    onehot = np.eye(len(known))[codes]
    sums, sizes = distance @ onehot, onehot.sum(axis=0)
    own_size = sizes[codes]
    rows = np.arange(len(codes))
    own = sums[rows, codes] / np.maximum(own_size - 1, 1)
    means = sums / sizes
    means[rows, codes] = np.inf
    other = means.min(axis=1)
    larger = np.maximum(own, other)
    value = np.where((own_size > 1) & (larger > 0), (other - own) / np.where(larger > 0, larger, 1), 0.0)
    return float(value.mean())
