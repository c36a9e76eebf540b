"""Log-probabilities of given continuations. The head runs on their positions only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError
from .chat import Encoded
from .forward import answer_logits, length_batches, pad
from .head import head_of, trunk_of

HEAD_ROWS = 1024  # positions that the head sees at once: more would hold their logits in memory together


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

    What is the beginning of another pair is not computed again: two answers of one token cost one pass.

    Raises EvidenceError when a continuation is empty or a value is not finite.
    """
    empty = [i for i, tail in enumerate(tails) if not tail]
    if empty:
        raise EvidenceError(f"{len(empty)} of {len(tails)} continuations have no tokens, first at {empty[0]}.")
    read = [tuple(p) + tuple(t[:-1]) for p, t in zip(prompts, tails, strict=True)]  # the last token is only predicted
    hosts, host_of = without_prefixes(read)
    riders: list[list[int]] = [[] for _ in hosts]
    for i, host in enumerate(host_of):
        riders[host].append(i)
    totals = [0.0] * len(read)
    with torch.no_grad():
        for batch in length_batches([len(h) for h in hosts], token_budget):
            ridden = [(row, i) for row, h in enumerate(batch) for i in riders[h]]
            places = [(row, len(prompts[i]) - 1 + t, token) for row, i in ridden for t, token in enumerate(tails[i])]
            values = iter(_picked(model, [hosts[h] for h in batch], places, pad_id))
            for _, i in ridden:
                totals[i] = sum(next(values) for _ in tails[i])
    _refuse_non_finite(totals, "log-probability")
    return [Continuation(total, len(tail)) for total, tail in zip(totals, tails, strict=True)]


def without_prefixes(rows: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """Rows of tokens without those that another begins with, and which of them holds each row.

    What a causal model makes of a row, it makes of it as the beginning of a longer one, too.
    """
    order = sorted(range(len(rows)), key=lambda i: rows[i], reverse=True)  # a row stands right after what it begins
    hosts: list[tuple[int, ...]] = []
    host_of = [0] * len(rows)
    for i in order:
        if not hosts or hosts[-1][: len(rows[i])] != rows[i]:
            hosts.append(rows[i])
        host_of[i] = len(hosts) - 1
    return hosts, host_of


def _picked(
    model: Any, rows: Sequence[Sequence[int]], places: Sequence[tuple[int, int, int]], pad_id: int
) -> list[float]:
    """log p of the token that follows, at each (row, position, token)."""
    ids, mask = pad(rows, pad_id, "right", next(model.parameters()).device)
    hidden = trunk_of(model)(input_ids=ids, attention_mask=mask, use_cache=False)[0]
    at = torch.tensor(places, device=hidden.device)
    found: list[float] = []
    for some in at.split(HEAD_ROWS):
        logits = head_of(model)(hidden[some[:, 0], some[:, 1]]).float()
        found += (logits.gather(1, some[:, 2:])[:, 0] - logits.logsumexp(dim=1)).tolist()
    return found


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
