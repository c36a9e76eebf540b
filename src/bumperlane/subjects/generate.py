"""Batched generation, greedy or sampled, with the prompts sorted by length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import SettingError
from .forward import length_batches, pad


@dataclass(frozen=True)
class Decoding:
    """How to decode.

    Args:
        max_new_tokens: stop after so many tokens, if no end-of-sequence came before.
        temperature: 0 is greedy.
        top_p: nucleus; 1 keeps every token.
        seed: of the sampler; the same seed and the same prompts give the same texts.
    """

    max_new_tokens: int = 24
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise SettingError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}.")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise SettingError(f"need temperature >= 0 and 0 < top_p <= 1, got {self.temperature} and {self.top_p}.")


def continue_prompts(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """The continuation of each prompt, as text, in the order given. Memory is bounded by a token budget a batch."""
    device = next(model.parameters()).device
    texts: list[str] = [""] * len(prompts)
    options: dict[str, Any] = {"max_new_tokens": decoding.max_new_tokens, "pad_token_id": tokenizer.pad_token_id}
    if decoding.temperature:
        options |= {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    else:
        options |= {"do_sample": False}
    done = 0
    lengths = [len(p) + decoding.max_new_tokens for p in prompts]
    with torch.no_grad(), torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(decoding.seed)
        for batch in length_batches(lengths, token_budget=8192 if device.type == "cpu" else 65536):
            ids, mask = pad([prompts[i] for i in batch], tokenizer.pad_token_id, "left", device)
            out = model.generate(input_ids=ids, attention_mask=mask, **options)
            new = out[:, ids.shape[1] :].tolist()
            for i, row in zip(batch, new, strict=True):
                texts[i] = tokenizer.decode(_until_end(row, tokenizer), skip_special_tokens=True)
            done += len(batch)
            if progress:
                progress(done, len(prompts))
    return texts


def _until_end(row: list[int], tokenizer: Any) -> list[int]:
    return row[: row.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in row else row
