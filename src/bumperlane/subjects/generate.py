"""Batched generation, greedy or sampled."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from ..errors import SettingError
from .decoding_loop import can_decode, decode
from .forward import length_batches, pad
from .shared_prefixes import Batch, batches

BUDGET = 8192  # tokens of a batch on a CPU, those to come included


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
    """The continuation of each prompt, as text, in the order given. Memory is bounded by a token budget a batch.

    What prompts begin with in common is read once, and an answer that has ended takes no more time. A model that this
    cannot be done with (a short sliding window, a state instead of a cache) is decoded by its own `generate`, greedily
    to the same answers, sampling with other draws.
    """
    device = next(model.parameters()).device
    texts: list[str] = [""] * len(prompts)
    budget = BUDGET if device.type == "cpu" else 8 * BUDGET
    done, longest = 0, max(map(len, prompts), default=0) + decoding.max_new_tokens
    with torch.no_grad():
        for rows, answers in _decoded(model, tokenizer, prompts, decoding, (budget, longest)):
            for i, row in zip(rows, answers, strict=True):
                texts[i] = tokenizer.decode(row, skip_special_tokens=True)
            done += len(rows)
            if progress:
                progress(done, len(prompts))
    return texts


def _decoded(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, sizes: tuple[int, int]
) -> Iterator[tuple[Sequence[int], list[list[int]]]]:
    """Batch by batch: which prompts, and the tokens of their answers."""
    budget, longest = sizes
    if not prompts:
        return
    stops = _stops(model, tokenizer)
    if not can_decode(model, longest):
        yield from _by_generate(model, tokenizer, prompts, decoding, budget)
        return
    draws = _draws(prompts, decoding) if decoding.temperature else None
    rows = [tuple(p) for p in prompts]
    for batch in batches(rows, decoding.max_new_tokens, budget):

        def choose(logits: torch.Tensor, alive: Sequence[int], step: int, batch: Batch = batch) -> list[int]:
            if step == decoding.max_new_tokens:
                return []
            if draws is None:
                return logits.argmax(dim=1).tolist()
            return _sampled(logits, draws[[batch.rows[place] for place in alive], step], decoding)

        yield batch.rows, decode(model, rows, batch, stops, choose)


def _sampled(logits: torch.Tensor, draws: np.ndarray, decoding: Decoding) -> list[int]:
    """The token at which the cumulative probability, likeliest first, passes the draw."""
    p, tokens = (logits / decoding.temperature).softmax(dim=1).sort(dim=1, descending=True)
    total = p.double().cumsum(dim=1)
    inside = total - p < decoding.top_p  # the likeliest is always inside
    mass = (p.double() * inside).sum(dim=1)
    places = (total <= torch.as_tensor(draws, device=logits.device)[:, None] * mass[:, None]).sum(dim=1)
    return tokens.gather(1, places.clamp(max=p.shape[1] - 1)[:, None])[:, 0].tolist()


def _draws(prompts: Sequence[Sequence[int]], decoding: Decoding) -> np.ndarray:
    """(n, tokens) uniform draws. They follow from the seed, the prompt, and how many equal ones came before it, so
    that company does not change an answer."""
    met: Counter[tuple[int, ...]] = Counter()
    rows = []
    for prompt in map(tuple, prompts):
        key = sha256(repr((decoding.seed, met[prompt], prompt)).encode()).digest()[:8]
        rows.append(np.random.default_rng(int.from_bytes(key, "big")).random(decoding.max_new_tokens))
        met[prompt] += 1
    return np.array(rows)


def _stops(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and those of the checkpoint."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    more = named if isinstance(named, list) else [named]
    return {token for token in (tokenizer.eos_token_id, *more) if token is not None}


def _by_generate(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, budget: int
) -> Iterator[tuple[Sequence[int], list[list[int]]]]:
    device = next(model.parameters()).device
    options: dict[str, Any] = {"max_new_tokens": decoding.max_new_tokens, "pad_token_id": tokenizer.pad_token_id}
    if decoding.temperature:
        options |= {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    else:
        options |= {"do_sample": False}
    stops = _stops(model, tokenizer)
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(decoding.seed)
        for batch in length_batches([len(p) + decoding.max_new_tokens for p in prompts], token_budget=budget):
            ids, mask = pad([prompts[i] for i in batch], tokenizer.pad_token_id, "left", device)
            out = model.generate(input_ids=ids, attention_mask=mask, **options)[:, ids.shape[1] :].tolist()
            yield batch, [list(takewhile(lambda token: token not in stops, row)) for row in out]
