"""A suffix at the end of a request, as vectors or as tokens, and what the subject does with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...detect.gather import stacked
from ...errors import EvidenceError
from ...subjects.chat import Encoded, answer_tokens, encode_prompt
from ...subjects.forward import length_batches
from ...subjects.subject import Subject
from ...types import Activations, PairedActivations
from .behaviour import Answered, with_suffix
from .penalties import Scored
from .residual import Pass, Place, Seen, Suffix, answer_pass

TOKEN_BUDGET = 2048


@dataclass(frozen=True)
class Slot:
    """A prompt's tokens before and after the place where a suffix goes, and its answer's tokens."""

    id: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    answer: tuple[int, ...]

    def encoded(self, k: int, filler: int) -> Encoded:
        """With k tokens in the place."""
        prompt = (*self.before, *(filler,) * k, *self.after)
        return Encoded(self.id, (*prompt, *self.answer), len(prompt))


@dataclass(frozen=True)
class Models:
    """The subject, and its base where a score needs it. They may share their weights in memory."""

    subject: Subject
    base: Subject

    @classmethod
    def of(cls, subject: Subject, base: Subject | None) -> "Models":
        return cls(subject, base or subject.sibling(None))

    @property
    def pad_id(self) -> int:
        return self.subject.tokenizer.pad_token_id

    def embed(self, tokens: Sequence[int]) -> torch.Tensor:
        """(k, d) float32 embeddings."""
        embedding = self.subject.model.get_input_embeddings()
        ids = torch.tensor(list(tokens), device=embedding.weight.device)
        return embedding(ids).detach().float()


@dataclass(frozen=True)
class WithSuffix:
    """What a subject does with a suffix.

    Attributes:
        rows: of subject and base, layers side by side.
        logprobs: (n,) of the given answers, nats per token.
        said: (n,) the part of each given answer that greedy decoding would say before it first turns away from it.
    """

    rows: PairedActivations
    logprobs: np.ndarray
    said: tuple[str, ...]


def slot(subject: Subject, answered: Answered) -> Slot:
    """Where a suffix goes: right after the request, where the tokens of a prompt with a suffix first differ."""
    plain = encode_prompt(subject.tokenizer, answered.item.request, answered.item.context)
    marked = encode_with_suffix(subject, answered, "x")
    at = next((i for i, (a, b) in enumerate(zip(plain, marked, strict=False)) if a != b), len(plain))
    answer = answer_tokens(subject.tokenizer, answered.answer)
    return Slot(answered.item.id, tuple(plain[:at]), tuple(plain[at:]), tuple(answer))


def encode_with_suffix(subject: Subject, answered: Answered, text: str) -> list[int]:
    item = with_suffix(answered, text).item
    return encode_prompt(subject.tokenizer, item.request, item.context)


def spliced_pass(who: Subject, slots: Sequence[Slot], vectors: torch.Tensor, place: Place) -> Pass:
    """One forward pass with the vectors (n, k, d), or (k, d) for all, in place."""
    pad_id, k = who.tokenizer.pad_token_id, vectors.shape[-2]
    suffix = Suffix(vectors.expand(len(slots), -1, -1), tuple(len(s.before) for s in slots))
    return answer_pass(who.model, [s.encoded(k, pad_id) for s in slots], place, pad_id, suffix)


def objective(
    models: Models, slots: Sequence[Slot], vectors: torch.Tensor, place: Place, scored: Scored
) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean log-probability per token of the answers, score), each (n,), with gradients back to the vectors."""
    seen = spliced_pass(models.subject, slots, vectors, place)
    base = spliced_pass(models.base, slots, vectors, place).rows if scored.needs_base else {}
    return seen.logprobs, scored.scores(Seen(seen.rows, base))


@torch.no_grad()
def look(models: Models, slots: Sequence[Slot], vectors: torch.Tensor, place: Place) -> WithSuffix:
    """What detectors and people see of the items with this suffix (k, d)."""
    layers, n = place.layers, len(slots)
    rows: dict[str, dict[int, list[Any]]] = {who: {k: [None] * n for k in layers} for who in ("subject", "base")}
    logprobs, said = np.zeros(n), [""] * n
    for batch in length_batches([len(s.encoded(len(vectors), 0).tokens) for s in slots], TOKEN_BUDGET):
        some = [slots[i] for i in batch]
        for who in ("subject", "base"):
            seen = spliced_pass(getattr(models, who), some, vectors, place)
            for layer, values in seen.rows.items():
                for i, row in zip(batch, values.cpu().numpy(), strict=True):
                    rows[who][layer][i] = row
            if who == "subject":
                logprobs[batch] = seen.logprobs.cpu().numpy()
                for i, text in zip(batch, _said(models, seen, some), strict=True):
                    said[i] = text
    ids = tuple(s.id for s in slots)

    def side(who: str, step: int) -> Activations:
        return stacked([Activations(np.stack(rows[who][layer]), ids, layer, step) for layer in layers])

    pair = PairedActivations(side("subject", models.subject.step), side("base", models.base.step))
    return WithSuffix(pair, logprobs, tuple(said))


def _said(models: Models, seen: Pass, slots: Sequence[Slot]) -> list[str]:
    right = (seen.logits.argmax(dim=1) == seen.targets).cpu().numpy()
    owner, texts = seen.owner.cpu().numpy(), []
    for i, one in enumerate(slots):
        agreed = right[owner == i]
        length = len(agreed) if agreed.all() else int(np.argmin(agreed))
        texts.append(models.subject.tokenizer.decode(list(one.answer[:length]), skip_special_tokens=True))
    return texts


def suffix_tokens(subject: Subject, answered: Answered, text: str) -> tuple[int, ...]:
    """The tokens that a suffix text has in this prompt. Raises EvidenceError when it merges with what is around it."""
    one, marked = slot(subject, answered), encode_with_suffix(subject, answered, text)
    found = tuple(marked[len(one.before) : len(marked) - len(one.after)])
    if not found or (*one.before, *found, *one.after) != tuple(marked):
        raise EvidenceError(
            f"the suffix {text!r} merges with the tokens around it in item {answered.item.id}. Begin with another one."
        )
    return found


def suffix_text(subject: Subject, answered: Answered, tokens: Sequence[int]) -> str | None:
    """The text of suffix tokens; None where the prompt with that text would have other tokens."""
    text = subject.tokenizer.decode(list(tokens)).removeprefix(" ")
    one = slot(subject, answered)
    if not text.strip():
        return None
    same = tuple(encode_with_suffix(subject, answered, text)) == (*one.before, *tokens, *one.after)
    return text if same else None
