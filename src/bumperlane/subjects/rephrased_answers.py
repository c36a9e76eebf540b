"""How likely one answer stays under rephrasings of its prompt. The head runs on answer positions only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError
from .chat import Encoded
from .forward import answer_logits, length_batches

Prompts = Sequence[Sequence[Sequence[int]]]


def rephrased_answers(
    model: Any, prompts: Prompts, tails: Sequence[Sequence[int]], pad_id: int, token_budget: int = 4096
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of each answer after its prompt and after k rephrasings of it, and how far these are apart.

    A prompt and its rephrasings go through the model in one batch, so that the prompt itself is run once.

    Args:
        prompts: n groups of k + 1 prompts: as it was put, and k rephrasings.
        tails: the n answers.

    Returns:
        (n, 1 + k) mean log-probabilities, nats per token, and (n, k) mean KL(as it was put || rephrased) of the
        next-token distributions at the answer's tokens, nats per token. Both float64.

    Raises EvidenceError when groups differ in size, a tail is empty or a value is not finite.
    """
    sizes = {len(group) for group in prompts}
    if len(sizes) > 1 or min(sizes, default=2) < 2:
        raise EvidenceError(f"every prompt needs the same number of rephrasings, got {[s - 1 for s in sorted(sizes)]}.")
    if empty := [i for i, tail in enumerate(tails) if not len(tail)]:
        raise EvidenceError(f"{len(empty)} of {len(tails)} answers have no tokens, first at {empty[0]}.")
    versions = max(sizes, default=1)
    likely, apart = np.zeros((len(prompts), versions)), np.zeros((len(prompts), versions))
    longest = [max(map(len, group)) + len(tail) for group, tail in zip(prompts, tails, strict=True)]
    with torch.no_grad():
        for batch in length_batches([n * versions for n in longest], token_budget):
            rows = [Encoded(str(i), (*p, *tails[i]), len(p)) for i in batch for p in prompts[i]]
            logits, targets, owner = answer_logits(model, rows, pad_id)
            log_p = logits.log_softmax(dim=1)
            first = log_p[_as_put([r.answer_length for r in rows], versions).to(owner.device)]
            picked = log_p.gather(1, targets[:, None])[:, 0]
            divergence = (first.exp() * (first - log_p)).sum(dim=1)
            sums = torch.zeros(len(rows), 2, device=owner.device)
            sums.index_add_(0, owner, torch.stack([picked, divergence], dim=1))
            means = sums.double().cpu().numpy() / [[r.answer_length] for r in rows]
            likely[batch], apart[batch] = np.moveaxis(means.reshape(len(batch), versions, 2), 2, 0)
    bad = np.flatnonzero(~np.isfinite(likely + apart).all(axis=1))
    if len(bad):
        raise EvidenceError(
            f"log-probabilities under rephrasing are not finite for {len(bad)} of {len(prompts)} prompts, first at "
            f"{bad[0]}. Check the checkpoint for overflow."
        )
    return likely, np.maximum(apart[:, 1:], 0.0)  # rounding alone makes a divergence negative


def _as_put(lengths: Sequence[int], versions: int) -> torch.Tensor:
    """For each answer position of a batch, the index of that position after the group's first prompt."""
    starts = np.cumsum([0, *lengths[:-1]])
    return torch.cat([starts[i - i % versions] + torch.arange(n) for i, n in enumerate(lengths)])
