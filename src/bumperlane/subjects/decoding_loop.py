"""Decoding with a key-value cache: a common beginning is read once, and an answer that has ended takes no more time."""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from .forward import pad
from .head import head_of, trunk_of
from .shared_prefixes import Batch

RETIRE = 0.75  # the cache is cut when no more than this share of its rows goes on
CLOSE = 0.05  # of the spread of the logits: what rounding may change when a prompt is read in two parts
_able: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

Choose = Callable[[torch.Tensor, Sequence[int], int], list[int]]


def can_decode(model: Any, longest: int) -> bool:
    """Whether this loop gives what the model's own forward pass gives. Tried out once a model, on a few tokens.

    Not where a layer sees a window shorter than `longest`, or keeps a state instead of keys and values.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    window = _window(getattr(inner, "config", None))
    if window is not None and longest > window:
        return False
    if inner not in _able:
        _able[inner] = _agrees(model)
    return _able[inner]


def decode(model: Any, prompts: Sequence[Sequence[int]], batch: Batch, stops: set[int], choose: Choose) -> list[list]:
    """Tokens that follow each prompt of a batch, without the one that ended it.

    Args:
        stops: tokens that end an answer.
        choose: (logits (n, vocabulary), places in the batch (n,), tokens so far) -> the next token of each; an empty
            list ends all.
    """
    logits, cache, mask = _read(model, prompts, batch)
    device = mask.device
    said: list[list[int]] = [[] for _ in batch.rows]
    alive, open_ = list(range(len(batch.rows))), np.ones(len(batch.rows), bool)
    at = mask.sum(dim=1)
    for step in range(2**31):
        chosen = choose(logits, alive, step)
        if not chosen:
            break
        for place, token in zip(alive, chosen, strict=True):
            if open_[place]:
                open_[place] = token not in stops
                if open_[place]:
                    said[place].append(token)
        kept = [n for n, place in enumerate(alive) if open_[place]]
        if not kept:
            break
        if len(kept) <= RETIRE * len(alive):
            some = torch.tensor(kept, device=device)
            cache.batch_select_indices(some)
            mask, at = mask[some], at[some]
            alive, chosen = [alive[n] for n in kept], [chosen[n] for n in kept]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        logits = _forward(model, torch.tensor(chosen, device=device)[:, None], mask, at[:, None], cache)
        at = at + 1
    return said


def _read(model: Any, prompts: Sequence[Sequence[int]], batch: Batch) -> tuple[torch.Tensor, Any, torch.Tensor]:
    """Logits after each prompt, the cache, and which of its slots each row may look at (n, slots)."""
    from transformers import DynamicCache

    device, cache = next(model.parameters()).device, DynamicCache()
    rows = [prompts[i] for i in batch.rows]
    if not batch.prefixes:
        ids, mask = pad(rows, 0, "left", device)
        return _forward(model, ids, mask, _places(mask), cache), cache, mask
    ids, before = pad(batch.prefixes, 0, "left", device)
    trunk_of(model)(
        input_ids=ids, attention_mask=before, position_ids=_places(before), past_key_values=cache, use_cache=True
    )
    of = torch.tensor(batch.of, device=device)
    cache.batch_select_indices(of)
    before = before[of]
    rest, mask = pad([row[len(batch.prefixes[n]) :] for row, n in zip(rows, batch.of, strict=True)], 0, "left", device)
    places = before.sum(dim=1, keepdim=True) + _places(mask)
    mask = torch.cat([before, mask], dim=1)
    return _forward(model, rest, mask, places, cache), cache, mask


def _forward(model: Any, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, cache: Any) -> torch.Tensor:
    """Logits (n, vocabulary) after the last token of each row; the head sees a flat matrix, see `answer_logits`."""
    hidden = trunk_of(model)(
        input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True
    )[0]
    return head_of(model)(hidden[:, -1]).float()


def _places(mask: torch.Tensor) -> torch.Tensor:
    """Position of each token of left-padded rows, counted without the padding."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _window(config: Any) -> int | None:
    """The shortest sliding window of the model's layers; None where every layer sees everything."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text, "sliding_window", None)
    used = getattr(text, "use_sliding_window", True)
    return int(size) if size and used else None


@torch.no_grad()
def _agrees(model: Any) -> bool:
    """Two prompts of unequal length with a common beginning, read in parts and side by side, against each alone."""
    try:
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        draw = np.random.default_rng(0).integers(0, min(200, inner.config.get_text_config().vocab_size), 14).tolist()
        prompts = [draw[:9], [*draw[:5], *draw[9:11]], draw[11:]]
        batch = Batch((0, 1, 2), (tuple(draw[:5]), tuple(draw[11:13])), (0, 0, 1))
        device = next(model.parameters()).device
        seen: list[torch.Tensor] = []

        def note(logits: torch.Tensor, alive: Sequence[int], step: int) -> list[int]:
            seen.append(logits)
            return [] if step else [7] * len(alive)

        decode(model, prompts, batch, set(), note)
        for step, found in enumerate(seen):
            for row, logits in zip(prompts, found, strict=True):
                alone = model(input_ids=torch.tensor([[*row, *[7] * step]], device=device), use_cache=False).logits
                alone = alone[0, -1].float()
                if not float((logits - alone).abs().mean()) <= CLOSE * float(alone.std()):
                    return False
    except (TypeError, ValueError, AttributeError, IndexError, NotImplementedError, RuntimeError):
        return False  # another kind of model: its own `generate` knows it
    return len(seen) == 2
