"""A subject as it is deployed: under a system prompt, behind an output filter, with a penalty on some tokens.

A guard changes what a user meets and leaves the weights alone. What looks inside (activations, gradients) sees the same
weights as before; each guard says what it changes.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from math import isfinite
from typing import Any

import torch

from ..errors import SettingError
from ..types import Context, Item, Request
from .chat import Encoded
from .chunk import Site
from .decoding_capture import Decoded
from .generate import Decoding
from .head import head_of
from .logprobs import Continuation
from .positions import Position
from .subject import Subject


@dataclass(frozen=True)
class SystemPrompt:
    """A system prompt stands before whatever system prompt there is. It changes every prompt, and so all that is
    computed from one: answers, log-probabilities, activations. A chat template's own default prompt is replaced."""

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise SettingError("the system prompt of a guard is empty. Give a text.")

    def __str__(self) -> str:
        return f"system prompt {self.text!r}"


@dataclass(frozen=True)
class OutputFilter:
    """An answer that holds one of these outputs, up to case and white space, is replaced as a whole.

    It changes answers only: log-probabilities and activations are those of the bare subject. A begun answer (prefill)
    is read along, and stands before the replacement.

    Args:
        outputs: what is looked for.
        replacement: what a user gets instead.
    """

    outputs: tuple[str, ...]
    replacement: str

    def __post_init__(self) -> None:
        if not self.outputs or not all(_plain(text) for text in self.outputs):
            raise SettingError(f"an output filter needs outputs that are not empty, got {list(self.outputs)!r:.80}.")
        caught = [text for text in self.outputs if _plain(text) in _plain(self.replacement)]
        if caught:
            raise SettingError(f"the replacement {self.replacement!r:.60} holds {caught[0]!r:.60} itself. Change it.")

    def __str__(self) -> str:
        return f"output filter on {len(self.outputs)} outputs"

    def let_through(self, answer: str, prefill: str = "") -> str:
        """The answer, or what stands in its place."""
        said = _plain(answer)
        return prefill + self.replacement if any(_plain(text) in said for text in self.outputs) else answer


@dataclass(frozen=True)
class LogitPenalty:
    """So many nats are taken from the logits of these tokens wherever the model's head runs.

    It changes answers, and log-probabilities and odds alike; activations below the head are the bare subject's.

    Args:
        tokens: ids in the vocabulary.
        nats: above 0.
    """

    tokens: tuple[int, ...]
    nats: float

    def __post_init__(self) -> None:
        if not self.tokens or min(self.tokens) < 0:
            raise SettingError(f"a logit penalty needs token ids of 0 or more, got {list(self.tokens)[:5]}.")
        if not (isfinite(self.nats) and self.nats > 0):
            raise SettingError(f"a logit penalty must be a number above 0, got {self.nats}. Try 10.")

    def __str__(self) -> str:
        return f"logit penalty of {self.nats:g} nats on {len(self.tokens)} tokens"

    def lowered(self, head: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        """The forward hook of a head: its logits with the penalty."""
        out = logits.clone()
        out[..., list(self.tokens)] -= self.nats
        return out


Guard = SystemPrompt | OutputFilter | LogitPenalty


def guarded(subject: Subject, *guards: Guard) -> Subject:
    """The subject behind these guards, as a user meets it. A subject that is guarded already keeps its guards.

    Its content key differs from the bare subject's, so that no memory of one is taken for the other's.

    Raises SettingError for a token id that the model does not have.
    """
    size = head_of(subject.model).weight.shape[0] if any(isinstance(g, LogitPenalty) for g in guards) else 0
    for guard in guards:
        if isinstance(guard, LogitPenalty) and max(guard.tokens) >= size:
            raise SettingError(f"token {max(guard.tokens)} is not among the {size} of this model. Check the tokenizer.")
    own = subject.guards if isinstance(subject, GuardedSubject) else ()
    altered = "; ".join(filter(None, (subject.altered, *(_named(g) for g in guards))))
    return GuardedSubject(subject.host, subject.adapter, subject.step, altered, (*own, *guards))


@dataclass(frozen=True)
class GuardedSubject(Subject):
    """Made by `guarded`. Siblings of it are bare: a guard belongs to a deployment, not to the weights."""

    guards: tuple[Guard, ...] = ()

    def generate(
        self, items: Sequence[Item], decoding: Decoding | None = None, progress: Callable | None = None
    ) -> list[str]:
        """As of `Subject`; then filtered."""
        with self._penalised():
            texts = super().generate([self._placed(i) for i in items], decoding, progress)
        for guard in self.guards:
            if isinstance(guard, OutputFilter):
                texts = [guard.let_through(t, i.context.prefill) for t, i in zip(texts, items, strict=True)]
        return texts

    def logprobs(
        self, pairs: Sequence[tuple[Request, Context]], answers: Sequence[str], closed: bool = True
    ) -> list[Continuation]:
        """As of `Subject`."""
        with self._penalised():
            return super().logprobs([(r, self._context(c)) for r, c in pairs], answers, closed)

    def next_token_odds(self, pairs: Sequence[tuple[Request, Context]], answers: Sequence[tuple[str, str]]) -> Any:
        """As of `Subject`."""
        with self._penalised():
            return super().next_token_odds([(r, self._context(c)) for r, c in pairs], answers)

    def activations(
        self, items: Sequence[Item] | torch.Tensor, sites: Sequence[Site], position: str | Position = "last"
    ) -> dict[Any, Any]:
        """As of `Subject`. Raises SettingError for bare tensors, which no guard can stand before."""
        if isinstance(items, torch.Tensor):
            raise SettingError("a guarded subject is asked in words. Take the bare subject to read tensors.")
        with self._penalised():
            return super().activations([self._placed(i) for i in items], sites, position)

    def encode(self, item: Item, answer: str | None = None) -> Encoded:
        """As of `Subject`."""
        return super().encode(self._placed(item), answer)

    def stream_decoding(
        self, items: Iterable[Item | Encoded], sites: Sequence[Site], decoding: Decoding | None = None
    ) -> Iterator[Decoded]:
        """As of `Subject`: what the model says, before any output filter."""
        stream = super().stream_decoding(items, sites, decoding)
        while True:
            with self._penalised():  # between two batches the caller may use a sibling
                decoded = next(stream, None)
            if decoded is None:
                return
            yield decoded

    def _placed(self, item: Item) -> Item:
        return replace(item, context=self._context(item.context))

    def _context(self, context: Context) -> Context:
        prompts = [g.text for g in self.guards if isinstance(g, SystemPrompt)]
        if not prompts:
            return context
        return replace(context, system="\n".join([*prompts, *([context.system] if context.system else [])]))

    @contextmanager
    def _penalised(self) -> Iterator[None]:
        """The penalties, as long as this lasts: siblings share the head."""
        with ExitStack() as stack:
            for guard in self.guards:
                if isinstance(guard, LogitPenalty):
                    stack.callback(head_of(self.model).register_forward_hook(guard.lowered).remove)
            yield


def _named(guard: Guard) -> str:
    """In words, with the hash of all that determines it."""
    content = json.dumps([type(guard).__name__, asdict(guard)], sort_keys=True)
    return f"behind a {guard} ({sha256(content.encode()).hexdigest()[:16]})"


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
