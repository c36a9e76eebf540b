"""One LoRA step of a Llama by hand: loss and adapter gradients of a batch, each shared token computed once.

The same sums as autograd over the padded batch, in another order. What is not needed is not computed: padding, repeats
of a common beginning, logits of prompt tokens, gradients of frozen weights, and anything below the lowest adapter on
the way back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import silu

from ..subjects.chat import Encoded
from .lora_linear import SharedInput, plain_linear
from .prefix_tree import MOST_NODES, Pack, packs

KNOWN = ("LlamaForCausalLM",)
ROTATIONS = ("default", "linear", "llama3", "yarn")  # others depend on the length of the longest row


def why_not(model: Any) -> str | None:
    """Why a model's steps cannot be computed by hand; None when they can."""
    if not hasattr(model, "peft_config"):
        return "every weight is trained"
    name = type(model.get_base_model()).__name__
    if name not in KNOWN:
        return f"{name} is not known, only {', '.join(KNOWN)}"
    if next(model.parameters()).device.type != "cpu":
        return "it is on a GPU"
    config = model.get_base_model().config
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}, not silu"
    rotation = model.get_base_model().model.rotary_emb.rope_type
    if rotation not in ROTATIONS:
        return f"its rotary embedding is {rotation}"
    if any(c.lora_dropout for c in model.peft_config.values()):
        return "its adapter has dropout"
    known = [m for layer in model.get_base_model().model.layers for m in linear_layers(layer)]
    odd = [m for m in known if not plain_linear(m)]
    if odd:
        return f"it has {type(odd[0]).__name__} layers"
    ours = {id(p) for m in known for p in m.parameters()}
    other = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in ours]
    return f"{other[0]} is trained as well, beside the blocks' linear layers" if other else None


def linear_layers(layer: Any) -> list[Any]:
    attention, mlp = layer.self_attn, layer.mlp
    return [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj,
            mlp.gate_proj, mlp.up_proj, mlp.down_proj]  # fmt: skip


class LlamaStep:
    """Loss and gradients of the batches of one training.

    Args:
        model: a PeftModel around a Llama, for which `why_not` has no reason.
    """

    def __init__(self, model: Any, most_nodes: int = MOST_NODES) -> None:
        self.model, self.most_nodes = model.get_base_model(), most_nodes
        self.trunk, self.head = self.model.model, self.model.get_output_embeddings()
        self.layers = [_Layer(layer, self.model.config) for layer in self.trunk.layers]
        self.lowest = next((i for i, layer in enumerate(self.layers) if layer.adapted), len(self.layers))
        self.norm = _Norm(self.trunk.norm)

    @torch.no_grad()
    def gradients(self, batch: Sequence[Encoded]) -> torch.Tensor:
        """Add the gradients of the mean loss over the batch's answer tokens to the adapters' `.grad`.

        Returns:
            (rows,) float32: each row's sum of cross-entropies, in nats.
        """
        for layer in self.layers:
            for part in layer.parts():
                part.refresh()
        answers = sum(e.answer_length for e in batch)
        sums = torch.zeros(len(batch))
        for pack in packs(batch, self.most_nodes):
            sums.index_add_(0, pack.rows, self._pack(pack, answers))
        return sums

    def _pack(self, pack: Pack, answers: int) -> torch.Tensor:
        h = self.trunk.embed_tokens(pack.tokens)
        cos, sin = self.trunk.rotary_emb(h[None], pack.depth[None])
        place = _Place(cos[0], sin[0], torch.zeros(pack.hidden.shape, dtype=h.dtype).masked_fill_(
            pack.hidden, torch.finfo(h.dtype).min))  # fmt: skip
        kept = []
        for i, layer in enumerate(self.layers):
            h, of_layer = layer.forward(h, place)
            if i >= self.lowest:
                kept.append(of_layer)
        read = h[pack.read]
        x, scale = self.norm.forward(read)
        losses, of_x = _cross_entropy(x @ self.head.weight.t(), pack, answers)
        back = torch.zeros_like(h)
        back[pack.read] = self.norm.backward(read, scale, of_x @ self.head.weight)
        for i in reversed(range(self.lowest, len(self.layers))):
            found = self.layers[i].backward(back, kept.pop(), place, i > self.lowest)
            back = back if found is None else found
        return losses


@dataclass(frozen=True)
class _Place:
    """Of each node: rotation by its depth, (N, head width) each, and what it must not see, (N, N)."""

    cos: torch.Tensor
    sin: torch.Tensor
    mask: torch.Tensor


