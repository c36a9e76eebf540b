"""Activations at each generated token, read while the subject generates with a key-value cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import ModelError
from .chat import Encoded
from .chunk import Chunk, Site
from .forward import pad
from .generate import Decoding
from .head import trunk_of
from .sites import read_sites, tensor_in, watching


@dataclass(frozen=True)
class Decoded:
    """What a batch of prompts was continued with, and the rows read at each generated token.

    Attributes:
        sequences: prompt and continuation, its end-of-sequence token included if one came; the answer starts where the
            prompt ends.
        chunk: one row a generated token, sequence by sequence; `tokens` are indices into the whole sequence.
    """

    sequences: tuple[Encoded, ...]
    chunk: Chunk


@torch.no_grad()
def decode_batch(
    model: Any, tokenizer: Any, prompts: Sequence[Encoded], sites: Sequence[Site], decoding: Decoding, step: int = 0
) -> Decoded:
    """Continue a batch of prompts and read float32 rows at each generated token, at no extra forward pass but one.

    The rows equal those of one full forward over the finished sequence, up to rounding: a token's row is there when the
    token is fed to choose the next one. The last token is fed once more at the end, and only as deep as the last site.

    Raises:
        ModelError: the model decodes without a key-value cache, or a site runs more or less than once a token.
        EvidenceError: a row that is not finite, with the ids.
    """
    device = next(model.parameters()).device
    ids, mask = pad([p.tokens for p in prompts], tokenizer.pad_token_id, "left", device)
    calls: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}

    def see(site: Site, value: Any) -> None:
        width = ids.shape[1] if not calls[site] else 1  # the first pass reads the prompt
        calls[site].append(_newest(tensor_in(site, value, (len(prompts), width))))

    with watching(model, sites, see), torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(decoding.seed)
        out = model.generate(input_ids=ids, attention_mask=mask, **_options(decoding, tokenizer))
    new = out.sequences[:, ids.shape[1] :]
    for site, values in calls.items():
        if len(values) != new.shape[1]:
            raise ModelError(
                f"site {site} ran {len(values)} times while {new.shape[1]} tokens were generated, so its rows cannot "
                "be told apart. Generate first, then read the finished texts with Subject.stream_activations."
            )
    last = _last_token(model, out, mask, sites)
    ends = _end_tokens(model, tokenizer)
    sequences = tuple(_finished(p, row, ends) for p, row in zip(prompts, new.tolist(), strict=True))
    lengths = [s.answer_length for s in sequences]
    kept = np.concatenate([np.arange(n) + i * new.shape[1] for i, n in enumerate(lengths)])
    rows = {
        site: torch.stack([*calls[site][1:], last[site]], dim=1).flatten(0, 1).numpy()[kept] for site in sites
    }  # the prompt's own row is left out
    owners = [s.id for s in sequences for _ in range(s.answer_length)]
    tokens = np.concatenate([np.arange(s.answer_start, len(s.tokens)) for s in sequences])
    return Decoded(sequences, Chunk.of(rows, owners, tokens, "decoded", step))


def _options(decoding: Decoding, tokenizer: Any) -> dict[str, Any]:
    options = {"max_new_tokens": decoding.max_new_tokens, "pad_token_id": tokenizer.pad_token_id}
    options |= {"return_dict_in_generate": True, "use_cache": True, "do_sample": bool(decoding.temperature)}
    if decoding.temperature:
        options |= {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    return options


def _last_token(model: Any, out: Any, mask: torch.Tensor, sites: Sequence[Site]) -> dict[Any, torch.Tensor]:
    """Rows (n, d) at the last column, which generation has chosen and not yet fed."""
    cache = getattr(out, "past_key_values", None)
    if cache is None:
        raise ModelError(
            f"{type(model).__name__} generates without a key-value cache. Generate first, then read the finished texts "
            "with Subject.stream_activations."
        )
    full = torch.cat([mask, mask.new_ones(len(mask), out.sequences.shape[1] - mask.shape[1])], dim=1)
    inputs = {"input_ids": out.sequences[:, -1:], "attention_mask": full, "past_key_values": cache, "use_cache": True}
    inputs["position_ids"] = (full.cumsum(1) - 1)[:, -1:]

    def pick(site: Site, value: Any) -> torch.Tensor:
        return _newest(tensor_in(site, value, (len(mask), 1)))

    return read_sites(model, sites, lambda: trunk_of(model)(**inputs), pick)


def _newest(hidden: torch.Tensor) -> torch.Tensor:
    """(n, T, d) to (n, d), copied: a view would keep all T alive, and later modules may write into it."""
    return hidden[:, -1].to("cpu", torch.float32, copy=True)


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every token after which the model or the tokenizer calls an answer finished."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}


def _finished(prompt: Encoded, new: Sequence[int], ends: set[int]) -> Encoded:
    stop = next((i + 1 for i, token in enumerate(new) if token in ends), len(new))
    return Encoded(prompt.id, (*prompt.tokens, *new[:stop]), len(prompt.tokens))
