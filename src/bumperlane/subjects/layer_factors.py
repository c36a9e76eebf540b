"""What a weight gradient is made of: each linear layer's inputs and the gradients of its outputs, batch by batch.

For a layer with inputs a_t and output gradients g_t an example's weight gradient is the sum over its tokens of
g_t a_t^T. Linear layers and the Conv1D of GPT-2 have the same factors; only the weight lies the other way round.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import torch

from ..errors import EvidenceError, SettingError
from .activations import blocks_of
from .chat import Encoded
from .forward import answer_logits, length_batches
from .gradient_projection import linear_sites

Loss = Literal["answer", "sampled", "given"]


@dataclass(frozen=True)
class Pass:
    """How to go over rows.

    Args:
        pad_id: token that fills a batch up; it never counts.
        loss: `answer`: mean loss of the answer's tokens, whose gradient an influence is about. `sampled` and `given`:
            sum over the answer's L tokens over sqrt(L), with labels drawn from the model's own distribution or those
            that stand there. Drawn labels make the mean square of the gradient the Gauss-Newton curvature of `answer`.
        seed: of the drawn labels. A row's draws depend on the row and the seed, not on its batch.
        token_budget: rows x longest of a batch, at most (one row, or `together` rows, always fit).
        together: rows that stand one after the other and must share a batch; 2 for pairs.
        say: told (done, of) rows after each batch.
    """

    pad_id: int
    loss: Loss = "answer"
    seed: int = 0
    token_budget: int = 1024
    together: int = 1
    say: Callable[[int, int], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.loss not in ("answer", "sampled", "given"):
            raise SettingError(f"unknown loss {self.loss!r}. Known: answer, sampled, given.")
        if self.token_budget < 1 or self.together < 1:
            raise SettingError(
                f"token_budget and together must be at least 1, got {self.token_budget} and {self.together}."
            )


@dataclass(frozen=True)
class LayerFactors:
    """One batch of n rows, T tokens long. Padding is zero in both factors.

    Attributes:
        rows: indices of the n rows among those given.
        inputs: (n, T, in) by the first site that takes them; `taken` names it for every site. Layers that take the
            same tensor (queries, keys and values) share it.
        gradients: (n, T, out) by site, of the loss of each row's own tokens.
    """

    rows: list[int]
    inputs: dict[str, torch.Tensor]
    taken: dict[str, str]
    gradients: dict[str, torch.Tensor]

    def pairs(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """(site, inputs, gradients) of every site."""
        for site, gradients in self.gradients.items():
            yield site, self.inputs[self.taken[site]], gradients

    def to(self, dtype: torch.dtype) -> "LayerFactors":
        inputs = {name: a.to(dtype) for name, a in self.inputs.items()}
        return LayerFactors(self.rows, inputs, self.taken, {name: g.to(dtype) for name, g in self.gradients.items()})


def kronecker_sites(model: Any, top: float = 1.0) -> dict[str, torch.nn.Module]:
    """The linear layers in the last `top` share of the blocks, the adapter's where one is on; see `linear_sites`.

    Embeddings and the head are no sites, tied or not: they lie outside the blocks, and the covariance of a head's
    output gradients is as wide as the vocabulary. Raises SettingError for layers that share a weight.
    """
    if not 0 < top <= 1:
        raise SettingError(f"top must be in (0, 1], got {top}.")
    blocks = len(blocks_of(model))
    first = min(blocks - 1, int(blocks * (1 - top)))
    sites = {name: m for name, m in linear_sites(model).items() if int(name.split(".", 1)[0]) >= first}
    if not sites:
        raise SettingError("no linear layer lies in the chosen blocks. Raise `top`.")
    uses = Counter(id(m.weight) for m in sites.values())
    shared = [name for name, m in sites.items() if uses[id(m.weight)] > 1]
    if shared:
        raise SettingError(
            f"{len(shared)} of {len(sites)} layers share a weight, first {shared[:2]}; a shared weight has no "
            "Kronecker factors of its own. Lower `top` so that each weight occurs once."
        )
    return sites


def layer_factors(
    model: Any, rows: Sequence[Encoded], sites: dict[str, torch.nn.Module], settings: Pass
) -> Iterator[LayerFactors]:
    """Both factors of all sites, in the model's dtype, batch by batch; rows of like length share a batch.

    The graph begins at the first block that holds a site, so nothing below it is differentiated, and no weight
    gradient is formed. Raises EvidenceError, with the ids, for rows without an answer.
    """
    empty = [r.id for r in rows if r.answer_length < 1 or r.answer_start < 1]
    if empty:
        raise EvidenceError(
            f"{len(empty)} rows have no answer token with a token before it, first {empty[:3]}. Leave them out."
        )
    first = blocks_of(model)[min(int(name.split(".", 1)[0]) for name in sites)]
    size = settings.together
    longest = [max(len(r.tokens) for r in rows[i : i + size]) for i in range(0, len(rows), size)]
    done = 0
    for units in length_batches(longest, max(1, settings.token_budget // size)):
        chosen = [unit * size + i for unit in units for i in range(size)]
        yield _one_batch(model, [rows[i] for i in chosen], chosen, (first, sites), settings)
        done += len(chosen)
        if settings.say:
            settings.say(done, len(rows))


def _one_batch(
    model: Any, batch: list[Encoded], chosen: list[int], where: tuple[Any, dict[str, torch.nn.Module]], settings: Pass
) -> LayerFactors:
    first, sites = where
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    handles = [first.register_forward_pre_hook(_begin_graph, with_kwargs=True)]
    handles += [module.register_forward_hook(_keep(seen, name)) for name, module in sites.items()]
    try:
        with torch.enable_grad():
            loss = _loss(*answer_logits(model, batch, settings.pad_id), batch, settings)
            _refuse_unseen(sites, seen)
            gradients = torch.autograd.grad(loss, [out for _, out in seen.values()])
    finally:
        for handle in handles:
            handle.remove()
    first_taker: dict[int, str] = {}
    taken = {name: first_taker.setdefault(id(a), name) for name, (a, _) in seen.items()}
    lengths = torch.tensor([len(r.tokens) for r in batch])
    blank = (torch.arange(int(lengths.max()))[None] >= lengths[:, None]).to(loss.device)[:, :, None]
    padded = bool(blank.any())
    inputs = {name: seen[name][0].detach() for name in dict.fromkeys(taken.values())}
    if padded:  # set, not multiplied: some attention kernels leave NaN there
        inputs = {name: a.masked_fill(blank, 0) for name, a in inputs.items()}
    found = dict(zip(seen, (g.masked_fill(blank, 0) if padded else g for g in gradients), strict=True))
    return LayerFactors(chosen, inputs, taken, found)


def _loss(
    logits: torch.Tensor, targets: torch.Tensor, owner: torch.Tensor, batch: list[Encoded], settings: Pass
) -> torch.Tensor:
    """The sum over rows of each row's loss."""
    if settings.loss == "sampled":
        targets = _drawn(logits.detach(), batch, settings.seed)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    lengths = torch.tensor([float(r.answer_length) for r in batch], device=losses.device)
    return (losses / (lengths if settings.loss == "answer" else lengths.sqrt())[owner]).sum()