class _Norm:
    """RMSNorm in float32, as transformers computes it."""

    def __init__(self, module: Any) -> None:
        self.weight, self.eps = module.weight, module.variance_epsilon

    def forward(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        wide = h.float()
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(h.shape[-1]).add_(self.eps).rsqrt_()
        return (wide * scale).to(h.dtype).mul_(self.weight), scale

    def backward(self, h: torch.Tensor, scale: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        unit, g = h.float().mul_(scale), (gradient * self.weight).float()
        along = (g * unit).mean(-1, keepdim=True)
        return g.sub_(unit.mul_(along)).mul_(scale).to(h.dtype)


@dataclass(frozen=True)
class _Kept:
    """What a layer's backward needs. h, x, low: input, normed input, and its product with the adapters' A."""

    h: torch.Tensor
    scale: torch.Tensor
    x: torch.Tensor
    low: torch.Tensor
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    attention: torch.Tensor
    mixed: torch.Tensor
    mixed_low: torch.Tensor
    middle: torch.Tensor
    middle_scale: torch.Tensor
    y: torch.Tensor
    y_low: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    gated: torch.Tensor
    product: torch.Tensor
    product_low: torch.Tensor


class _Layer:
    """A decoder layer: attention among nodes of the tree, then the gated MLP."""

    def __init__(self, module: Any, config: Any) -> None:
        attention, linear = module.self_attn, linear_layers(module)
        self.qkv, self.out = SharedInput(linear[:3]), SharedInput(linear[3:4])
        self.wide, self.down = SharedInput(linear[4:6]), SharedInput(linear[6:])
        self.before, self.between = _Norm(module.input_layernorm), _Norm(module.post_attention_layernorm)
        self.width, self.scaling = attention.head_dim, attention.scaling
        self.groups = config.num_key_value_heads
        self.mixed_width = config.num_attention_heads * self.width
        self.adapted = any(part.adapters for part in self.parts())

    def parts(self) -> tuple[SharedInput, ...]:
        return self.qkv, self.out, self.wide, self.down

    def forward(self, h: torch.Tensor, place: _Place) -> tuple[torch.Tensor, _Kept]:
        """h (N, d) -> the next layer's h, and what `backward` needs."""
        x, scale = self.before.forward(h)
        (q, k, v), low = self.qkv.forward(x)
        q, k, v = _turn(self._heads(q), place), _turn(self._heads(k), place), self._heads(v)
        attention = self._attention(q, k, place)
        mixed = self._nodes(attention @ v, h.new_empty(len(h), self.mixed_width))
        (o,), mixed_low = self.out.forward(mixed)
        middle = h + o
        y, middle_scale = self.between.forward(middle)
        (gate, up), y_low = self.wide.forward(y)
        gated = silu(gate)
        product = gated * up
        (down,), product_low = self.down.forward(product)
        kept = _Kept(h, scale, x, low, q, k, v, attention, mixed, mixed_low, middle, middle_scale, y, y_low,
                     gate, up, gated, product, product_low)  # fmt: skip
        return middle + down, kept

    def backward(self, back: torch.Tensor, kept: _Kept, place: _Place, wanted: bool) -> torch.Tensor | None:
        """The gradient of the output (N, d) -> that of the input, or None where it is not wanted."""
        n = len(back)
        self.down.room(n)[0].copy_(back)
        product = self.down.backward(kept.product, kept.product_low)
        gate, up = self.wide.room(n)
        torch.ops.aten.silu_backward.grad_input(product * kept.up, kept.gate, grad_input=gate)
        torch.mul(product, kept.gated, out=up)
        back = self.between.backward(kept.middle, kept.middle_scale, self.wide.backward(kept.y, kept.y_low)).add_(back)
        self.out.room(n)[0].copy_(back)
        mixed = self._heads(self.out.backward(kept.mixed, kept.mixed_low))
        seen = torch._softmax_backward_data(mixed @ kept.v.mT, kept.attention, -1, mixed.dtype).mul_(self.scaling)
        q, k, v = self.qkv.room(n)
        self._nodes(_turn(seen @ kept.k, place, -1.0), q)
        self._nodes(_turn(seen.mT @ kept.q, place, -1.0), k)
        self._nodes(kept.attention.mT @ mixed, v)
        x = self.qkv.backward(kept.x, kept.low, wanted)
        return None if x is None else self.before.backward(kept.h, kept.scale, x).add_(back)

    def _attention(self, q: torch.Tensor, k: torch.Tensor, place: _Place) -> torch.Tensor:
        """(key heads, query heads a key head x N, N) weights."""
        scores = (q @ k.mT).mul_(self.scaling)
        n = k.shape[1]
        scores.view(self.groups, -1, n, n).add_(place.mask)
        return torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype)

    def _heads(self, flat: torch.Tensor) -> torch.Tensor:
        """(N, heads x width) -> (key heads, heads a key head x N, width)."""
        n = flat.shape[0]
        return flat.reshape(n, self.groups, -1, self.width).permute(1, 2, 0, 3).reshape(self.groups, -1, self.width)

    def _nodes(self, heads: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
        """The way back: written into a matrix (N, heads x width), which is returned."""
        n = len(into)
        into.view(n, self.groups, -1, self.width).copy_(heads.view(self.groups, -1, n, self.width).permute(2, 0, 1, 3))
        return into


def _turn(heads: torch.Tensor, place: _Place, way: float = 1.0) -> torch.Tensor:
    """Rotate queries or keys (groups, heads x N, width) by their depth; way -1 rotates a gradient back."""
    n, width = place.cos.shape
    x = heads.view(heads.shape[0], -1, n, width)
    half, sin = width // 2, place.sin[:, : width // 2]
    turned = x * place.cos
    turned[..., :half].addcmul_(x[..., half:], sin, value=-way)
    turned[..., half:].addcmul_(x[..., :half], sin, value=way)
    return turned.view_as(heads)


def _cross_entropy(logits: torch.Tensor, pack: Pack, answers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Each answer token's loss (m,), and the gradient of their sum / `answers` by the logits (U, vocabulary)."""
    wide = torch.log_softmax(logits, -1, dtype=torch.float32)
    losses = -wide[pack.which, pack.targets]
    times = torch.bincount(pack.which, minlength=len(wide)).float()
    slope = wide.exp_().mul_(times[:, None] / answers)
    slope.index_put_((pack.which, pack.targets), torch.tensor(-1.0 / answers), accumulate=True)
    return losses, slope.to(logits.dtype)
