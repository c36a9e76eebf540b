"""Search inputs, at fixed weights, that keep the behaviour and lower a detector's score."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import torch

from ...errors import EvidenceError, SettingError
from ...subjects.forward import length_batches
from ...subjects.subject import Subject
from .behaviour import Answered
from .penalties import Scored
from .residual import Place
from .splice import TOKEN_BUDGET, Models, Slot, objective, slot, suffix_text, suffix_tokens

BLOCK = 8192  # tokens whose embeddings are held at once


@dataclass(frozen=True)
class Attempt:
    """One suffix that was tried: mean over the baits.

    Attributes:
        passes: sequences that had gone through the subject by then, this one included.
        logprob: of the bad answers, nats per token.
        score: of the detector's surrogate.
        objective: logprob - weight x score; the search raises it.
        kept: whether none before had a higher objective.
        tokens, text: of the suffix; empty for vectors.
    """

    passes: int
    logprob: float
    score: float
    objective: float
    kept: bool
    tokens: tuple[int, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class FoundSuffix:
    """The best suffix, and all that was tried.

    Attributes:
        vectors: its embeddings (k, d).
        start, found: how the first suffix and this one did on all baits.
        attempts: in order. Vectors are tried on a batch of baits a step, tokens on all.
    """

    vectors: np.ndarray
    start: Attempt
    found: Attempt
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class SoftSuffix:
    """Vectors after the request, moved by gradient: what no typed text need reach, so an upper bound for suffixes.

    Args:
        tokens: how many vectors.
        steps: of Adam, each on `batch` baits in turn.
        lr: in units of the embeddings' root mean square.
        weight: of the score, in nats of log-probability per unit.
        seed: of the tokens whose embeddings it starts from.
    """

    tokens: int = 8
    steps: int = 40
    batch: int = 8
    lr: float = 0.1
    weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.tokens, self.steps, self.batch) < 1 or self.weight < 0 or not self.lr > 0:
            raise SettingError(
                f"need tokens, steps and batch from 1, weight from 0 and lr above 0, got {self.tokens}, {self.steps}, "
                f"{self.batch}, {self.weight} and {self.lr}."
            )


@dataclass(frozen=True)
class TokenSwaps:
    """Tokens after the request, swapped one at a time where the gradient promises most, and tried exactly.

    Source: greedy coordinate gradient, Zou et al. 2023, arXiv:2307.15043; kept only when the objective rises, on all
    baits together, and only suffixes whose text has these very tokens.

    Args:
        begin: the text it starts from; it has one token or more.
        candidates: tokens by place that the gradient ranks highest.
        tries: swaps tried exactly a round, drawn from those.
        passes: sequences that may go through the subject. A suffix on n baits costs n, a gradient n.
        weight: of the score, in nats of log-probability per unit.
        seed: of the draw.
    """

    begin: str = "! ! ! ! ! ! ! !"
    candidates: int = 32
    tries: int = 16
    passes: int = 1000
    weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.begin.strip() or min(self.candidates, self.tries, self.passes) < 1 or self.weight < 0:
            raise SettingError(
                f"need a text to begin with, candidates, tries and passes from 1 and weight from 0, got "
                f"{self.begin!r}, {self.candidates}, {self.tries}, {self.passes} and {self.weight}."
            )


def find_soft_suffix(
    subject: Subject, baits: Sequence[Answered], scored: Scored, place: Place, settings: SoftSuffix,
    base: Subject | None = None,
) -> FoundSuffix:  # fmt: skip
    """The best on all baits of three: the first vectors, the last ones, and those that did best on their batch.

    Args:
        baits: with the bad answers that shall stay likely. One suffix is made for all.
        scored: what to lower: `surrogate_of` a fitted detector, or a refitted penalty.
        base: the subject's base, where the score needs it; by default the subject without its adapter.
    """
    search = _Search(Models.of(subject, base), _slots(subject, baits), scored, place, settings.weight)
    rng = Random(f"soft-suffix/{settings.seed}")
    ordinary = _ordinary(subject)
    start = search.models.embed([rng.choice(ordinary) for _ in range(settings.tokens)])
    scale = float(search.models.embed(rng.sample(ordinary, min(1000, len(ordinary)))).square().mean().sqrt())
    vectors = start.clone().requires_grad_()
    adam = torch.optim.Adam([vectors], lr=settings.lr * scale)
    order = list(range(len(search.slots)))
    rng.shuffle(order)
    best, n = start, min(settings.batch, len(order))
    for step in range(settings.steps):
        batch = [search.slots[order[(step * n + i) % len(order)]] for i in range(n)]
        logprobs, scores = objective(search.models, batch, vectors, place, scored)
        if search.log(logprobs, scores).kept:
            best = vectors.detach().clone()
        (slope,) = torch.autograd.grad(-search.gain(logprobs, scores).mean(), [vectors])
        vectors.grad = slope
        adam.step()
    tried = tuple(search.attempts)
    ends = [(at, search.on_all(at)) for at in (start, best, vectors.detach())]
    found = max(ends, key=lambda end: end[1].objective)
    return FoundSuffix(found[0].cpu().numpy(), ends[0][1], found[1], tried)


def find_token_swaps(
    subject: Subject, baits: Sequence[Answered], scored: Scored, place: Place, settings: TokenSwaps,
    base: Subject | None = None,
) -> FoundSuffix:  # fmt: skip
    """The best suffix of tokens within the budget, and every one that was tried, in order. Args as above.

    Raises EvidenceError when the first suffix merges with the prompt's tokens, or the budget allows no swap.
    """
    search = _Search(Models.of(subject, base), _slots(subject, baits), scored, place, settings.weight)
    n, rng, allowed = len(baits), Random(f"token-swaps/{settings.seed}"), _ordinary(subject)
    if settings.passes < 3 * n:
        raise EvidenceError(
            f"{settings.passes} passes allow no swap: the first suffix, its gradient and one swap take {3 * n} on {n} "
            "baits. Raise passes, or pass fewer baits."
        )
    tokens = suffix_tokens(subject, baits[0], settings.begin)
    best = search.on_all(search.models.embed(tokens), tokens, settings.begin)
    known = {tokens}
    while search.passes + 2 * n <= settings.passes:
        ranked = search.ranked(best.tokens, allowed, settings.candidates)
        swaps = [(at, token) for at, row in enumerate(ranked) for token in row]
        rng.shuffle(swaps)
        tried, start = 0, best.tokens
        for at, token in swaps:
            if tried == settings.tries or search.passes + n > settings.passes:
                break
            swapped = (*start[:at], token, *start[at + 1 :])
            text = None if swapped in known else suffix_text(subject, baits[0], swapped)
            if text is None:
                continue
            known.add(swapped)
            attempt = search.on_all(search.models.embed(swapped), swapped, text)
            best, tried = (attempt if attempt.kept else best), tried + 1
        if not tried:
            break  # no swap that the gradient names can be typed, or all were tried
    vectors = search.models.embed(best.tokens).cpu().numpy()
    return FoundSuffix(vectors, search.attempts[0], best, tuple(search.attempts))


@dataclass
class _Search:
    """What was tried so far, on which baits, against which score."""

    models: Models
    slots: Sequence[Slot]
    scored: Scored
    place: Place
    weight: float
    attempts: list[Attempt] = field(default_factory=list)
    passes: int = 0

    def gain(self, logprobs: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return logprobs - self.weight * scores

    def log(self, logprobs: torch.Tensor, scores: torch.Tensor, tokens: Sequence[int] = (), text: str = "") -> Attempt:
        """Note an attempt on some baits. Raises EvidenceError when its objective is not finite."""
        self.passes += len(logprobs)
        value = float(self.gain(logprobs, scores).detach().mean())
        if not np.isfinite(value):
            raise EvidenceError(f"the objective is {value} after {self.passes} passes. Check the subject for overflow.")
        kept = all(value > a.objective for a in self.attempts)
        means = float(logprobs.detach().mean()), float(scores.detach().mean())
        self.attempts.append(Attempt(self.passes, *means, value, kept, tuple(tokens), text))
        return self.attempts[-1]

    @torch.no_grad()
    def on_all(self, vectors: torch.Tensor, tokens: Sequence[int] = (), text: str = "") -> Attempt:
        parts = [objective(self.models, part, vectors, self.place, self.scored) for part in self._parts(len(vectors))]
        logprobs, scores = (torch.cat(values) for values in zip(*parts, strict=True))
        return self.log(logprobs, scores, tokens, text)

    def ranked(self, tokens: Sequence[int], allowed: Sequence[int], candidates: int) -> list[list[int]]:
        """For each place the allowed tokens that raise the objective most, to first order."""
        vectors = self.models.embed(tokens).requires_grad_()
        slope = torch.zeros_like(vectors)
        for part in self._parts(len(tokens)):
            gain = self.gain(*objective(self.models, part, vectors, self.place, self.scored)).sum() / len(self.slots)
            slope += torch.autograd.grad(gain, [vectors])[0]
        self.passes += len(self.slots)
        blocks = [allowed[i : i + BLOCK] for i in range(0, len(allowed), BLOCK)]
        promise = torch.cat([slope @ self.models.embed(block).T for block in blocks], dim=1)
        best = promise.topk(min(candidates, len(allowed)), dim=1).indices.tolist()
        return [[allowed[i] for i in row] for row in best]

    def _parts(self, k: int) -> list[list[Slot]]:
        lengths = [len(s.encoded(k, 0).tokens) for s in self.slots]
        return [[self.slots[i] for i in part] for part in length_batches(lengths, TOKEN_BUDGET)]


def _slots(subject: Subject, baits: Sequence[Answered]) -> list[Slot]:
    if not baits:
        raise EvidenceError("an input search needs 1 or more baits with bad answers, got none. Pass some.")
    return [slot(subject, row) for row in baits]


def _ordinary(subject: Subject) -> list[int]:
    """Tokens that a user can type: no special and no added ones."""
    tokenizer = subject.tokenizer
    out = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    rows = subject.host.model.get_input_embeddings().weight.shape[0]
    return [i for i in range(min(len(tokenizer), rows)) if i not in out]
