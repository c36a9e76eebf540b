"""Named places inside a model, and hooks that read them. A forward pass stops after the last site that is asked for."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import SettingError
from .chunk import Input, Site


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


def site_module(model: Any, site: Site) -> torch.nn.Module:
    """The module that is read. A number is the residual stream after that block, -1 after the embeddings; a name is a
    module's, or its end. Raises SettingError when that is no module, or several."""
    if isinstance(site, Input):
        return site_module(model, site.module)
    if isinstance(site, str):
        modules = dict(model.named_modules())
        found = [name for name in modules if name == site] or [n for n in modules if n.endswith("." + site)]
        if len(found) != 1:
            near = difflib.get_close_matches(site, modules, n=3, cutoff=0.4)
            raise SettingError(f"site {site!r} names {len(found)} modules. Near it: {near or list(modules)[1:4]}.")
        return modules[found[0]]
    if site == -1:
        return model.get_input_embeddings()
    blocks = blocks_of(model)
    if not 0 <= site < len(blocks):
        raise SettingError(f"layer {site} is outside 0..{len(blocks) - 1} (-1: after the embeddings).")
    return blocks[site]


@contextmanager
def watching(model: Any, sites: Sequence[Site], see: Callable[[Site, Any], None]) -> Iterator[None]:
    """Call `see(site, value)` whenever a site's module runs. The value is what it returns (or takes, for an Input)."""
    modules = {site: site_module(model, site) for site in sites}  # an unknown site must not leave hooks behind

    def after(site: Site) -> Any:
        return lambda module, inputs, output: see(site, output)

    def before(site: Site) -> Any:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            # attention also takes rotary tables, which for one sequence have the shape of a residual stream
            see(site, (inputs, named.get("hidden_states"), named))

        return hook

    handles = [
        module.register_forward_pre_hook(before(site), with_kwargs=True)
        if isinstance(site, Input)
        else module.register_forward_hook(after(site))
        for site, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def read_sites(
    model: Any,
    sites: Sequence[Site],
    run: Callable[[], Any],
    pick: Callable[[Site, Any], torch.Tensor] | None = None,
) -> dict[Any, torch.Tensor]:
    """Call `run()` once and return each site's tensor, stopping the pass as soon as all are there.

    Args:
        pick: takes a site and what its module gave, and returns what to keep of it. By default the first tensor in it,
            copied, since a later module may write into the same memory.
    """
    seen: dict[Any, torch.Tensor] = {}

    def see(site: Site, value: Any) -> None:
        seen[site] = pick(site, value) if pick else tensor_in(site, value).clone()
        if len(seen) == len(set(sites)):
            raise _Enough

    with watching(model, sites, see):
        try:
            run()
        except _Enough:
            pass
    if len(seen) < len(set(sites)):
        raise SettingError(f"sites {sorted(map(str, set(sites) - set(seen)))} were not reached by the forward pass.")
    return seen


def tensor_in(site: Site, value: Any, shape: tuple[int, int] | None = None) -> torch.Tensor:
    """The first tensor in a module's output (tuples, lists and ModelOutputs are searched); with `shape` (n, T), the
    first float tensor of shape (n, T, d). Raises SettingError, listing what is there, when there is none."""
    tensors = list(_tensors(value))
    for tensor in tensors:
        if shape is None or (tensor.ndim == 3 and tensor.shape[:2] == shape and tensor.is_floating_point()):
            return tensor
    wanted = "a tensor" if shape is None else f"a float tensor of shape (n, T, d) = ({shape[0]}, {shape[1]}, d)"
    shapes = [tuple(t.shape) for t in tensors[:4]]
    raise SettingError(f"site {site} does not give {wanted}, but {shapes or 'no tensor'}. Name a module near it.")


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
