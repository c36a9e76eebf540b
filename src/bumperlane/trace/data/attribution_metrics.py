"""How good scores of training examples are: against a known plant, and against models that were trained without them.

Ties count as a random order would: no method gains by the order in which the examples stand.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from ...errors import EvidenceError


@dataclass(frozen=True)
class Correlation:
    """Mean over queries of Spearman's rank correlation, with a 95% bootstrap interval over queries and subsets."""

    mean: float
    low: float
    high: float


def average_precision(scores: np.ndarray, planted: np.ndarray) -> float:
    """Area under the precision-recall curve of scores (n,), by steps; higher scores first, ties as one step.

    `planted` (n,) bool. Raises EvidenceError when all or none are planted, or a score is not finite.
    """
    _refuse_unusable(scores, planted)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each group of ties
    hits = np.cumsum(planted[order])[last]
    return float((np.diff(hits, prepend=0) / planted.sum() * hits / (last + 1)).sum())


def recall_at(scores: np.ndarray, planted: np.ndarray, k: int) -> float:
    """Share of the planted examples among the k with the highest scores; expected over the order of ties."""
    _refuse_unusable(scores, planted)
    if not 1 <= k <= len(scores):
        raise EvidenceError(f"k must lie in 1..{len(scores)}, the number of examples, got {k}.")
    limit = np.sort(scores)[-k]
    above, tied = scores > limit, scores == limit
    part = (k - above.sum()) / tied.sum()
    return float((planted[above].sum() + part * planted[tied].sum()) / planted.sum())


def auroc(scores: np.ndarray, planted: np.ndarray) -> float:
    """Chance that a planted example outranks another one, ties half. 0.5: scores do not tell them apart."""
    _refuse_unusable(scores, planted)
    m, n = int(planted.sum()), int((~planted).sum())
    return float((rankdata(scores)[planted].sum() - m * (m + 1) / 2) / (m * n))


def linear_datamodelling_score(
    scores: np.ndarray, subsets: np.ndarray, outputs: np.ndarray, seed: int = 0, draws: int = 1000
) -> Correlation:
    """How well sums of scores foretell what models trained on subsets of the data do.

    Park et al. 2023, "TRAK: attributing model behavior at scale". For each query: Spearman's correlation, over m
    subsets, of the sum of the scores of the examples in the subset with the output of the model trained on it.

    Args:
        scores: (q, n), higher speaks for a higher output.
        subsets: (m, n) bool, which examples each model was trained on.
        outputs: (q, m), what each model gives for each query.
    """
    q, m = outputs.shape
    if scores.shape != (q, subsets.shape[1]) or subsets.shape[0] != m or m < 3:
        raise EvidenceError(
            f"scores {scores.shape}, subsets {subsets.shape} and outputs {outputs.shape} must be (q, n), (m, n) and "
            "(q, m) with at least 3 subsets."
        )
    foretold = scores.astype(np.float64) @ subsets.T.astype(np.float64)
    each = _spearman(foretold, outputs)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        rows, columns = rng.integers(0, q, q), rng.integers(0, m, m)
        means.append(_spearman(foretold[np.ix_(rows, columns)], outputs[np.ix_(rows, columns)]).mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return Correlation(float(each.mean()), float(low), float(high))


def _spearman(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Row by row; 0 where a row does not vary."""
    a, b = (rankdata(side, axis=1) for side in (left, right))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), size, out=np.zeros(len(a)), where=size > 0)


def _refuse_unusable(scores: np.ndarray, planted: np.ndarray) -> None:
    if scores.shape != planted.shape or scores.ndim != 1 or planted.dtype != bool:
        raise EvidenceError(
            f"need one score and one boolean an example, got {scores.shape} and {planted.dtype} {planted.shape}."
        )
    if not 0 < planted.sum() < len(planted):
        raise EvidenceError(
            f"{planted.sum()} of {len(planted)} examples are planted; a measure needs both planted and others."
        )
    if not np.isfinite(scores).all():
        raise EvidenceError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite.")
