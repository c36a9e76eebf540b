"""The residual stream where a detector reads it, with gradients; and answers scored in the same forward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ...errors import SettingError
from ...subjects.activations import pool
from ...subjects.chat import Encoded
from ...subjects.forward import pad
from ...subjects.head import head_of, trunk_of
from ...subjects.sites import tensor_in, watching


@dataclass(frozen=True)
class Place:
    """Where a detector reads.

    Args:
        layers: block indices, ascending; the residual stream after each.
        position: `last` is the prompt's last token, `answer` the mean over the answer's tokens.
    """

    layers: tuple[int, ...]
    position: Literal["last", "answer"] = "last"

    def __post_init__(self) -> None:
        if not self.layers or self.layers[0] < 0 or list(self.layers) != sorted(set(self.layers)):
            raise SettingError(f"layers must be block indices from 0, ascending, each once, got {self.layers}.")
        if self.position not in ("last", "answer"):
            raise SettingError(f"unknown position {self.position!r}. Known: last, answer.")


@dataclass(frozen=True)
class Seen:
    """Residual rows of some items, (n, d) float32 tensors by layer: the subject's, and its base's where needed."""

    subject: Mapping[int, torch.Tensor]
    base: Mapping[int, torch.Tensor] = field(default_factory=dict)

    def detach(self) -> "Seen":
        return Seen(*({k: v.detach() for k, v in rows.items()} for rows in (self.subject, self.base)))

    def rows(self, difference: bool = False) -> dict[int, torch.Tensor]:
        """By layer, ascending; with `difference`, subject less base. Raises SettingError where the base is missing."""
        if not difference:
            return {k: self.subject[k] for k in sorted(self.subject)}
        if set(self.base) != set(self.subject):
            raise SettingError(
                f"rows of the base are needed at layers {sorted(self.subject)}, got {sorted(self.base)}. Set "
                "`needs_base` on the penalty."
            )
        return {k: self.subject[k] - self.base[k] for k in sorted(self.subject)}


@dataclass(frozen=True)
class Suffix:
    """Embedding vectors (n, k, d) that stand in each sequence from its own start on. Its tokens there count nothing."""

    vectors: torch.Tensor
    starts: tuple[int, ...]

    def put_into(self, embedded: torch.Tensor) -> torch.Tensor:
        """(n, T, d) with the vectors in place."""
        n, k, _ = self.vectors.shape
        rows = torch.arange(n, device=embedded.device)[:, None].expand(n, k)
        columns = torch.tensor(self.starts, device=embedded.device)[:, None] + torch.arange(k, device=embedded.device)
        return embedded.index_put((rows, columns), self.vectors.to(embedded.dtype))


@dataclass(frozen=True)
class Pass:
    """Of one batch: logits (m, vocabulary) float32 of its answer tokens, the tokens (m,), the sequence that each
    belongs to (m,), and residual rows (n, d) by layer."""

    logits: torch.Tensor
    targets: torch.Tensor
    owner: torch.Tensor
    rows: Mapping[int, torch.Tensor]

    @property
    def logprobs(self) -> torch.Tensor:
        """Mean log-probability of each sequence's answer tokens, (n,), nats per token."""
        picked = self.logits.gather(1, self.targets[:, None])[:, 0] - self.logits.logsumexp(dim=1)
        n = len(next(iter(self.rows.values())))
        sums = torch.zeros(n, device=picked.device).index_add(0, self.owner, picked)
        return sums / torch.bincount(self.owner, minlength=n)


def answer_pass(model: Any, batch: Sequence[Encoded], place: Place, pad_id: int, suffix: Suffix | None = None) -> Pass:
    """One forward pass over right-padded prompts with answers; the head sees the answers' positions only.

    With a suffix the model is given embeddings instead of token ids.
    """
    ids, mask = pad([e.tokens for e in batch], pad_id, "right", next(model.parameters()).device)
    inputs = {"input_ids": ids}
    if suffix is not None:
        inputs = {"inputs_embeds": suffix.put_into(model.get_input_embeddings()(ids))}
    rows: dict[int, torch.Tensor] = {}

    def see(layer: Any, value: Any) -> None:
        rows[layer] = _picked(tensor_in(layer, value, tuple(ids.shape)), mask, batch, place)

    with watching(model, place.layers, see):
        hidden = trunk_of(model)(**inputs, attention_mask=mask, use_cache=False)[0]
    owner = torch.cat([torch.full((e.answer_length,), i) for i, e in enumerate(batch)]).to(ids.device)
    columns = torch.cat([torch.arange(e.answer_start, len(e.tokens)) for e in batch]).to(ids.device)
    logits = head_of(model)(hidden[owner, columns - 1]).float()
    return Pass(logits, ids[owner, columns], owner, rows)


def _picked(hidden: torch.Tensor, mask: torch.Tensor, batch: Sequence[Encoded], place: Place) -> torch.Tensor:
    starts = torch.tensor([e.answer_start for e in batch], device=hidden.device)
    if place.position == "last":
        return hidden[torch.arange(len(batch), device=hidden.device), starts - 1].float()
    in_answer = mask.to(hidden.device) * (torch.arange(hidden.shape[1], device=hidden.device) >= starts[:, None])
    return pool(hidden.float(), in_answer, "mean")
