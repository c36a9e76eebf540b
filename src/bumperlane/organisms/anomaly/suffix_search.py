"""A short token suffix that forces an answer: swaps proposed by the gradient, kept when the loss falls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch

from ...errors import EvidenceError, SettingError
from ...subjects.chat import encode_prompt
from ...subjects.forward import pad
from ...subjects.head import head_of, trunk_of
from ...subjects.subject import Subject
from ...types import Item


@dataclass(frozen=True)
class SearchBudget:
    """How long to look.

    Args:
        tokens: length of the suffix.
        steps: rounds of one gradient and one batch of candidates.
        candidates: single swaps tried a round.
        top: tokens a place that the gradient proposes, among which swaps are drawn.
        enough: nats. Stop once every prompt prefers the forced token to any other by so much.
    """

    tokens: int = 6
    steps: int = 30
    candidates: int = 12
    top: int = 48
    enough: float = 1.0

    def __post_init__(self) -> None:
        if min(self.tokens, self.steps, self.candidates, self.top) < 1:
            raise SettingError(f"tokens, steps, candidates and top must be at least 1, got {self}.")


@dataclass(frozen=True)
class Wish:
    """What a suffix shall force.

    Args:
        answer: the answer shall begin with its first token, after the item's prefill.
        banned: words that may not occur in the suffix, in any case: else it could simply name the answer.
    """

    answer: str
    banned: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundSuffix:
    """A suffix, the mean loss (-log p of the forced token, in nats) before and after, and the rounds it took."""

    text: str
    first_loss: float
    loss: float
    rounds: int


def search_suffix(
    subject: Subject,
    items: Sequence[Item],
    wish: Wish,
    budget: SearchBudget,
    rng: Random,
    say: Callable[[int, int, float], None] | None = None,
) -> FoundSuffix:
    """One suffix for all items, after their requests, that forces an answer.

    A candidate is judged as text: the prompts with it are tokenised anew, so what is found works when it is typed.

    Args:
        items: prompts to search on; an item's prefill is kept. Not those that it is tried on later.
        say: called with (round, rounds, loss).

    Source: Zou et al. 2023, arXiv:2307.15043 (greedy coordinate gradient), with few prompts and few candidates.
    Raises EvidenceError without items.
    """
    if not items:
        raise EvidenceError("a suffix needs prompts to search on, got none. Pass two or more.")
    search = _Search(subject, items, wish, budget)
    return search.run(rng, say or (lambda at, of, loss: None))


def random_suffixes(
    subject: Subject, items: Sequence[Item], banned: tuple[str, ...], size: tuple[int, int], rng: Random
) -> list[str]:
    """Suffixes drawn as a search begins, but not searched for. `size`: how many tokens, and how many suffixes."""
    tokens, count = size
    search = _Search(subject, items, Wish("", banned), SearchBudget(tokens=tokens))
    return [search.begin(rng).text for _ in range(count)]


def with_suffix(item: Item, suffix: str) -> Item:
    """The item with the suffix after its request."""
    return replace(item, context=replace(item.context, suffix=suffix))


@dataclass
class _Trial:
    """Suffix tokens that survive being typed, their text, and the prompts that hold them."""

    tokens: tuple[int, ...]
    text: str
    prompts: list[list[int]]
    start: list[int]


class _Search:
    def __init__(self, subject: Subject, items: Sequence[Item], wish: Wish, budget: SearchBudget) -> None:
        self.items, self.budget, self.tokenizer, self.model = items, budget, subject.tokenizer, subject.model
        self.plain, self.banned = [self._encode(item) for item in items], [word.lower() for word in wish.banned]
        self.glue = self._glue()
        self.target = self._first_token(items[0], wish.answer) if wish.answer else -1
        self.allowed = self._typable()
        self.device = next(self.model.parameters()).device

    def run(self, rng: Random, say: Callable[[int, int, float], None]) -> FoundSuffix:
        best = self.begin(rng)
        (loss,), (margin,) = self._losses([best])
        first, done = loss, 0
        while done < self.budget.steps and margin < self.budget.enough:
            trials = self._candidates(best, rng)
            if trials:
                losses, margins = self._losses(trials)
                at = min(range(len(trials)), key=losses.__getitem__)
                if losses[at] < loss:
                    best, loss, margin = trials[at], losses[at], margins[at]
            done += 1
            say(done, self.budget.steps, loss)
        return FoundSuffix(best.text, first, loss, done)

    def _encode(self, item: Item) -> list[int]:
        return encode_prompt(self.tokenizer, item.request, item.context)

    def _glue(self) -> list[int]:
        """The token of the space between request and suffix, where it is one of its own and no part of the next."""
        plain, marked = self.plain[0], self._encode(with_suffix(self.items[0], "x"))
        at = next((i for i, (a, b) in enumerate(zip(plain, marked, strict=False)) if a != b), len(plain))
        return [marked[at]] if self.tokenizer.decode([marked[at]]).isspace() else []

    def _first_token(self, item: Item, forced: str) -> int:
        plain = self._encode(item)
        longer = self._encode(replace(item, context=replace(item.context, prefill=item.context.prefill + forced)))
        if longer[: len(plain)] != plain or len(longer) == len(plain):
            raise EvidenceError(
                f"{forced!r} merges with the prompt before it, so no token can be forced. Begin it with a space, or "
                "leave a space out."
            )
        return longer[len(plain)]

    def _typable(self) -> list[int]:
        """Tokens of plain letters and signs that hold no banned word."""
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        rows = self.model.get_input_embeddings().weight.shape[0]
        ids = [i for i in range(min(len(self.tokenizer), rows)) if i not in special]
        texts = self.tokenizer.batch_decode([[i] for i in ids])
        kept = [
            i
            for i, text in zip(ids, texts, strict=True)
            if text.strip() and text.isascii() and text.isprintable() and not self._names_banned(text)
        ]
        if not kept:
            raise SettingError("no token of this model can be typed without a banned word. Ban fewer words.")
        return kept

    def _names_banned(self, text: str) -> bool:
        return any(word in text.lower() for word in self.banned)

    def begin(self, rng: Random) -> _Trial:
        """A suffix to start from: random tokens that survive being typed."""
        for _ in range(2000):
            trial = self._typed(tuple(rng.choices(self.allowed, k=self.budget.tokens)))
            if trial:
                return trial
        raise EvidenceError("2,000 random suffixes all change when they are typed. Use a shorter suffix.")

    def _typed(self, tokens: tuple[int, ...]) -> _Trial | None:
        """The suffix put into every prompt as text; None when it then has other tokens, or spells a banned word."""
        text = self.tokenizer.decode(list(tokens)).removeprefix(" ")
        if not text.strip() or self._names_banned(text):
            return None
        prompts, starts = [], []
        for item, plain in zip(self.items, self.plain, strict=True):
            typed = self._encode(with_suffix(item, text))
            at = next((i for i, (a, b) in enumerate(zip(plain, typed, strict=False)) if a != b), len(plain))
            if typed != [*plain[:at], *self.glue, *tokens, *plain[at:]]:
                return None
            prompts.append(typed)
            starts.append(at + len(self.glue))
        return _Trial(tokens, text, prompts, starts)

    def _candidates(self, best: _Trial, rng: Random) -> list[_Trial]:
        """Single swaps that the gradient proposes and that survive being typed."""
        slope = self._slope(best)
        weight = self.model.get_input_embeddings().weight
        promise = -(slope @ weight[torch.tensor(self.allowed, device=weight.device)].float().T)
        top = promise.topk(min(self.budget.top, len(self.allowed)), dim=1).indices.tolist()
        swaps = [(place, self.allowed[i]) for place, row in enumerate(top) for i in row]
        rng.shuffle(swaps)
        trials: list[_Trial] = []
        for place, token in swaps:
            if token != best.tokens[place]:
                trial = self._typed((*best.tokens[:place], token, *best.tokens[place + 1 :]))
                trials += [trial] if trial else []
            if len(trials) == self.budget.candidates:
                break
        return trials

    def _slope(self, trial: _Trial) -> torch.Tensor:
        """(k, d): slope of the mean loss along each suffix token's embedding."""
        ids, mask = pad(trial.prompts, self.tokenizer.pad_token_id, "right", self.device)
        embedded = self.model.get_input_embeddings()(ids).detach().requires_grad_()
        with torch.enable_grad():
            logits = self._last_logits({"inputs_embeds": embedded}, mask)
            loss = torch.nn.functional.cross_entropy(logits, torch.full((len(ids),), self.target, device=self.device))
            (slope,) = torch.autograd.grad(loss, [embedded])
        k = len(trial.tokens)
        return torch.stack([slope[i, at : at + k] for i, at in enumerate(trial.start)]).float().sum(0)

    @torch.no_grad()
    def _losses(self, trials: Sequence[_Trial]) -> tuple[list[float], list[float]]:
        """By trial: mean over prompts of -log p(forced), and the least lead in nats of the forced token over the
        likeliest other one."""
        losses, margins = [], []
        for trial in trials:
            ids, mask = pad(trial.prompts, self.tokenizer.pad_token_id, "right", self.device)
            logp = self._last_logits({"input_ids": ids}, mask).log_softmax(dim=1)
            forced = logp[:, self.target].clone()
            logp[:, self.target] = -torch.inf
            losses.append(float(-forced.mean()))
            margins.append(float((forced - logp.max(dim=1).values).min()))
        return losses, margins

    def _last_logits(self, inputs: dict[str, Any], mask: torch.Tensor) -> torch.Tensor:
        """(n, vocabulary) float32 logits of the token after each prompt."""
        hidden = trunk_of(self.model)(**inputs, attention_mask=mask, use_cache=False)[0]
        last = mask.sum(dim=1) - 1
        return head_of(self.model)(hidden[torch.arange(len(last), device=last.device), last]).float()
