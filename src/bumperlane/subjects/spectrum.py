"""What the singular values of a weight difference say, as five numbers. No torch: a spectrum is small."""

from functools import lru_cache

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from ..errors import EvidenceError

FEATURES = (
    "log relative norm",
    "log relative spectral norm",
    "log stable rank",
    "log effective rank",
    "log spike",
)


def spectrum_features(values: np.ndarray, longest: int, norm: float, spectral: float) -> np.ndarray:
    """Five numbers (FEATURES) of a difference with these singular values, all in natural logarithms.

    - Frobenius norm over that of the base weight, and largest singular value over that of the base weight.
    - Stable rank: squared Frobenius norm over squared largest singular value; 1 to the rank.
    - Effective rank: exponential of the entropy of the singular values as shares (Roy and Vetterli 2007).
    - Spike: largest singular value over the edge that noise of the same median singular value would have
      (Marchenko and Pastur 1967); about 0 for noise, above it where a direction stands out. Values that are nought
      (a low-rank difference) are left out, and the noise is taken to be of that rank.

    Args:
        values: singular values, any order; those below 1e-6 of the largest count as nought.
        longest: the longer side of the matrix.
        norm, spectral: Frobenius norm and largest singular value of the base weight.

    Raises EvidenceError when all values, or the base weight, are nought, or one is not finite.
    """
    values = np.sort(np.asarray(values, np.float64))[::-1]
    if not (len(values) and np.isfinite([*values, norm, spectral]).all() and values[0] > 0 and norm > 0 < spectral):
        raise EvidenceError(
            f"a spectrum needs finite singular values, some above 0, of a base weight that is not 0; got {len(values)} "
            f"values, the largest {values[0] if len(values) else 0:g}, and base norms {norm:g} and {spectral:g}. "
            "Leave unchanged matrices out, and check the checkpoint for overflow."
        )
    kept = values[values > 1e-6 * values[0]]
    share = kept / kept.sum()
    stable = (kept**2).sum() / kept[0] ** 2
    edge = np.median(kept) * edge_over_median(len(kept) / longest)
    return np.array(
        [
            np.log(np.sqrt((kept**2).sum()) / norm),
            np.log(kept[0] / spectral),
            np.log(stable),
            -(share * np.log(share)).sum(),
            np.log(kept[0] / edge),
        ]
    )


@lru_cache(maxsize=4096)
def edge_over_median(beta: float) -> float:
    """Upper edge over median of the singular values of a white-noise matrix whose sides have the ratio beta, <= 1."""
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2

    def below(x: float) -> float:
        """Share of squared singular values below x. The substitution takes the square roots out of the integrand."""
        middle, half = (high + low) / 2, (high - low) / 2
        angle = np.arccos(np.clip((middle - x) / half, -1, 1))

        def density(t: float) -> float:
            return half**2 * np.sin(t) ** 2 / (2 * np.pi * beta * (middle - half * np.cos(t)))

        return quad(density, 0, angle)[0]

    median = brentq(lambda x: below(x) - 0.5, low, high)
    return float(np.sqrt(high / median))
