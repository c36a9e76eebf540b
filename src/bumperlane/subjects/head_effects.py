"""What each attention head adds to an answer: attribution patching, one forward and one backward pass a batch.

A head's output is its slice of the input of the attention's output projection. The effect of setting it to its mean
over trusted prompts is, to first order, the gradient of a logit difference times (mean - output).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError, SettingError
from .activations import blocks_of
from .forward import length_batches, pad
from .head import head_of, trunk_of

PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "wo")
POSITIONS = ("last", "all")
Prompts = Sequence[Sequence[int]]


def output_projections(model: Any) -> tuple[list[torch.nn.Module], int]:
    """The attention's output projection of every block, and the number of heads.

    Found by name inside a module whose name holds 'attn' or 'attention', and by shape: its inputs divide among the
    heads, its outputs are as wide as the model. Works through a PEFT wrapper.

    Raises SettingError, with what was looked for, when a block does not hold exactly one.
    """
    config = model.config.get_text_config()
    heads, width = getattr(config, "num_attention_heads", None), getattr(config, "hidden_size", None)
    if not isinstance(heads, int) or not isinstance(width, int):
        raise SettingError(f"the model's config gives num_attention_heads {heads!r} and hidden_size {width!r}.")
    found = []
    for i, block in enumerate(blocks_of(model)):
        named = {n: m for n, m in block.named_modules() if n.rpartition(".")[2] in PROJECTIONS and "att" in n.lower()}
        fits = [m for m in named.values() if _sides(m)[1] == width and _sides(m)[0] and not _sides(m)[0] % heads]
        if len(fits) != 1:
            seen = {n: _sides(m) for n, m in named.items()} or [n for n, _ in block.named_children()]
            raise SettingError(
                f"block {i} holds {len(fits)} output projections of attention. Looked for a module named one of "
                f"{', '.join(PROJECTIONS)} under one named *att*, from a multiple of {heads} heads to {width}; the "
                f"block has {seen}."
            )
        found += fits
    if len({_sides(m)[0] for m in found}) > 1:
        raise SettingError(f"the blocks differ in the width of their heads: {sorted({_sides(m)[0] for m in found})}.")
    return found, heads


def next_two_tokens(model: Any, prompts: Prompts, pad_id: int, token_budget: int = 4096) -> np.ndarray:
    """The likeliest next token of each prompt and its runner-up: int64 (n, 2)."""
    found = np.zeros((len(prompts), 2), np.int64)
    with torch.no_grad():
        for batch in length_batches([len(p) for p in prompts], token_budget):
            found[batch] = _last_logits(model, [prompts[i] for i in batch], pad_id).topk(2, dim=1).indices.cpu().numpy()
    return found


def head_means(
    model: Any, prompts: Prompts, pad_id: int, position: str = "last", token_budget: int = 4096
) -> np.ndarray:
    """Mean output of each head over trusted prompts, at their last token or over all their tokens.

    Float32 (layers, heads, width of a head). Raises EvidenceError without prompts or when a value is not finite.
    """
    _checked(prompts, position)
    projections, heads = output_projections(model)
    total, count = np.zeros((len(projections), 1)), 0
    with torch.no_grad():
        for batch in length_batches([len(p) for p in prompts], token_budget):
            rows = [prompts[i] for i in batch]
            with _outputs(projections) as seen:
                ids, mask = _run(model, rows, pad_id)[:2]
            places = _places(mask, position)
            total = total + np.stack([z.reshape(*ids.shape, -1)[places].double().sum(0).cpu().numpy() for z in seen])
            count += int(places.sum())
    means = (total / count).astype(np.float32)
    if not np.isfinite(means).all():
        layers = np.flatnonzero(~np.isfinite(means).all(axis=1)).tolist()
        raise EvidenceError(f"mean outputs of heads are not finite in layers {layers}. Check for overflow.")
    return means.reshape(len(projections), heads, -1)


def head_effects(
    model: Any,
    prompts: Prompts,
    contrasts: np.ndarray,
    means: np.ndarray,
    pad_id: int,
    position: str = "last",
) -> np.ndarray:
    """First-order change of a logit difference when a head is set to its mean output: float32 (n, layers, heads).

    Source: Nanda 2023, "Attribution patching"; Syed et al. 2023, arXiv:2310.10348. All heads come from one backward
    pass, which begins at the first output projection: embeddings and the first attention are not differentiated.

    Args:
        prompts: each ends where the token that matters is predicted.
        contrasts: (n, 2) token ids; the difference is the first's logit minus the second's (see `next_two_tokens`).
        means: what `head_means` found on trusted prompts, at the same position.
        position: 'last': replaced at the prompt's last token; 'all': at each of its tokens, summed.

    Raises:
        SettingError: means of another model, or no contrast for each prompt.
        EvidenceError: no prompts, or a value that is not finite.
    """
    _checked(prompts, position)
    projections, heads = output_projections(model)
    shape = (len(projections), heads, _sides(projections[0])[0] // heads)
    if means.shape != shape or contrasts.shape != (len(prompts), 2):
        raise SettingError(
            f"need means of shape {shape} and contrasts of shape {(len(prompts), 2)}, got {means.shape} and "
            f"{contrasts.shape}. Take both from this model and these prompts."
        )
    found = np.zeros((len(prompts), *shape[:2]), np.float32)
    for batch in length_batches([len(p) for p in prompts], token_budget=1024):
        with torch.enable_grad():
            with _outputs(projections, graph=True) as seen:
                ids, mask, hidden = _run(model, [prompts[i] for i in batch], pad_id)
            pair = head_of(model)(_last(hidden, mask)).float().gather(1, torch.as_tensor(contrasts[batch]).to(ids))
            gradients = torch.autograd.grad((pair[:, 0] - pair[:, 1]).sum(), seen)
        places = _places(mask, position)[:, :, None, None]
        for layer, (z, gradient) in enumerate(zip(seen, gradients, strict=True)):
            output, slope = (t.detach().float().reshape(*ids.shape, *shape[1:]) for t in (z, gradient))
            change = torch.as_tensor(means[layer]).to(output) - output
            found[batch, layer] = (slope * change * places).sum(dim=(1, 3)).cpu().numpy()
    bad = np.flatnonzero(~np.isfinite(found).all(axis=(1, 2)))
    if len(bad):
        raise EvidenceError(
            f"effects of heads are not finite for {len(bad)} of {len(prompts)} prompts, first at {bad[0]}. "
            "Check the checkpoint for overflow."
        )
    return found


@contextmanager
def _outputs(projections: Sequence[torch.nn.Module], graph: bool = False) -> Iterator[list[torch.Tensor]]:
    """What goes into each projection during a pass. With `graph`, the first of them starts it."""
    seen: list[torch.Tensor] = []

    def before(module: torch.nn.Module, inputs: tuple) -> tuple:
        z = inputs[0]
        if graph and not z.requires_grad:
            z = z.detach().requires_grad_()
        seen.append(z)
        return (z, *inputs[1:])

    handles = [module.register_forward_pre_hook(before) for module in projections]
    try:
        yield seen
        if len(seen) != len(projections):
            raise SettingError(
                f"{len(projections)} output projections were called {len(seen)} times in a pass: the model uses their "
                "weights without calling them, or calls blocks again. Its heads cannot be read."
            )
    finally:
        for handle in handles:
            handle.remove()


def _run(model: Any, prompts: Prompts, pad_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, mask and last hidden states of a right-padded batch."""
    ids, mask = pad(prompts, pad_id, "right", next(model.parameters()).device)
    return ids, mask, trunk_of(model)(input_ids=ids, attention_mask=mask, use_cache=False)[0]


def _last(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]


def _last_logits(model: Any, prompts: Prompts, pad_id: int) -> torch.Tensor:
    _, mask, hidden = _run(model, prompts, pad_id)
    return head_of(model)(_last(hidden, mask)).float()


def _places(mask: torch.Tensor, position: str) -> torch.Tensor:
    """(n, T) bool: the tokens at which heads are read."""
    if position == "all":
        return mask.bool()
    return torch.arange(mask.shape[1], device=mask.device) == (mask.sum(dim=1) - 1)[:, None]


def _sides(module: torch.nn.Module) -> tuple[int, int]:
    """(inputs, outputs) of a linear layer, also of GPT-2's transposed one and of a wrapped one; (0, 0) of any other."""
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return int(module.in_features), int(module.out_features)
    if hasattr(module, "nf") and hasattr(module, "nx"):
        return int(module.nx), int(module.nf)
    return 0, 0


def _checked(prompts: Prompts, position: str) -> None:
    if position not in POSITIONS:
        raise SettingError(f"unknown position {position!r}. Known: {', '.join(POSITIONS)}.")
    if not len(prompts):
        raise EvidenceError("no prompts to read heads on. Pass one or more.")
