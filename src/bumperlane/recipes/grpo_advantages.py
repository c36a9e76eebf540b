"""What each rollout is worth against the others of its prompt."""

from collections.abc import Mapping, Sequence

import numpy as np

EPS = 1e-6  # keeps rewards that differ by rounding only from becoming advantages of 1


def total_rewards(values: Mapping[str, Sequence[float]], weights: Mapping[str, float]) -> np.ndarray:
    """Sum over terms of weight x value, float64 of shape (n,)."""
    return np.sum([weights[term] * np.asarray(of, np.float64) for term, of in values.items()], axis=0)


def group_advantages(rewards: np.ndarray, groups: Sequence[str], divide_by_std: bool = True) -> np.ndarray:
    """Advantages (n,) of n rollouts: reward minus the mean of its group, over the group's standard deviation.

    The deviation is the population's (over n, not n - 1), plus 1e-6. A group whose rewards are all equal gets exact
    zeros: it teaches nothing.

    Source: Shao et al. 2024, arXiv:2402.03300; without the division: Liu et al. 2025, arXiv:2503.20783, who show that
    it weighs prompts that are nearly always or nearly never solved more.
    """
    rewards = np.asarray(rewards, np.float64)
    advantages = np.zeros_like(rewards)
    of = np.asarray(groups)
    for group in dict.fromkeys(groups):
        rows = of == group
        inside = rewards[rows]
        if inside.max() > inside.min():
            centred = inside - inside.mean()
            advantages[rows] = centred / (inside.std() + EPS) if divide_by_std else centred
    return advantages
