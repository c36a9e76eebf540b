"""Per-example projected gradients of many layers, and mean representations, in one pass over the data.

No gradient of an example or of a batch is formed. In the forward pass each site keeps its projected inputs only; in
the backward pass it projects its output gradients, and the two give (k_out, k_in) numbers an example.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError, SettingError
from .activations import pool
from .allocator import keep_freed_memory
from .chat import Encoded
from .forward import length_batches, pad
from .gradient_projection import GradientSite, ProjectionSettings, gradient_sites
from .head import head_of, trunk_of
from .sites import tensor_in, watching

HEAD_BYTES = 64 * 2**20  # of shares of the vocabulary that are in memory at a time
ROW_BYTES = 512 * 2**20  # of gradients of a batch: whole ones of a large adapter are long


@dataclass(frozen=True)
class GradientBatch:
    """Some examples' projected gradients.

    Attributes:
        indices: (m,) which of the rows given these are.
        gradients: (m, K) float32, the sites side by side as `GradientPass.columns` says.
        representations: block -> (m, d) float32, the mean over the answer's tokens after that block.
    """

    indices: tuple[int, ...]
    gradients: np.ndarray
    representations: dict[int, np.ndarray]


class GradientPass:
    """A model made ready for passes. While one runs, its linear layers project what goes through them; between
    batches the model is as it was. Do not change its weights (another adapter) while this is in use: make a new one.
    """

    def __init__(self, model: Any, settings: ProjectionSettings, pad_id: int) -> None:
        """Raises SettingError for sites that the model has not got, a model that is not in eval mode, and float32
        asked of weights that are not."""
        self.model, self.settings, self.pad_id = model, settings, pad_id
        drops = sum(m.training and isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
        if drops:
            raise SettingError(f"{drops} dropout layers are switched on, so gradients would be random. Call eval().")
        self.device = next(model.parameters()).device
        if self.device.type == "cpu":
            keep_freed_memory()
        self.dtype = settings.dtype_on(self.device)
        self.sites = gradient_sites(model, settings)
        self._anchor = torch.zeros((), requires_grad=True, device=self.device)
        self._cast = _cast_weights(model, self.dtype)

    @property
    def model_dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    @property
    def made_from(self) -> dict[str, Any]:
        """What the numbers depend on besides the weights and the rows, as JSON: the key under which they are kept."""
        s = self.settings
        return {
            "sites": {site.name: list(site.shape) for site in self.sites},
            "layers": list(s.layers),
            **{name: getattr(s, name) for name in ("k", "kind", "seed", "loss")},
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @property
    def columns(self) -> dict[str, slice]:
        """Where each site's numbers stand in a row."""
        return {site.name: site.columns for site in self.sites}

    @property
    def width(self) -> int:
        return self.sites[-1].columns.stop

    def stream(self, rows: Sequence[Encoded]) -> Iterator[GradientBatch]:
        """Every row once, in batches of like length under the token budget.

        Raises EvidenceError, with the ids, for rows without an answer and for gradients that are not finite.
        """
        empty = [r.id for r in rows if r.answer_length < 1 or r.answer_start < 1]
        if empty:
            raise EvidenceError(
                f"{len(empty)} examples have no answer token with a token before it, first {empty[:3]}. Leave them out."
            )
        most = max(1, ROW_BYTES // (4 * self.width))
        for group in length_batches([len(r.tokens) for r in rows], self.settings.budget_on(self.device)):
            for start in range(0, len(group), most):
                part = group[start : start + most]
                yield self.batch([rows[i] for i in part], part)

    def batch(self, rows: Sequence[Encoded], indices: Sequence[int]) -> GradientBatch:
        """One forward and one backward pass."""
        ids, mask = pad([r.tokens for r in rows], self.pad_id, "right", self.device)
        sums = _Sums(ids.shape)
        means: dict[int, torch.Tensor] = {}
        answer, head = _answer_mask(rows, mask), head_of(self.model)

        def see(layer: Any, value: Any) -> None:
            hidden = tensor_in(layer, value, tuple(ids.shape)).detach()
            means[layer] = pool(hidden.float(), answer, "mean")

        with ExitStack() as stack:
            stack.enter_context(_weights_as(self._cast))
            stack.enter_context(watching(self.model, self.settings.layers, see))
            stack.enter_context(_projecting(self.sites, self._anchor, sums))
            stack.enter_context(torch.enable_grad())
            hidden = trunk_of(self.model)(input_ids=ids, attention_mask=mask, use_cache=False)[0]
            at, columns = answer.nonzero(as_tuple=True)
            flat = hidden[at, columns - 1]
            weight = 1 / answer.sum(1) if self.settings.loss == "mean" else torch.ones(len(rows), device=self.device)
            slope = loss_slope(head, flat.detach(), ids[at, columns], weight[at])
            torch.autograd.grad(flat, [self._anchor], slope, allow_unused=True)
        gradients = sums.joined(self.sites).cpu().numpy()
        _refuse_non_finite(gradients, rows)
        return GradientBatch(tuple(indices), gradients, {layer: m.cpu().numpy() for layer, m in means.items()})


def project_gradients(
    model: Any, rows: Sequence[Encoded], settings: ProjectionSettings, pad_id: int
) -> Iterator[GradientBatch]:
    """Projected gradients of every row, batch by batch. See `GradientPass`, which also says where each site stands."""
    return GradientPass(model, settings, pad_id).stream(rows)


def loss_slope(head: Any, hidden: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Gradient, by hidden state (m, d), of the sum over tokens of weight (m,) times negative log-likelihood.

    By hand: (softmax - one-hot) through the head. What the target lacks of 1 is the sum of the other shares, so a token
    that the model is sure of keeps its digits in bfloat16. Shares of a part of the tokens are in memory at a time.
    """
    slope = torch.empty_like(hidden)
    width = head.weight.shape[0] if hasattr(head, "weight") else hidden.shape[1]
    step = max(1, HEAD_BYTES // (hidden.element_size() * width))
    plain = type(head) is torch.nn.Linear and "forward" not in head.__dict__
    for start in range(0, len(hidden), step):
        part = slice(start, start + step)
        inner = hidden[part].detach().requires_grad_(not plain)
        logits = head(inner)
        shares, at = torch.softmax(logits.detach(), -1), targets[part]
        spots = torch.arange(len(at), device=at.device) * logits.shape[1] + at
        shares.view(-1).index_fill_(0, spots, 0)  # fifty times faster on a CPU than to scatter
        rest = shares.sum(-1, keepdim=True)
        if plain:
            below = torch.addcmul(shares @ head.weight, rest, head.weight[at], value=-1)
        else:  # a head of several layers, as with an adapter on it
            shares.view(-1)[spots] = -rest[:, 0]
            below = torch.autograd.grad(logits, inner, shares)[0]
        slope[part] = below * weight[part, None]
    return slope


class _Sums:
    """The projected gradients of a batch, by site."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.by_site: dict[str, torch.Tensor] = {}
        self.shape = tuple(shape)

    def inputs(self, site: GradientSite, x: torch.Tensor) -> torch.Tensor:
        """(n, T, k_in) projected inputs. Those of padding meet slopes of 0, since no loss reaches it."""
        if x.shape[:-1] not in (self.shape, (self.shape[0] * self.shape[1],)):
            raise SettingError(
                f"site {site.name} takes {tuple(x.shape)} for a batch of {self.shape} tokens, so nobody can say whose "
                "they are (routed experts do so). Leave it out: name the other sites in `sites`."
            )
        return self._projected(x, site.project_in)

    def add(self, site: GradientSite, inputs: torch.Tensor, slopes: torch.Tensor) -> None:
        """A module that runs twice in a pass adds up."""
        found = torch.bmm(self._projected(slopes, site.project_out).transpose(1, 2), inputs)
        self.by_site[site.name] = self.by_site[site.name] + found if site.name in self.by_site else found

    def joined(self, sites: Sequence[GradientSite]) -> torch.Tensor:
        """(n, K). Raises SettingError for sites that gave nothing."""
        missing = [s.name for s in sites if s.name not in self.by_site]
        if missing:
            raise SettingError(
                f"{len(missing)} of {len(sites)} linear layers take no part in the answer's loss, first {missing[0]}. "
                "Leave them out: name the other sites in `sites`."
            )
        return torch.cat([self.by_site[site.name].flatten(1) for site in sites], dim=1)

    def _projected(self, x: torch.Tensor, by: torch.Tensor | None) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        return (flat if by is None else torch.nn.functional.linear(flat, by)).float().view(*self.shape, -1)


class _ProjectedLinear(torch.autograd.Function):
    """A linear layer that keeps its projected inputs and nothing else.

    The anchor makes the graph begin here, so that what lies below the first site is not differentiated.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, anchor: torch.Tensor, site: GradientSite, sums: _Sums) -> torch.Tensor:
        ctx.site, ctx.sums, ctx.inputs = site, sums, sums.inputs(site, x)
        return torch.nn.functional.linear(x, _weight(site.module), site.module.bias)

    @staticmethod
    def backward(ctx: Any, slopes: torch.Tensor) -> Any:
        ctx.sums.add(ctx.site, ctx.inputs, slopes)
        below = slopes @ _weight(ctx.site.module) if ctx.needs_input_grad[0] else None
        return below, None, None, None


def _weight(module: Any) -> torch.Tensor:
    return module.weight if isinstance(module, torch.nn.Linear) else module.weight.T


@contextmanager
def _projecting(sites: Sequence[GradientSite], anchor: torch.Tensor, sums: _Sums) -> Iterator[None]:
    """Each site's module runs as a `_ProjectedLinear`, hooks and all."""
    try:
        for site in sites:
            site.module.forward = lambda x, site=site: _ProjectedLinear.apply(x, anchor, site, sums)
        yield
    finally:
        for site in sites:
            site.module.__dict__.pop("forward", None)


def _cast_weights(model: Any, dtype: torch.dtype) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
    """Parameters that are not in the pass's dtype, each with a copy that is: made once a pass, not once a batch."""
    other = [p for p in model.parameters() if p.is_floating_point() and p.dtype != dtype]
    if other and dtype == torch.float32:
        raise SettingError(
            f"a float32 pass needs float32 weights, and {len(other)} tensors are {other[0].dtype}. Load the subject "
            "with dtype='float32', or take dtype='auto'."
        )
    return [(p, p.detach().to(dtype)) for p in other]


@contextmanager
def _weights_as(cast: Sequence[tuple[torch.nn.Parameter, torch.Tensor]]) -> Iterator[None]:
    kept = [p.data for p, _ in cast]
    try:
        for p, value in cast:
            p.data = value
        yield
    finally:
        for (p, _), value in zip(cast, kept, strict=True):
            p.data = value


def _answer_mask(rows: Sequence[Encoded], mask: torch.Tensor) -> torch.Tensor:
    starts = torch.tensor([r.answer_start for r in rows], device=mask.device)
    return mask * (torch.arange(mask.shape[1], device=mask.device) >= starts[:, None])


def _refuse_non_finite(gradients: np.ndarray, rows: Sequence[Encoded]) -> None:
    bad = [r.id for r, ok in zip(rows, np.isfinite(gradients.sum(1)), strict=True) if not ok]
    if bad:
        raise EvidenceError(f"gradients are not finite for {bad[:3]}. Check the checkpoint for overflow.")