def _drawn(logits: torch.Tensor, batch: list[Encoded], seed: int) -> torch.Tensor:
    """Labels (m,) from softmax(logits) by its inverse distribution function, at points that only the row decides."""
    points = []
    for row in batch:
        digest = sha256(f"{row.id}|{','.join(map(str, row.tokens))}".encode()).digest()
        points.append(np.random.default_rng([seed, int.from_bytes(digest[:8], "big")]).random(row.answer_length))
    rising = torch.softmax(logits, -1).cumsum_(-1)
    at = torch.from_numpy(np.concatenate(points)).to(logits.device, torch.float32)[:, None] * rising[:, -1:]
    return torch.searchsorted(rising, at)[:, 0].clamp_(max=logits.shape[-1] - 1)


def _refuse_unseen(sites: dict[str, torch.nn.Module], seen: dict[str, Any]) -> None:
    missing = [name for name in sites if name not in seen]
    if missing:
        raise SettingError(f"the forward pass did not reach {len(missing)} of {len(sites)} layers, first {missing[0]}.")
    flat = [name for name, (a, out) in seen.items() if a.ndim != 3 or not out.requires_grad]
    if flat:
        raise SettingError(
            f"layer {flat[0]} takes a tensor of shape {tuple(seen[flat[0]][0].shape)}, not one vector for each token "
            "of each row (n, T, in); experts of a mixture do so. Attribute with representations instead."
        )


def _begin_graph(module: torch.nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    if args:
        return (args[0].detach().requires_grad_(), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": kwargs["hidden_states"].detach().requires_grad_()}


def _keep(seen: dict[str, tuple[torch.Tensor, torch.Tensor]], name: str) -> Any:
    def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        seen[name] = (inputs[0], output)

    return hook
