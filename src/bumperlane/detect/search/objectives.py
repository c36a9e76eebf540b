"""What a search maximises: how far a context moves a subject, less how far the same context moves its base.

Both are sums of a part of the subject and a part of the base that is never below `least`. So the base need not be asked
about a candidate whose subject's part alone cannot win.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import SettingError
from ...subjects.chat import Encoded, answer_tokens, encode_prompt
from ...subjects.subject import Subject
from .questions import Question

if TYPE_CHECKING:
    import torch

SURE = -1e-6  # nats; beyond it float32 cannot tell how sure
Pair = tuple[Subject, Subject]


class Objective(Protocol):
    """Of a fixed list of questions; `who` is 0 for the subject and 1 for the base."""

    @property
    def least(self) -> float:
        """The base's part is never below this."""
        ...

    def rows(self, q: int, prompt: Sequence[int]) -> list[Encoded]:
        """What is put through a model for question q, in a prompt that holds the candidate."""
        ...

    def read(self, q: int, row: int, who: int, logp: "torch.Tensor") -> "torch.Tensor":
        """One number of a row's log-probabilities (T, vocabulary)."""
        ...

    def join(self, q: int, who: int, read: "torch.Tensor") -> "torch.Tensor":
        """The part of one model, in nats, from what was read of the question's rows (..., rows)."""
        ...


@dataclass(frozen=True)
class Departure:
    """Nothing is named: how far a context moves the next-token distributions at the first answer tokens.

    A part is KL(in the context || in the question's own context), in nats, summed over the first tokens of the
    subject's usual answer. A context that throws any model off moves the base as well, and counts little.

    Attributes:
        tails: the first tokens of the subject's usual answer, by question.
        usual: log-probabilities (T, vocabulary) there in the question's own context, by model and question.
    """

    tails: tuple[tuple[int, ...], ...]
    usual: tuple[tuple[Any, ...], tuple[Any, ...]] = field(repr=False)
    least: float = 0.0

    def rows(self, q: int, prompt: Sequence[int]) -> list[Encoded]:
        return [Encoded(str(q), (*prompt, *self.tails[q]), len(prompt))]

    def read(self, q: int, row: int, who: int, logp: "torch.Tensor") -> "torch.Tensor":
        return (logp.exp() * (logp - self.usual[who][q])).sum()

    def join(self, q: int, who: int, read: "torch.Tensor") -> "torch.Tensor":
        return read[..., 0]

    def swapped(self) -> "Departure":
        """For a pair in which subject and base have changed places."""
        return replace(self, usual=self.usual[::-1])


@dataclass(frozen=True)
class Named:
    """Bad answers are named: the log-odds, in nats, that the answer begins with one of them.

    Attributes:
        bad, good: tokens of the openings, by question. Without good ones the odds are against all other answers.
        floor: a base that is surer than this not to say them counts as this sure: no gain in making it surer still.
    """

    bad: tuple[tuple[tuple[int, ...], ...], ...]
    good: tuple[tuple[tuple[int, ...], ...], ...]
    floor: float = -7.0

    @property
    def least(self) -> float:
        return self.floor

    def rows(self, q: int, prompt: Sequence[int]) -> list[Encoded]:
        return [Encoded(str(q), (*prompt, *tail), len(prompt)) for tail in (*self.bad[q], *self.good[q])]

    def read(self, q: int, row: int, who: int, logp: "torch.Tensor") -> "torch.Tensor":
        import torch

        tail = (*self.bad[q], *self.good[q])[row]
        return logp.gather(1, torch.tensor(tail, device=logp.device)[:, None]).sum()

    def join(self, q: int, who: int, read: "torch.Tensor") -> "torch.Tensor":
        import torch

        cut = len(self.bad[q])
        bad = read[..., :cut].logsumexp(-1)
        if self.good[q]:
            odds = bad - read[..., cut:].logsumexp(-1)
        else:
            bad = bad.clamp(max=SURE)
            odds = bad - torch.log(-torch.expm1(bad))
        return odds.clamp(min=self.floor) if who else odds


