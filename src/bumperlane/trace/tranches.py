"""Which tranche? Permutation tests on attribution scores, one number an example."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..errors import EvidenceError, SettingError


@dataclass(frozen=True)
class TrancheScore:
    """How far a tranche's examples stand above what chance would give.

    Attributes:
        z: mean rank, in units of its permutation spread.
        p_value: one-sided, corrected for the number of tranches.
        n: examples.
        enrichment: share of the tranche among the top n examples, over its share among all.
        p_enrichment: hypergeometric, one-sided, not corrected; knows nothing of strata.
    """

    name: str
    z: float
    p_value: float
    n: int
    enrichment: float
    p_enrichment: float


def rank_tranches(
    scores: np.ndarray,
    tranches: Sequence[str],
    strata: Sequence[int] | None = None,
    permutations: int = 2000,
    seed: int = 0,
    by_rank: bool = True,
) -> tuple[TrancheScore, ...]:
    """Rank tranches by their examples' scores, best first.

    Scores become ranks (ties share the mean), unless `by_rank` is false: then few examples that stand far out weigh
    more than many that stand out a little. Each tranche's mean rank is standardised with the exact mean and
    variance of its permutation distribution, labels being exchanged within strata only. The p-value compares it with
    the largest standardised value over all tranches in each permutation (Westfall & Young 1993), counting the
    observed labels as one permutation. A tranche that fills its strata alone cannot be told apart: z 0, p 1.
    Tests exchangeability: many examples with a little extra score count as much as few with a lot; `enrichment`
    looks at the top only.

    Args:
        scores: shape (n,), finite; higher means more suspect.
        tranches: name of each example's tranche.
        strata: label of each example's stratum, such as `length_bins`; None is one stratum.

    Raises EvidenceError for fewer than 2 tranches or unequal lengths. Time grows as n x permutations, memory as n.
    """
    values = _checked(scores, "scores")
    ranks = stats.rankdata(values) if by_rank else values
    labels, names = _labels(tranches, len(ranks))
    layers = np.zeros(len(ranks), int) if strata is None else _labels(strata, len(ranks), "strata")[0]
    if permutations < 1:
        raise SettingError(f"permutations must be 1 or more, got {permutations}. Try 2000.")
    mean, spread = _moments(ranks, labels, layers)
    usable = spread > 1e-9 * len(ranks)
    scale = np.where(usable, spread, 1.0)
    z = np.where(usable, (np.bincount(labels, ranks) - mean) / scale, 0.0)
    largest = _largest(ranks, labels, layers, (mean, scale, usable), (permutations, seed))
    above = (largest[:, None] >= z - 1e-9).sum(axis=0)
    p = np.where(usable, (1 + above) / (permutations + 1), 1.0)
    found = []
    for t, name in enumerate(names):
        share, chance = _enrichment(ranks, labels == t)
        found.append(TrancheScore(name, float(z[t]), float(p[t]), int((labels == t).sum()), share, chance))
    return tuple(sorted(found, key=lambda t: (t.p_value, -t.z, t.name)))


def length_bins(lengths: Sequence[int], bins: int = 5) -> np.ndarray:
    """Stratum of each example by length: quantile bins of nearly equal size, equal lengths together. Shape (n,)."""
    values = _checked(lengths, "lengths")
    if bins < 1:
        raise SettingError(f"bins must be 1 or more, got {bins}. Try 5.")
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return np.searchsorted(edges, values, side="left")


def fuse_robust(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over methods of robust z-scores, (value - median) / (1.4826 MAD), of the same examples. Shape (n,).

    NaN means that a method did not look at an example; every example needs one method. A method that sees a few
    examples far out thereby outweighs one that sees nothing, which mean ranks would not let it.
    """
    rows = []
    for values in scores:
        middle = np.nanmedian(values)
        mad = 1.4826 * np.nanmedian(np.abs(values - middle))
        rows.append((values - middle) / (mad if mad > 0 else max(np.nanstd(values), 1e-12)))
    return _checked(np.nanmean(np.stack(rows), axis=0), "fused scores")


def fuse_ranks(scores: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Mean of the normalised ranks, (rank - 1/2) / n, of several scores of the same examples. Shape (n,), in (0, 1)."""
    if not len(scores) or len({len(s) for s in scores}) != 1:
        raise EvidenceError(f"fusing takes scores of the same examples, got lengths {[len(s) for s in scores]}.")
    weight = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    if weight.shape != (len(scores),) or not np.isfinite(weight).all() or (weight < 0).any() or not weight.sum():
        raise SettingError(f"weights must be {len(scores)} numbers >= 0 with a positive sum, got {weights}.")
    ranks = np.stack([(stats.rankdata(_checked(s, "scores")) - 0.5) / len(s) for s in scores])
    return weight @ ranks / weight.sum()


def _checked(values: Sequence[float] | np.ndarray, which: str) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise EvidenceError(
            f"{which} must be one finite number an example, got shape {array.shape} with "
            f"{int((~np.isfinite(array)).sum())} not finite."
        )
    return array


def _labels(values: Sequence, n: int, which: str = "tranches") -> tuple[np.ndarray, list[str]]:
    if len(values) != n:
        raise EvidenceError(f"{n} scores and {len(values)} {which} do not match. Give every example one of each.")
    names, labels = np.unique(np.asarray(values), return_inverse=True)
    if which == "tranches" and len(names) < 2:
        raise EvidenceError(
            f"all {n} examples are in one tranche, {names[0]}: nothing to compare it with. Split the data by source."
        )
    return labels, [str(name) for name in names]


def _moments(ranks: np.ndarray, labels: np.ndarray, layers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and SD of each tranche's rank sum under permutation within strata."""
    counts = np.zeros((layers.max() + 1, labels.max() + 1))
    np.add.at(counts, (layers, labels), 1)
    size = counts.sum(axis=1)
    centre = np.bincount(layers, ranks) / size
    scatter = np.bincount(layers, (ranks - centre[layers]) ** 2) / size
    share = counts * (size[:, None] - counts) / np.maximum(size - 1, 1)[:, None]
    return counts.T @ centre, np.sqrt(share.T @ scatter)


def _largest(ranks: np.ndarray, labels: np.ndarray, layers: np.ndarray, moments: tuple, draw: tuple) -> np.ndarray:
    """Largest standardised rank sum over tranches in each permutation, shape (permutations,)."""
    (mean, scale, usable), (permutations, seed) = moments, draw
    rng = np.random.default_rng(seed)
    order = np.lexsort((ranks, labels, layers))  # the result does not depend on the order of the examples
    labels, shuffled = labels[order], ranks[order]
    ends = np.flatnonzero(np.diff(layers[order])) + 1
    parts = np.split(shuffled, ends)  # views: shuffling a part shuffles within its stratum
    largest = np.full(permutations, -np.inf)
    if not usable.any():
        return largest
    for i in range(permutations):
        for part in parts:
            rng.shuffle(part)
        largest[i] = ((np.bincount(labels, shuffled) - mean) / scale)[usable].max()
    return largest


def _enrichment(ranks: np.ndarray, member: np.ndarray) -> tuple[float, float]:
    """(enrichment, hypergeometric p) among the top k, k the tranche's size; others go first in a tie at the edge."""
    n, k = len(ranks), int(member.sum())
    edge = np.partition(ranks, n - k)[n - k]
    strictly = ranks > edge
    places = k - int(strictly.sum())
    others_tied = int(((ranks == edge) & ~member).sum())
    overlap = int((strictly & member).sum()) + max(0, places - others_tied)
    return overlap / k / (k / n), float(stats.hypergeom.sf(overlap - 1, n, k, k))
