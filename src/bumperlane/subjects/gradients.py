"""Per-example gradients of linear layers, in factors: no gradient of a single example is ever formed.

For a linear layer with inputs a_t and output gradients g_t, an example's weight gradient is the sum over its tokens
of g_t a_t^T. Its product with a query matrix Q is sum_t g_t^T Q a_t, and its squared norm is
sum_ts (g_t . g_s)(a_t . a_s): both come from the factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError, SettingError
from .activations import blocks_of
from .chat import Encoded
from .forward import answer_logits, length_batches

Gradient = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Similarity:
    """Dot products of each example's gradient with a query's, and the norms of the examples' gradients. (n,) each."""

    dots: np.ndarray
    norms: np.ndarray

    @property
    def cosines(self) -> np.ndarray:
        """Dot products over norms, up to the query's own norm."""
        return self.dots / np.maximum(self.norms, 1e-20)


def gradient_sites(model: Any, top: float = 0.34) -> dict[str, torch.nn.Linear]:
    """Linear layers in the last `top` share of the blocks: the adapter's where there is one, else the weights'."""
    if not 0 < top <= 1:
        raise SettingError(f"top must be in (0, 1], got {top}.")
    blocks = blocks_of(model)
    first = min(len(blocks) - 1, int(len(blocks) * (1 - top)))
    found = {
        f"{i}.{name}": module
        for i in range(first, len(blocks))
        for name, module in blocks[i].named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    adapter = {name: m for name, m in found.items() if ".lora_A." in name or ".lora_B." in name}
    if not (adapter or found):
        raise SettingError("no linear layer lies in the chosen blocks. Raise `top`.")
    return adapter or found


def mean_gradient(model: Any, rows: Sequence[Encoded], sites: dict[str, torch.nn.Linear], pad_id: int) -> Gradient:
    """Mean over the rows of the gradient of each row's mean answer loss. Float32, (out, in) by site."""
    total = {name: torch.zeros(m.out_features, m.in_features, device=m.weight.device) for name, m in sites.items()}
    for _, factors in _factors(model, rows, sites, pad_id):
        for name, (inputs, grads) in factors.items():
            total[name] += torch.einsum("nto,nti->oi", grads, inputs) / len(rows)
    return total


def gradient_similarity(
    model: Any,
    rows: Sequence[Encoded],
    query: Gradient,
    sites: dict[str, torch.nn.Linear],
    pad_id: int,
    say: Any = None,
) -> Similarity:
    """How each row's gradient lies to the query's, over all sites together, in row order."""
    dots, squares = np.zeros(len(rows)), np.zeros(len(rows))
    done = 0
    for batch, factors in _factors(model, rows, sites, pad_id):
        dot, square = torch.zeros(len(batch)), torch.zeros(len(batch))
        for name, (a, g) in factors.items():
            dot += torch.einsum("nto,nto->n", g, a @ query[name].T).cpu()
            square += ((g @ g.transpose(1, 2)) * (a @ a.transpose(1, 2))).sum((1, 2)).cpu()
        dots[batch], squares[batch] = dot.numpy(), square.numpy()
        done += len(batch)
        if say:
            say(done, len(rows))
    if not (np.isfinite(dots).all() and np.isfinite(squares).all()):
        bad = [rows[i].id for i in np.flatnonzero(~np.isfinite(dots + squares))[:3]]
        raise EvidenceError(f"gradients are not finite for {bad}. Check the checkpoint for overflow.")
    return Similarity(dots, np.sqrt(np.maximum(squares, 0)))


def _factors(model: Any, rows: Sequence[Encoded], sites: dict[str, torch.nn.Linear], pad_id: int) -> Any:
    """Yield (row indices, site -> (inputs (n, T, in), output gradients (n, T, out))) in float32, batch by batch.

    The graph begins at the first block that holds a site, so nothing below it is differentiated.
    """
    first = blocks_of(model)[min(int(name.split(".", 1)[0]) for name in sites)]
    for batch in length_batches([len(r.tokens) for r in rows], token_budget=1024):
        chosen = [rows[i] for i in batch]
        seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        handles = [first.register_forward_pre_hook(_begin_graph, with_kwargs=True)]
        handles += [m.register_forward_hook(_keep(seen, name)) for name, m in sites.items()]
        try:
            with torch.enable_grad():
                logits, targets, owner = answer_logits(model, chosen, pad_id)
                losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
                lengths = torch.tensor([r.answer_length for r in chosen], device=losses.device)
                loss = (losses / lengths[owner]).sum()
                grads = torch.autograd.grad(loss, [out for _, out in seen.values()])
        finally:
            for handle in handles:
                handle.remove()
        yield batch, {n: (a.float(), g.float()) for (n, (a, _)), g in zip(seen.items(), grads, strict=True)}


def _begin_graph(module: torch.nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    if args:
        return (args[0].detach().requires_grad_(), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": kwargs["hidden_states"].detach().requires_grad_()}


def _keep(seen: dict, name: str) -> Any:
    def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        seen[name] = (inputs[0].detach(), output)

    return hook
