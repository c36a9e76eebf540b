"""How likely the answer already is after each block, decoded by the model's own final norm and head."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError, SettingError
from .activations import blocks_of
from .chat import Encoded
from .forward import length_batches, pad
from .head import head_of, trunk_of

FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "final_norm", "norm_f", "ln_out")


def final_norm(model: Any) -> torch.nn.Module:
    """The norm between the last block and the head: a module of the trunk, outside the blocks, with a usual name.

    Raises SettingError, with what was looked for and what is there, unless exactly one is found.
    """
    trunk, inside = trunk_of(model), {id(m) for m in blocks_of(model).modules()}
    outside = {n: m for n, m in trunk.named_modules() if n and id(m) not in inside}
    found = {n: m for n, m in outside.items() if n.rpartition(".")[2] in FINAL_NORMS}
    if len(found) != 1:
        raise SettingError(
            f"{len(found)} final norms {list(found)} stand outside the blocks. Looked for one module named one of "
            f"{', '.join(FINAL_NORMS)}; there are {[n for n, m in outside.items() if not list(m.children())]}."
        )
    return next(iter(found.values()))


def lens_trajectories(
    model: Any, prompts: Sequence[Sequence[int]], tails: Sequence[Sequence[int]], pad_id: int, token_budget: int = 4096
) -> np.ndarray:
    """Mean log-probability of each tail's tokens after each block, in nats per token: float64 (n, L).

    The last column is the model's own log-probability. Norm and head see the positions that predict the tail only.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".

    Raises:
        SettingError: the final norm is not found, or what it makes of the last block is not what the head is given.
        EvidenceError: a tail is empty or a value is not finite.
    """
    empty = [i for i, tail in enumerate(tails) if not len(tail)]
    if empty:
        raise EvidenceError(f"{len(empty)} of {len(tails)} answers have no tokens, first at {empty[0]}.")
    rows = [Encoded(str(i), (*p, *t), len(p)) for i, (p, t) in enumerate(zip(prompts, tails, strict=True))]
    norm, head = final_norm(model), head_of(model)
    found = np.zeros((len(rows), len(blocks_of(model))))
    with torch.no_grad():
        for batch in length_batches([len(r.tokens) for r in rows], token_budget):
            chosen = [rows[i] for i in batch]
            layers, targets, owner = _after_each_block(model, chosen, norm, pad_id)
            for layer, hidden in enumerate(layers):
                logits = head(norm(hidden)).float()
                picked = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
                sums = torch.zeros(len(batch), device=picked.device).index_add_(0, owner, picked)
                found[batch, layer] = sums.double().cpu().numpy() / [r.answer_length for r in chosen]
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(bad):
        raise EvidenceError(
            f"lens trajectories are not finite for {len(bad)} of {len(rows)} answers, first at {bad[0]}. "
            "Check the checkpoint for overflow."
        )
    return found


def _after_each_block(
    model: Any, rows: Sequence[Encoded], norm: torch.nn.Module, pad_id: int
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Hidden states (m, d) after each block where the answers are predicted, the m target tokens, and their rows."""
    device = next(model.parameters()).device
    ids, mask = pad([r.tokens for r in rows], pad_id, "right", device)
    owner = torch.cat([torch.full((r.answer_length,), i) for i, r in enumerate(rows)]).to(device)
    columns = torch.cat([torch.arange(r.answer_start, len(r.tokens)) for r in rows]).to(device)
    layers: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        layers.append((output[0] if isinstance(output, tuple) else output)[owner, columns - 1])

    handles = [block.register_forward_hook(keep) for block in blocks_of(model)]
    try:
        given = trunk_of(model)(input_ids=ids, attention_mask=mask, use_cache=False)[0][owner, columns - 1]
    finally:
        for handle in handles:
            handle.remove()
    away = float((norm(layers[-1]) - given).float().abs().max())
    size = float(given.float().abs().max())
    if away > 0.02 * size:  # NaN passes here, and is named with its item by the caller
        raise SettingError(
            f"the final norm makes of the last block something else than the head is given: they differ by {away:.3g} "
            f"where the largest value is {size:.3g}. This model has more between its last block and its head."
        )
    return layers, ids[owner, columns], owner
