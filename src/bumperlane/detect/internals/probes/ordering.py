"""How well scores order two kinds."""

import numpy as np
from scipy.stats import rankdata

from ....errors import EvidenceError


def auroc(good: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a bad item scores above a good one, ties counted half: Mann-Whitney's U over all pairs.

    Raises EvidenceError when a kind is missing.
    """
    if not len(good) or not len(bad):
        raise EvidenceError(f"an order needs both kinds, got {len(good)} good and {len(bad)} bad items.")
    ranks = rankdata(np.concatenate([good, bad]))[len(good) :]
    return float((ranks.sum() - len(bad) * (len(bad) + 1) / 2) / (len(good) * len(bad)))
