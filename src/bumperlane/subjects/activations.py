"""Activations at chosen sites and tokens, one batch at a time."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..errors import EvidenceError, SettingError
from .chat import Encoded
from .chunk import POOLED, Input, Site
from .forward import length_batches, pad
from .head import trunk_of
from .positions import POSITIONS, Position, position_named
from .sites import blocks_of, read_sites, site_module, tensor_in


@dataclass(frozen=True)
class CaptureSettings:
    """What to read of each sequence, and how to batch it.

    Args:
        sites: block numbers (residual stream after that block; -1: after the embeddings), names of modules (what they
            return), or `Input(...)` of either (what they take).
        position: last, mean, answer (mean over the answer's tokens), all (a row a token), or a Position of your own.
        padding: right or left. The rows are the same; some models are only right with one of them.
        token_budget: sequences x longest of a batch, at most.
        window: sequences that are read ahead, so that those of like length share a batch.
        rows_per_chunk: rows that a stream yields together, at most; a single sequence that has more comes alone.
    """

    sites: tuple[Site, ...]
    position: str | Position = "last"
    padding: Literal["right", "left"] = "right"
    token_budget: int = 4096
    window: int = 1024
    rows_per_chunk: int = 4096

    def __post_init__(self) -> None:
        position_named(self.position)
        if not self.sites or len(set(self.sites)) < len(self.sites):
            raise SettingError(f"need one or more sites, each once, got {[str(s) for s in self.sites]}.")
        if self.padding not in ("right", "left"):
            raise SettingError(f"padding must be right or left, got {self.padding!r}.")
        for name in ("token_budget", "window", "rows_per_chunk"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, got {getattr(self, name)}.")


@dataclass(frozen=True)
class BatchRows:
    """Rows of one forward pass: float32 arrays (m, d) by site, whose sequence each is, and which token of it (-1: a
    mean over several), each (m,)."""

    by_site: dict[Any, np.ndarray]
    owner: np.ndarray
    tokens: np.ndarray


@torch.no_grad()
def read_batch(
    model: Any, batch: Sequence[Encoded], chosen: Sequence[np.ndarray], settings: CaptureSettings, pad_id: int
) -> BatchRows:
    """One forward pass that stops after the last site. `chosen`: indices of the tokens to read, by sequence.

    Of each site only the rows that are asked for are kept, as float32 on the CPU, whatever the model's dtype.
    """
    average = position_named(settings.position).average
    ids, mask = pad([s.tokens for s in batch], pad_id, settings.padding, next(model.parameters()).device)
    owner = np.repeat(np.arange(len(batch)), [len(c) for c in chosen])
    tokens = np.concatenate(chosen)
    shift = np.array([ids.shape[1] - len(s.tokens) if settings.padding == "left" else 0 for s in batch])
    rows, columns = torch.from_numpy(owner), torch.from_numpy(tokens + shift[owner])
    picked = torch.zeros(ids.shape, dtype=torch.long)
    picked[rows, columns] = 1
    rows, columns, picked = (t.to(ids.device) for t in (rows, columns, picked))

    def pick(site: Site, value: Any) -> torch.Tensor:
        hidden = tensor_in(site, value, tuple(ids.shape))
        if average:
            return pool(hidden.float(), picked.to(hidden.device), "mean")
        return hidden[rows.to(hidden.device), columns.to(hidden.device)].float()

    inputs = padded_inputs(model, ids, mask, settings.padding)
    seen = read_sites(model, settings.sites, lambda: trunk_of(model)(**inputs, use_cache=False), pick)
    if average:
        owner, tokens = np.arange(len(batch)), np.full(len(batch), POOLED)
    return BatchRows({site: seen[site].cpu().numpy() for site in settings.sites}, owner, tokens)


def padded_inputs(model: Any, ids: torch.Tensor, mask: torch.Tensor, padding: str) -> dict[str, torch.Tensor]:
    """What a trunk takes. On the left, tokens are numbered from the first real one; models count from the first column.

    Raises SettingError for left padding when the model does not let tokens be numbered.
    """
    inputs = {"input_ids": ids, "attention_mask": mask}
    if padding == "right":
        return inputs
    if "position_ids" not in inspect.signature(trunk_of(model).forward).parameters:
        raise SettingError(
            f"{type(trunk_of(model)).__name__} takes no position_ids, so left-padded tokens could get wrong numbers. "
            "Pad on the right."
        )
    return {**inputs, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def capture(
    model: Any, prompts: Sequence[Sequence[int]], sites: Sequence[Site], pad_id: int, position: str | Position = "last"
) -> dict[Any, np.ndarray]:
    """Float32 arrays (n, d) by site, one row per prompt, in the order given.

    Bucketed by length under a token budget; padding never enters a mean. For positions that give several rows a
    prompt, and for more prompts than fit into memory, use `stream`.
    """
    sequences = [Encoded(str(i), tuple(p), len(p)) for i, p in enumerate(prompts)]
    return _one_row_each(model, sequences, CaptureSettings(tuple(dict.fromkeys(sites)), position), pad_id)


def capture_answers(model: Any, rows: Sequence[Encoded], sites: Sequence[Site], pad_id: int) -> dict[Any, np.ndarray]:
    """Float32 arrays (n, d) by site: the mean over each row's answer tokens."""
    return _one_row_each(model, rows, CaptureSettings(tuple(dict.fromkeys(sites)), "answer"), pad_id)


def _one_row_each(
    model: Any, sequences: Sequence[Encoded], settings: CaptureSettings, pad_id: int
) -> dict[Any, np.ndarray]:
    if not sequences:
        raise EvidenceError("no prompts to read activations of. Pass at least one.")
    position = position_named(settings.position)
    chosen = position.chosen(sequences)
    if not position.average and any(len(c) > 1 for c in chosen):
        raise SettingError(
            f"position {position.name!r} gives several rows a prompt, and an array of them would not say whose they "
            "are. Use `stream` or Subject.stream_activations, which give ids and token indices."
        )
    found: dict[Any, list[Any]] = {site: [None] * len(sequences) for site in settings.sites}
    for batch in length_batches([len(s.tokens) for s in sequences], settings.token_budget):
        seen = read_batch(model, [sequences[i] for i in batch], [chosen[i] for i in batch], settings, pad_id)
        for site, rows in seen.by_site.items():
            for i, row in zip(batch, rows, strict=True):
                found[site][i] = row
    return {site: np.stack(values) for site, values in found.items()}


def pool(hidden: torch.Tensor, mask: torch.Tensor, position: str) -> torch.Tensor:
    """(n, T, d) to (n, d): the last unmasked token, or the mean over the unmasked ones. Padding on either side."""
    if position == "mean":  # padding is set to zero, not multiplied by it: some attention kernels leave NaN there
        return hidden.masked_fill(mask[:, :, None] == 0, 0).sum(1) / mask.sum(1, keepdim=True)
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (mask * places).argmax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def module_activations(module: torch.nn.Module, inputs: torch.Tensor, sites: Sequence[Site]) -> dict[Any, np.ndarray]:
    """Activations of any torch module on a tensor input, as float32 arrays of the shape of the sites' tensors."""
    with torch.no_grad():
        seen = read_sites(module, sites, lambda: module(inputs))
    return {site: value.float().cpu().numpy() for site, value in seen.items()}


__all__ = [
    "POSITIONS",
    "CaptureSettings",
    "Input",
    "Position",
    "blocks_of",
    "capture",
    "capture_answers",
    "module_activations",
    "pool",
    "read_batch",
    "read_sites",
    "site_module",
]
