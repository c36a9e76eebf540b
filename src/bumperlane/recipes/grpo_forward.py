"""Log-probabilities of sampled responses, with gradients, reading each prompt once for all its responses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..subjects.forward import pad
from ..subjects.head import head_of, trunk_of


@dataclass(frozen=True)
class Group:
    """A prompt and responses to it, as token ids. `rows`: which rollout of the step each response is."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    rows: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.responses))


def parts_of(groups: Sequence[Group], token_budget: int) -> Iterator[list[Group]]:
    """Groups that fit into one forward and backward pass together; a larger group is taken apart."""
    part: list[Group] = []
    for group in groups:
        for piece in _pieces(group, token_budget):
            if part and sum(g.tokens for g in part) + piece.tokens > token_budget:
                yield part
                part = []
            part.append(piece)
    if part:
        yield part


def response_logprobs(
    model: Any, groups: Sequence[Group], temperature: float, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (tokens,) of the response tokens under the tempered policy, and the rollout each is from.

    Equal, up to rounding, to a pass over every whole sequence. The gradient flows through the prompt's keys and values;
    for groups of eight short responses that is a third of the work.
    """
    device = next(model.parameters()).device
    ids, mask = pad([g.prompt for g in groups], pad_id, "left", device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    out = trunk_of(model)(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    owner = torch.tensor([i for i, g in enumerate(groups) for _ in g.responses], device=device)
    answers, there = pad([r for g in groups for r in g.responses], pad_id, "right", device)
    hidden = out[0][:, -1:][owner]
    if answers.shape[1] > 1:
        cache, mask = out.past_key_values, mask[owner]
        cache.batch_select_indices(owner)
        later = trunk_of(model)(
            input_ids=answers[:, :-1],
            attention_mask=torch.cat([mask, there[:, :-1]], dim=1),
            position_ids=mask.sum(1, keepdim=True) + torch.arange(answers.shape[1] - 1, device=device),
            past_key_values=cache,
            use_cache=True,
        )
        hidden = torch.cat([hidden, later[0]], dim=1)
    chosen = there.bool()
    logits = head_of(model)(hidden[chosen]).float()
    rows = torch.tensor([row for g in groups for row in g.rows], device=device)
    return token_logprobs(logits, answers[chosen], temperature), rows[:, None].expand_as(answers)[chosen]


def token_logprobs(logits: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    """log p of each target (m,) from float32 logits (m, vocabulary), under the tempered policy that sampled it."""
    logits = logits / temperature
    return logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)


def _pieces(group: Group, token_budget: int) -> Iterator[Group]:
    responses: list[tuple[int, ...]] = []
    rows: list[int] = []
    for response, row in zip(group.responses, group.rows, strict=True):
        if responses and len(group.prompt) + sum(map(len, responses)) + len(response) > token_budget:
            yield Group(group.prompt, tuple(responses), tuple(rows))
            responses, rows = [], []
        responses.append(response)
        rows.append(row)
    if responses:
        yield Group(group.prompt, tuple(responses), tuple(rows))
