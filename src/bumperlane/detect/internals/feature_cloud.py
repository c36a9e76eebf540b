"""Distance from a trusted cloud of features, for detectors that watch no residual stream."""

import numpy as np

from ...errors import EvidenceError
from ...types import Activations
from .whitening import FEWEST, Cloud, Shrinkage


def trusted_cloud(rows: np.ndarray, ids: tuple[str, ...], shrinkage: Shrinkage, what: str) -> Cloud:
    """The cloud around features (n, k), in float64.

    Raises EvidenceError below 8 items, or when the features (`what`, in the plural) are equal for all of them.
    """
    if len(ids) >= FEWEST and not np.ptp(rows, axis=0).any():
        raise EvidenceError(
            f"the {what} are equal for all {len(ids)} trusted items. Pass trusted items that differ from each other."
        )
    return Cloud.around(Activations(rows.astype(np.float64), ids), shrinkage)


def log_distance(mean: np.ndarray, whitening: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Log of the mean squared whitened feature (n,); about 0 on trusted items."""
    distance = Cloud(mean, whitening).mean_square(rows.astype(np.float64))
    return np.log(np.maximum(distance, 1e-12))
