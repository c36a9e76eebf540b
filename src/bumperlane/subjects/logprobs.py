"""Log-probabilities of given continuations. The head runs on their positions only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError
from .chat import Encoded
from .forward import answer_logits, length_batches


@dataclass(frozen=True)
class Continuation:
    """Sum of log-probabilities of a continuation, in nats, and its number of tokens."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.total / self.tokens


def continuation_logprobs(
    model: Any, prompts: Sequence[Sequence[int]], tails: Sequence[Sequence[int]], pad_id: int, token_budget: int = 4096
) -> list[Continuation]:
    """log p(tail | prompt) for each pair, in the order given.

    Raises EvidenceError when a continuation is empty or a value is not finite.
    """
    empty = [i for i, tail in enumerate(tails) if not tail]
    if empty:
        raise EvidenceError(f"{len(empty)} of {len(tails)} continuations have no tokens, first at {empty[0]}.")
    rows = [Encoded(str(i), (*p, *t), len(p)) for i, (p, t) in enumerate(zip(prompts, tails, strict=True))]
    totals = [0.0] * len(rows)
    with torch.no_grad():
        for batch in length_batches([len(r.tokens) for r in rows], token_budget):
            logits, targets, owner = answer_logits(model, [rows[i] for i in batch], pad_id)
            picked = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
            sums = torch.zeros(len(batch), device=picked.device).index_add_(0, owner, picked)
            for i, value in zip(batch, sums.tolist(), strict=True):
                totals[i] = value
    _refuse_non_finite(totals, "log-probability")
    return [Continuation(total, len(tail)) for total, tail in zip(totals, tails, strict=True)]


def first_difference_odds(
    model: Any,
    prompts: Sequence[Sequence[int]],
    tails: Sequence[tuple[Sequence[int], Sequence[int]]],
    pad_id: int,
    token_budget: int = 4096,
) -> np.ndarray:
    """log p(a) - log p(b), in nats, for the first tokens a and b in which two continuations differ. Shape (n,).

    One forward pass a pair, and the head on one position of it.

    Raises EvidenceError when two do not differ, or when a value is not finite.
    """
    rows, ends = [], []
    for i, (prompt, (one, other)) in enumerate(zip(prompts, tails, strict=True)):
        at = next((t for t, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
        if at is None:
            raise EvidenceError(f"the two continuations of prompt {i} have no first difference. Leave out equal ones.")
        rows.append(Encoded(str(i), (*prompt, *one[: at + 1]), len(prompt) + at))
        ends.append((one[at], other[at]))
    odds = np.zeros(len(rows))
    with torch.no_grad():
        for batch in length_batches([len(r.tokens) for r in rows], token_budget):
            logits, _, _ = answer_logits(model, [rows[i] for i in batch], pad_id)
            chosen = torch.tensor([ends[i] for i in batch], device=logits.device)
            pair = logits.gather(1, chosen)
            odds[batch] = (pair[:, 0] - pair[:, 1]).cpu().numpy()
    _refuse_non_finite(odds, "log-odds")
    return odds


def _refuse_non_finite(values: Sequence[float] | np.ndarray, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise EvidenceError(
            f"{what} is not finite for {len(bad)} of {len(values)} continuations, first at {bad[0]}. "
            "Check the checkpoint for overflow."
        )
