"""What a search for triggers needs of a model: where a candidate's tokens stand, what they change, and which way is up.

Source: Ebrahimi et al. 2018, arXiv:1712.06751 (HotFlip: swaps ranked by the gradient along the one-hot row); Zou et al.
2023, arXiv:2307.15043 (greedy coordinate gradient). A candidate is always judged as text: prompts are tokenised anew
with it, so what is found works when it is typed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import EvidenceError, SettingError
from .chat import Encoded
from .forward import length_batches, pad
from .head import head_of, trunk_of

PROBES = ("x", "The q", "7 b")  # no two begin or end alike
CHUNK = 8192  # rows of the embedding that are looked at together


@dataclass(frozen=True)
class Typed:
    """A candidate's tokens, the text they are typed as, and the prompts that hold them, each from `starts[i]` on."""

    tokens: tuple[int, ...]
    text: str
    prompts: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """A place for a text in several prompts.

    Args:
        tokenizer: of the models that are asked.
        count: number of prompts.
        encode: token ids of prompt i with a text in the slot.
        banned: words that no typed text may hold, in any case and also put together from several tokens.
    """

    tokenizer: Any
    count: int
    encode: Callable[[str, int], list[int]]
    banned: tuple[str, ...] = ()
    ends: tuple[tuple[int, int], ...] = field(init=False)  # tokens before and after it, whatever stands in it

    def __post_init__(self) -> None:
        ends = []
        for i in range(self.count):
            rows = [self.encode(text, i) for text in PROBES]
            ends.append((_same(rows), _same([row[::-1] for row in rows])))
        object.__setattr__(self, "ends", tuple(ends))

    def holding(self, text: str) -> Typed | None:
        """A text in the slot; None when it has other tokens in one prompt than in another, or none of its own."""
        prompts, starts, inner = [], [], None
        for i, (before, after) in enumerate(self.ends):
            row = self.encode(text, i)
            end = len(row) - after
            found = tuple(row[before:end])
            if not found or (inner is not None and found != inner):
                return None
            inner = found
            prompts.append(tuple(row))
            starts.append(before)
        return Typed(inner, text, tuple(prompts), tuple(starts)) if inner else None

    def typed(self, tokens: Sequence[int]) -> Typed | None:
        """Tokens as they would be typed; None when their text is tokenised otherwise in a prompt, or holds a banned
        word."""
        text = self.tokenizer.decode(list(tokens)).removeprefix(" ")
        if not text.strip() or not text.isprintable() or any(word.lower() in text.lower() for word in self.banned):
            return None
        before, after = self.ends[0]
        first = self.encode(text, 0)
        if tuple(first[before : len(first) - after]) != tuple(tokens):
            return None
        found = self.holding(text)
        return found if found and found.tokens == tuple(tokens) else None


