"""Look at a subject: what it says in a context, how likely that is elsewhere, and what goes on inside."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from ..subjects.generate import Decoding
from ..subjects.subject import Subject
from ..types import Activations, Context, Item, PairedActivations
from .memo import Memo, subject_key


def responses(subject: Subject, items: Sequence[Item], decoding: Decoding, memo: Memo) -> list[str]:
    """The subject's answers, in item order."""
    what = {
        "kind": "responses",
        "subject": subject_key(subject),
        "decoding": asdict(decoding),
        "items": [asked_as(i) for i in items],
    }
    return memo.json(what, lambda: subject.generate(items, decoding))


def total_logprobs(
    subject: Subject, items: Sequence[Item], answers: Sequence[str], memo: Memo, context: Context | None = None
) -> np.ndarray:
    """log p(answer) in nats, end-of-sequence included, in the item's own context or in the one given. Shape (n,)."""
    return _logprobs(subject, items, answers, memo, context)[:, 0]


def opening_logprobs(subject: Subject, items: Sequence[Item], openings: Sequence[str], memo: Memo) -> np.ndarray:
    """log p(the answer begins so) in nats. Shape (n,)."""
    return _logprobs(subject, items, openings, memo, None, closed=False)[:, 0]


def mean_logprobs(
    subject: Subject, items: Sequence[Item], answers: Sequence[str], memo: Memo, context: Context | None = None
) -> np.ndarray:
    """The same in nats per token."""
    seen = _logprobs(subject, items, answers, memo, context)
    return seen[:, 0] / seen[:, 1]


def _logprobs(
    subject: Subject,
    items: Sequence[Item],
    answers: Sequence[str],
    memo: Memo,
    context: Context | None,
    closed: bool = True,
) -> np.ndarray:
    if not items:
        return np.zeros((0, 2))
    pairs = [(i.request, context or i.context) for i in items]
    what = {
        "kind": "logprobs",
        "subject": subject_key(subject),
        "pairs": [asked_as(i) for i in items],
        "context": asdict(context) if context else None,
        "answers": list(answers),
        **({} if closed else {"closed": False}),
    }
    return np.array(memo.json(what, lambda: [[c.total, c.tokens] for c in subject.logprobs(pairs, answers, closed)]))


def paired_activations(
    subject: Subject, base: Subject, items: Sequence[Item], layers: Sequence[int], memo: Memo
) -> dict[int, PairedActivations]:
    """Residual stream at the prompt's last token, in the subject and in its base, by layer."""
    ours, theirs = activations(subject, items, layers, memo), activations(base, items, layers, memo)
    return {layer: PairedActivations(ours[layer], theirs[layer]) for layer in layers}


def activations(subject: Subject, items: Sequence[Item], layers: Sequence[int], memo: Memo) -> dict[int, Activations]:
    """Residual stream at the prompt's last token, by layer. Raises EvidenceError on NaN or infinity, with the ids."""
    what = {
        "kind": "activations",
        "subject": subject_key(subject),
        "layers": list(layers),
        "items": [asked_as(i) for i in items],
    }
    rows = memo.arrays(what, lambda: {str(k): v for k, v in subject.activations(items, layers).items()})
    ids = tuple(i.id for i in items)
    return {layer: Activations(rows[str(layer)], ids, layer, subject.step) for layer in layers}


def asked_as(item: Item) -> dict:
    context = asdict(item.context)
    return {"request": item.request.text, **{k: v for k, v in context.items() if k not in ("id", "origin")}}
