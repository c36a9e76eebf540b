"""Sampled responses, each with a random stream of its own: which others are sampled beside it makes no difference."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import TrainingError
from ..subjects.forward import length_batches, pad
from ..subjects.head import head_of, trunk_of

ROWS_TOKENS = {"cpu": 16_384, "cuda": 262_144}  # rows x longest sequence, sampled at once


def rollout_noise(seed: int, step: int, prompt: str, number: int, tokens: int) -> np.ndarray:
    """Uniform numbers in [0, 1), one a token: those of one rollout, whatever else is sampled."""
    text = f"{seed}\nrollout\n{step}\n{prompt}\n{number}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big"))).random(tokens)


@torch.no_grad()
def sample_responses(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], noise: Sequence[np.ndarray], temperature: float
) -> list[list[int]]:
    """For each prompt one response per row of its noise, prompt by prompt: token ids, with the end token if one came.

    A prompt is read once for all its responses, and a response that has ended is computed no further. Equal calls on
    one machine give equal tokens.

    Args:
        noise: for each prompt (responses, max_new_tokens) uniform numbers; a token is drawn by inverting the
            cumulative distribution at its number.

    Raises TrainingError when the model's logits are not finite, or it decodes without a key-value cache.
    """
    device = next(model.parameters()).device
    budget = ROWS_TOKENS.get(device.type, ROWS_TOKENS["cuda"])
    done: list[list[list[int]]] = [[] for _ in prompts]
    sizes = [rows.size + len(rows) * len(p) for p, rows in zip(prompts, noise, strict=True)]
    for batch in length_batches(sizes, budget):
        rows = _sample(model, tokenizer, [prompts[i] for i in batch], [noise[i] for i in batch], temperature)
        for i in batch:
            done[i] = [rows.pop(0) for _ in noise[i]]
    return [response for of_prompt in done for response in of_prompt]


def _sample(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], noise: Sequence[np.ndarray], temperature: float
) -> list[list[int]]:
    device = next(model.parameters()).device
    ids, mask = pad(prompts, tokenizer.pad_token_id, "left", device)
    out = trunk_of(model)(
        input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), use_cache=True
    )
    cache = getattr(out, "past_key_values", None)
    if cache is None or not hasattr(cache, "batch_select_indices"):
        raise TrainingError(f"{type(model).__name__} decodes without a key-value cache. Use a command stage for it.")
    owner = torch.repeat_interleave(torch.arange(len(prompts)), torch.tensor([len(n) for n in noise])).to(device)
    draws = torch.from_numpy(np.concatenate(noise)).to(device)
    responses: list[list[int]] = [[] for _ in draws]
    cache.batch_select_indices(owner)
    mask, hidden, ends = mask[owner], out[0][:, -1][owner], end_tokens(model, tokenizer)
    active = torch.arange(len(responses), device=device)
    for column in range(draws.shape[1]):
        chosen = _draw(head_of(model)(hidden).float() / temperature, draws[active, column])
        tokens = chosen.tolist()
        for row, token in zip(active.tolist(), tokens, strict=True):
            responses[row].append(token)
        going = [i for i, token in enumerate(tokens) if token not in ends]
        if not going or column + 1 == draws.shape[1]:
            break
        if len(going) < len(tokens):
            left = torch.tensor(going, device=device)
            cache.batch_select_indices(left)
            active, mask, chosen = active[left], mask[left], chosen[left]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        step = {"input_ids": chosen[:, None], "attention_mask": mask, "position_ids": mask.sum(1, keepdim=True) - 1}
        hidden = trunk_of(model)(**step, past_key_values=cache, use_cache=True)[0][:, -1]
    return responses


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every token after which the model or the tokenizer calls an answer finished."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}


def _draw(logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The token (n,) at which the cumulative distribution of float32 logits (n, vocabulary) passes `uniform` (n,)."""
    cumulative = logits.double().softmax(dim=1).cumsum(dim=1)
    total = cumulative[:, -1:]
    if not torch.isfinite(total).all():
        raise TrainingError("the policy's logits are not finite while sampling. Lower lr, or set dtype: float32.")
    found = torch.searchsorted(cumulative, uniform[:, None] * total, right=True)[:, 0]
    return found.clamp(max=logits.shape[1] - 1)
