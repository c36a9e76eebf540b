"""The clipped policy loss over response tokens, and the divergence from a reference."""

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Loss(NamedTuple):
    """Sums over tokens, weighted: what is minimised, the divergence alone (in nats), and clipped tokens (a count)."""

    total: torch.Tensor
    divergence: torch.Tensor
    clipped: torch.Tensor


def token_weights(lengths: Sequence[int], average: str, max_new_tokens: int) -> list[float]:
    """What one token of each response weighs in the loss; `average` as in `GrpoStage`."""
    if average == "responses":
        return [1 / (len(lengths) * length) for length in lengths]
    every = sum(lengths) if average == "tokens" else len(lengths) * max_new_tokens
    return [1 / every] * len(lengths)


def policy_loss(
    now: torch.Tensor, before: torch.Tensor, advantages: torch.Tensor, weights: torch.Tensor, clip: float
) -> Loss:
    """Minus the clipped surrogate of PPO (Schulman et al. 2017, arXiv:1707.06347), all arguments (tokens,).

    Args:
        now, before: log-probabilities of the sampled tokens under the policy that learns and the one that sampled.
        advantages: of the rollout that each token belongs to.
        weights: of each token in the mean.
        clip: the ratio counts up to 1 + clip where the advantage is positive, down to 1 - clip where it is negative.
    """
    ratio = (now - before).exp()
    held = ratio.clamp(1 - clip, 1 + clip)
    gain = torch.minimum(ratio * advantages, held * advantages)
    cut = (held * advantages < ratio * advantages).sum()
    return Loss(-(weights * gain).sum(), now.new_zeros(()), cut)


def with_divergence(loss: Loss, now: torch.Tensor, reference: torch.Tensor, weights: torch.Tensor, kl: float) -> Loss:
    """The loss plus kl x the divergence from a reference, estimated as exp(r) - r - 1 with r = log ref - log now.

    It is never negative, and unbiased for KL(now, reference) on the policy's own samples (Schulman 2020, "k3"); used in
    arXiv:2402.03300.
    """
    r = reference - now
    divergence = (weights * (r.exp() - r - 1)).sum()
    return Loss(loss.total + kl * divergence, divergence, loss.clipped)
