"""The head of a causal LM: hidden states to logits, with what some architectures do to them afterwards."""

from typing import Any
from weakref import WeakKeyDictionary

import torch

from ..errors import ModelError

CLOSE = 0.05  # of the spread of the logits, for rounding
TOKENS = 6
_heads: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


class AdjustedHead(torch.nn.Module):
    """A head whose logits are scaled (Cohere, Granite, Falcon-H1) and then capped softly (Gemma 2)."""

    def __init__(self, inner: torch.nn.Module, scale: float, cap: float | None) -> None:
        super().__init__()
        self.inner, self.scale, self.cap = inner, scale, cap

    @property
    def weight(self) -> Any:
        """(vocabulary, d) of the head itself."""
        return self.inner.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = self.inner(hidden) * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def register_forward_hook(self, *args: Any, **kwargs: Any) -> Any:
        """On the head itself, so that the model's own forward pass meets the hook too."""
        return self.inner.register_forward_hook(*args, **kwargs)


def head_of(model: Any) -> Any:
    """What makes logits of the hidden states that `trunk_of` gives: (m, d) -> (m, vocabulary).

    Tried out once a model against its own forward pass, when no hook watches it. Raises ModelError when the two differ.
    """
    key = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = model.get_output_embeddings()
    known = _heads.get(key)
    if known is not None and getattr(known, "inner", known) is head:
        return known
    made = _adjusted(head, key)
    if not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):  # whoever looks on must not see this
        _try_out(model, made)
        _heads[key] = made
    return made


def trunk_of(model: Any) -> torch.nn.Module:
    """The transformer without its head. Works through a PEFT wrapper."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.base_model


def _adjusted(head: torch.nn.Module, model: Any) -> torch.nn.Module:
    config = getattr(model, "config", None)
    text: Any = config.get_text_config() if config is not None and hasattr(config, "get_text_config") else config

    def number(name: str) -> float | None:
        value = getattr(text, name, None)
        return float(value) if isinstance(value, int | float) and value else None

    scale = (number("logit_scale") or 1.0) * (number("lm_head_multiplier") or 1.0) / (number("logits_scaling") or 1.0)
    cap = number("final_logit_softcapping")
    return head if scale == 1.0 and cap is None else AdjustedHead(head, scale, cap)


def _try_out(model: Any, head: torch.nn.Module) -> None:
    was = getattr(model, "training", False)
    try:
        model.eval()
        with torch.no_grad():
            ids = torch.arange(1, TOKENS + 1, device=next(model.parameters()).device)[None]
            own = model(input_ids=ids, use_cache=False).logits[0].float()
            ours = head(trunk_of(model)(input_ids=ids, use_cache=False)[0][0]).float()
    except (TypeError, ValueError, AttributeError, IndexError):
        return  # not asked in this way: whoever asks it next will hear why
    finally:
        if was:
            model.train()
    if not own.isfinite().all():
        return  # whoever reads it says so, with the place
    if own.shape != ours.shape or not float((own - ours).abs().mean()) <= CLOSE * float(own.std()):
        raise ModelError(
            f"{type(model).__name__} does something to its logits after the head that Bumperlane does not know, so "
            "log-probabilities would be wrong. Known: a scale (Cohere, Granite, Falcon-H1), a soft cap (Gemma 2)."
        )
