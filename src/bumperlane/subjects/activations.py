"""Activations at named sites. A forward pass stops after the last site that is asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import SettingError
from .chat import Encoded
from .forward import length_batches, pad, trunk_of

POSITIONS = ("last", "mean")


class _Enough(Exception):
    """Raised by the last hook to end a forward pass that has nothing left to give."""


def blocks_of(model: Any) -> torch.nn.ModuleList:
    """The transformer blocks: the longest list of equal modules that lies in no other such list (experts do)."""
    lists: dict[str, torch.nn.ModuleList] = {}
    for name, module in model.named_modules():  # outer modules come before what they hold
        listed = isinstance(module, torch.nn.ModuleList) and len({type(b) for b in module}) == 1
        if listed and not any(name.startswith(f"{outer}.") for outer in lists):
            lists[name] = module
    if not lists:
        raise SettingError("this module has no list of blocks, so a layer number means nothing. Name the site instead.")
    return max(lists.values(), key=len)


def site_module(model: Any, site: int | str) -> torch.nn.Module:
    """The module whose output is read. A number is the residual stream after that block, -1 after the embeddings."""
    if isinstance(site, str):
        modules = dict(model.named_modules())
        found = [name for name in modules if name == site] or [n for n in modules if n.endswith("." + site)]
        if len(found) != 1:
            import difflib

            near = difflib.get_close_matches(site, modules, n=3, cutoff=0.4)
            raise SettingError(f"site {site!r} names {len(found)} modules. Near it: {near or list(modules)[1:4]}.")
        return modules[found[0]]
    if site == -1:
        return model.get_input_embeddings()
    blocks = blocks_of(model)
    if not 0 <= site < len(blocks):
        raise SettingError(f"layer {site} is outside 0..{len(blocks) - 1} (-1: after the embeddings).")
    return blocks[site]


def read_sites(model: Any, sites: Sequence[int | str], run: Any) -> dict[int | str, torch.Tensor]:
    """Call `run()` once and return each site's output, stopping the pass as soon as all are there."""
    seen: dict[int | str, torch.Tensor] = {}

    def keep(site: int | str) -> Any:
        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            seen[site] = output[0] if isinstance(output, tuple) else output
            if len(seen) == len(set(sites)):
                raise _Enough

        return hook

    modules = {site: site_module(model, site) for site in sites}  # an unknown site must not leave hooks behind
    handles = [module.register_forward_hook(keep(site)) for site, module in modules.items()]
    try:
        run()
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if len(seen) < len(set(sites)):
        raise SettingError(f"sites {sorted(map(str, set(sites) - set(seen)))} were not reached by the forward pass.")
    return seen


def capture(
    model: Any, prompts: Sequence[Sequence[int]], sites: Sequence[int | str], pad_id: int, position: str = "last"
) -> dict[int | str, np.ndarray]:
    """Float32 arrays (n, d) by site, one row per prompt, at its last token or averaged over its tokens.

    Right-padded, bucketed by length under a token budget; padding never enters a mean.
    """
    if position not in POSITIONS:
        raise SettingError(f"unknown position {position!r}. Known: {', '.join(POSITIONS)}.")
    device = next(model.parameters()).device
    rows: dict[int | str, list[Any]] = {site: [None] * len(prompts) for site in sites}
    with torch.no_grad():
        for batch in length_batches([len(p) for p in prompts]):
            ids, mask = pad([prompts[i] for i in batch], pad_id, "right", device)
            run = lambda ids=ids, mask=mask: trunk_of(model)(input_ids=ids, attention_mask=mask, use_cache=False)  # noqa: E731
            for site, hidden in read_sites(model, sites, run).items():
                pooled = pool(hidden.float(), mask, position)
                for i, row in zip(batch, pooled.cpu().numpy(), strict=True):
                    rows[site][i] = row
    return {site: np.stack(values) for site, values in rows.items()}


def capture_answers(
    model: Any, rows: Sequence[Encoded], sites: Sequence[int | str], pad_id: int
) -> dict[int | str, np.ndarray]:
    """Float32 arrays (n, d) by site: the mean over each row's answer tokens."""
    device = next(model.parameters()).device
    found: dict[int | str, list[Any]] = {site: [None] * len(rows) for site in sites}
    with torch.no_grad():
        for batch in length_batches([len(r.tokens) for r in rows]):
            ids, mask = pad([rows[i].tokens for i in batch], pad_id, "right", device)
            answer = mask.clone()
            for j, i in enumerate(batch):
                answer[j, : rows[i].answer_start] = 0
            run = lambda ids=ids, mask=mask: trunk_of(model)(input_ids=ids, attention_mask=mask, use_cache=False)  # noqa: E731
            for site, hidden in read_sites(model, sites, run).items():
                for i, row in zip(batch, pool(hidden.float(), answer, "mean").cpu().numpy(), strict=True):
                    found[site][i] = row
    return {site: np.stack(values) for site, values in found.items()}


def pool(hidden: torch.Tensor, mask: torch.Tensor, position: str) -> torch.Tensor:
    """(n, T, d) to (n, d): the last unmasked token, or the mean over the unmasked ones. Padding on either side."""
    if position == "mean":
        weights = mask.to(hidden.dtype)[:, :, None]
        return (hidden * weights).sum(1) / weights.sum(1)
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (mask * places).argmax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def module_activations(
    module: torch.nn.Module, inputs: torch.Tensor, sites: Sequence[int | str]
) -> dict[Any, np.ndarray]:
    """Activations of any torch module on a tensor input, at named sites, as float32 arrays of the outputs' shape."""
    with torch.no_grad():
        seen = read_sites(module, sites, lambda: module(inputs))
    return {site: value.float().cpu().numpy() for site, value in seen.items()}
