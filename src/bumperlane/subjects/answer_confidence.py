"""How sure a model is of the first tokens of its answer. The head runs on these positions only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError
from .chat import Encoded
from .forward import answer_logits, length_batches


def answer_confidence(
    model: Any, prompts: Sequence[Sequence[int]], tails: Sequence[Sequence[int]], pad_id: int, token_budget: int = 4096
) -> np.ndarray:
    """Log-odds of the likeliest token, entropy, and margin over the second token, in nats: float64 (n, 3).

    Each is a mean over the positions that predict the tail's tokens; what stands in the tail's last place does not
    matter. Log-odds are the likeliest logit less the log-sum-exp of all others, so that they stay exact near
    probability one.

    Raises EvidenceError when a tail is empty or a value is not finite.
    """
    empty = [i for i, tail in enumerate(tails) if not len(tail)]
    if empty:
        raise EvidenceError(f"{len(empty)} of {len(tails)} answers have no tokens, first at {empty[0]}.")
    rows = [Encoded(str(i), (*p, *t), len(p)) for i, (p, t) in enumerate(zip(prompts, tails, strict=True))]
    found = np.zeros((len(rows), 3))
    with torch.no_grad():
        for batch in length_batches([len(r.tokens) for r in rows], token_budget):
            logits, _, owner = answer_logits(model, [rows[i] for i in batch], pad_id)
            sums = torch.zeros(len(batch), 3, device=logits.device).index_add_(0, owner, _confidence(logits))
            found[batch] = sums.double().cpu().numpy() / [[rows[i].answer_length] for i in batch]
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(bad):
        raise EvidenceError(
            f"confidence is not finite for {len(bad)} of {len(rows)} answers, first at {bad[0]}. "
            "Check the checkpoint for overflow."
        )
    return found


def _confidence(logits: torch.Tensor) -> torch.Tensor:
    """(m, vocabulary) to (m, 3)."""
    top, where = logits.topk(2, dim=1)
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    others = logits.scatter(1, where[:, :1], -torch.inf).logsumexp(dim=1)
    return torch.stack([top[:, 0] - others, entropy, top[:, 0] - top[:, 1]], dim=1)
