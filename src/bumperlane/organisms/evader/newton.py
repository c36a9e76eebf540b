"""A linear probe in a few Newton steps: cheap enough to be learnt anew on every layer while a subject is trained."""

import numpy as np
from scipy.linalg import qr, solve
from scipy.special import expit

from ...errors import EvidenceError


def newton_logistic(trusted: np.ndarray, bait: np.ndarray, strength: float, steps: int) -> tuple[np.ndarray, float]:
    """Weights (d,) and bias, in raw rows, of a logistic regression of bait against trusted at even odds.

    Minimises sum_i c_i log-loss_i + strength / 2 |weights|^2 on rows in units of their spread; c_i gives both kinds
    the same total weight, so that a logit of 0 is even odds. Newton steps are halved until the loss does not rise.
    With more dimensions than rows the best weights are a combination of rows, so steps are taken in their span.

    Args:
        trusted, bait: float64 (n, d) and (m, d).

    Raises EvidenceError below 2 rows of either kind.
    """
    if min(len(trusted), len(bait)) < 2:
        raise EvidenceError(f"a probe needs 2 or more rows of each kind, got {len(trusted)} and {len(bait)}.")
    rows, label = np.concatenate([trusted, bait]), np.r_[np.zeros(len(trusted)), np.ones(len(bait))]
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.where(spread > 1e-9 * np.abs(mean), spread, 1.0)  # rounding of the mean is no spread
    spread = np.where(spread > 0, spread, 1.0)
    x = (rows - mean) / spread
    basis = qr(x.T, mode="economic", check_finite=False)[0] if x.shape[1] > len(x) else None
    x = np.c_[x if basis is None else x @ basis, np.ones(len(x))]
    share = np.where(label == 1, len(x) / (2 * len(bait)), len(x) / (2 * len(trusted)))
    ridge = np.r_[np.full(x.shape[1] - 1, strength), 1e-9]  # the bias is free, but for what keeps a step defined

    def loss(at: np.ndarray) -> float:
        odds = x @ at
        return float(share @ np.logaddexp(0, np.where(label == 1, -odds, odds)) + (ridge * at**2).sum() / 2)

    at = np.zeros(x.shape[1])
    for _ in range(steps):
        p = expit(x @ at)
        slope = x.T @ (share * (p - label)) + ridge * at
        curve = (x * (share * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step, before = solve(curve, slope, assume_a="pos"), loss(at)
        while loss(at - step) > before and np.abs(step).max() > 1e-12:
            step = step / 2
        at = at - step
    weights = (at[:-1] if basis is None else basis @ at[:-1]) / spread
    return weights, float(at[-1] - mean @ weights)