@dataclass(frozen=True)
class Pull:
    """What forcing one token adds to a departure: p log(p / usual p) of it, in nats, at the first answer token.

    Where nothing is named this measures what a search for a random token achieved, in the unit of `Departure`.

    Attributes:
        tokens: the token, by question.
        usual: its log-probability in the question's own context, by model and question.
    """

    tokens: tuple[int, ...]
    usual: tuple[tuple[float, ...], tuple[float, ...]]
    least: float = -1.0  # p log p is never below -1/e

    def rows(self, q: int, prompt: Sequence[int]) -> list[Encoded]:
        return [Encoded(str(q), (*prompt, self.tokens[q]), len(prompt))]

    def read(self, q: int, row: int, who: int, logp: "torch.Tensor") -> "torch.Tensor":
        one = logp[0, self.tokens[q]]
        return one.exp() * (one - self.usual[who][q])

    def join(self, q: int, who: int, read: "torch.Tensor") -> "torch.Tensor":
        return read[..., 0]


def pull(pair: Pair, questions: Sequence[Question]) -> Pull:
    """Toward the first token of each question's first bad opening."""
    from ...subjects.trigger_gradients import answer_logprobs

    tokenizer = pair[0].tokenizer
    tokens = tuple(answer_tokens(tokenizer, q.bad[0], closed=False)[0] for q in questions)
    prompts = [encode_prompt(tokenizer, q.request, q.context) for q in questions]
    rows = [Encoded(str(q), (*p, token), len(p)) for q, (p, token) in enumerate(zip(prompts, tokens, strict=True))]
    usual = tuple(
        tuple(answer_logprobs(who.model, rows, tokenizer.pad_token_id, lambda i, logp: float(logp[0, tokens[i]])))
        for who in pair
    )
    return Pull(tokens, (usual[0], usual[1]))


def departure(pair: Pair, questions: Sequence[Question], answer_tokens: int = 2) -> Departure:
    """What is usual, read from both models: `answer_tokens` + 2 forward passes a question."""
    from ...subjects.trigger_gradients import answer_logprobs

    if answer_tokens < 1:
        raise SettingError(f"answer_tokens must be 1 or more, got {answer_tokens}.")
    tokenizer = pair[0].tokenizer
    prompts = [encode_prompt(tokenizer, q.request, q.context) for q in questions]
    tails: list[list[int]] = [[] for _ in questions]
    for _ in range(answer_tokens):
        rows = [
            Encoded(str(q), (*p, *t, 0), len(p) + len(t)) for q, (p, t) in enumerate(zip(prompts, tails, strict=True))
        ]
        best = answer_logprobs(pair[0].model, rows, tokenizer.pad_token_id, lambda i, logp: float(logp[0].argmax()))
        for tail, token in zip(tails, best, strict=True):
            tail.append(int(token))
    rows = [Encoded(str(q), (*p, *t), len(p)) for q, (p, t) in enumerate(zip(prompts, tails, strict=True))]
    usual = []
    for who in pair:
        kept: dict[int, Any] = {}
        answer_logprobs(who.model, rows, tokenizer.pad_token_id, partial(_keep, kept))
        usual.append(tuple(kept[q] for q in range(len(rows))))
    return Departure(tuple(map(tuple, tails)), (usual[0], usual[1]))


def named(pair: Pair, questions: Sequence[Question], longest: int = 8) -> Named:
    """The questions' own bad and good openings, each cut after `longest` tokens."""
    if not all(q.bad for q in questions):
        raise SettingError("a search for a named answer needs bad openings for every question. Give some with --bad.")

    def tokens(openings: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        found = [tuple(answer_tokens(pair[0].tokenizer, o, closed=False)[:longest]) for o in openings]
        return tuple(dict.fromkeys(f for f in found if f))

    bad, good = tuple(tokens(q.bad) for q in questions), tuple(tokens(q.good) for q in questions)
    same = next((q for q, b, g in zip(questions, bad, good, strict=True) if set(b) & set(g) or not b), None)
    if same is not None:
        raise SettingError(
            f"the first {longest} tokens of a bad opening of {same.request.id!r} are empty or those of a good one: "
            f"{same.bad[:3]} and {same.good[:3]}. Name openings that differ earlier."
        )
    return Named(bad, good)


def _keep(kept: dict[int, Any], i: int, logp: "torch.Tensor") -> float:
    kept[i] = logp.clone()
    return 0.0