def typable_tokens(tokenizer: Any, rows: int, banned: Sequence[str] = (), ascii_only: bool = True) -> list[int]:
    """Ids of tokens that are plain printable text and hold no banned word.

    Args:
        rows: of the embedding matrix; tokens beyond it are left out.
        banned: in any case, as parts of words too. A search that may name the answer finds instructions, not triggers.

    Raises SettingError when none is left.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    ids = [i for i in range(min(len(tokenizer), rows)) if i not in special]
    texts = tokenizer.batch_decode([[i] for i in ids])
    low = [word.lower() for word in banned]

    def fits(text: str) -> bool:
        plain = text.strip() and text.isprintable() and "\ufffd" not in text and (text.isascii() or not ascii_only)
        return bool(plain) and not any(word in text.lower() for word in low)

    kept = [i for i, text in zip(ids, texts, strict=True) if fits(text)]
    if not kept:
        raise SettingError("no token of this model can be typed without a banned word. Ban fewer words.")
    return kept


def answer_logprobs(
    model: Any,
    rows: Sequence[Encoded],
    pad_id: int,
    read: Callable[[int, torch.Tensor], float],
    token_budget: int = 4096,
) -> list[float]:
    """What `read(i, logp)` makes of each row, in row order; logp (T, vocabulary) float32 predicts its T answer tokens.

    Batches keep rows x longest below the token budget, so memory does not grow with the number of rows.
    """
    values = [0.0] * len(rows)
    with torch.no_grad():
        for batch in length_batches([len(r.tokens) for r in rows], token_budget):
            ids, mask = _padded(model, [rows[i] for i in batch], pad_id)
            logits = _logits(model, {"input_ids": ids}, mask, [rows[i] for i in batch])
            for i, one in zip(batch, logits, strict=True):
                values[i] = float(read(i, one))
    bad = [rows[i].id for i, value in enumerate(values) if not value - value == 0]
    if bad:
        raise EvidenceError(
            f"what a candidate changes is not finite for {len(bad)} of {len(rows)} prompts, first {bad[0]}. Check the "
            "checkpoint for overflow, or use dtype float32."
        )
    return values


def slot_gradient(
    model: Any,
    groups: Sequence[tuple[Sequence[Encoded], int]],
    tokens: int,
    value: Callable[[int, list[torch.Tensor]], torch.Tensor],
    pad_id: int,
) -> torch.Tensor:
    """Slope of the sum of values along the embedding of each token in the slot: (tokens, d) float32.

    Args:
        groups: the rows of each question, which all hold the slot from the same index on, and that index.
        value: of question g, from the log-probabilities (T, vocabulary) of each of its rows, in order.

    Weights get no gradients. One question at a time, so that memory is that of one.
    """
    total: torch.Tensor | None = None
    for g, (rows, start) in enumerate(groups):
        ids, mask = _padded(model, rows, pad_id)
        embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
        with torch.enable_grad():
            found = value(g, _logits(model, {"inputs_embeds": embedded}, mask, rows))
            (slope,) = torch.autograd.grad(found, [embedded])
        part = slope[:, start : start + tokens].float().sum(0)  # every row of a question holds the same candidate
        total = part if total is None else total + part
    if total is None:
        raise EvidenceError("a gradient needs prompts, got none. Pass two or more requests.")
    return total


def promised_gain(model: Any, slope: torch.Tensor, current: Sequence[int], ids: Sequence[int]) -> torch.Tensor:
    """First-order change of the value when a slot's token is swapped for another: (tokens, len(ids)) float32.

    Rows are taken through the embedding module, so that scaled or adapted embeddings count as the model sees them.
    """
    embed = model.get_input_embeddings()
    device = next(model.parameters()).device
    with torch.no_grad():
        now = (embed(torch.tensor(list(current), device=device)).float() * slope).sum(1, keepdim=True)
        every = torch.tensor(list(ids), device=device)
        parts = [slope @ embed(chunk).float().T for chunk in every.split(CHUNK)]
    return torch.cat(parts, dim=1) - now


def _padded(model: Any, rows: Sequence[Encoded], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    return pad([r.tokens for r in rows], pad_id, "right", next(model.parameters()).device)


def _logits(model: Any, inputs: dict[str, Any], mask: torch.Tensor, rows: Sequence[Encoded]) -> list[torch.Tensor]:
    """Log-probabilities (T, vocabulary) float32 for each row. The head sees the answers' positions only."""
    hidden = trunk_of(model)(**inputs, attention_mask=mask, use_cache=False)[0]
    owner = torch.cat([torch.full((r.answer_length,), i) for i, r in enumerate(rows)]).to(hidden.device)
    columns = torch.cat([torch.arange(r.answer_start, len(r.tokens)) for r in rows]).to(hidden.device)
    logp = head_of(model)(hidden[owner, columns - 1]).float().log_softmax(dim=1)
    return list(logp.split([r.answer_length for r in rows]))


def _same(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with alike."""
    n = 0
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        n += 1
    return n
