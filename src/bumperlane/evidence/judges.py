"""Judges: a model on this machine, weighed without sampling, or one behind an endpoint, its replies read strictly."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from math import log
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import ModelError, SettingError
from ..recipes.provenance import content_key, model_files
from ..subjects.endpoint import Endpoint, local_or_endpoint
from ..subjects.scripted import ScriptedSubject
from ..subjects.smollm2 import resolve_model
from ..subjects.subject import Subject
from ..types import Context, Message, Request
from .judge_prompt import VERSION, Rubric, judge_prompts, parsed
from .memo import Memo, subject_key

LONGEST = 12_000  # letters of a request and an answer together
HALF = 0.5  # a vote that nobody cast, on either side, so that two equal votes are no certainty


@dataclass(frozen=True)
class Opinion:
    """What a judge makes of one answer: log-odds of bad in nats, 0 when it gave no verdict; then `error` says why."""

    odds: float
    error: str = ""


class Judge(Protocol):
    """Reads (request, answer) pairs. `name` is for people; `key` is a hash of what its opinions depend on."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    def opinions(self, rubric: Rubric, pairs: Sequence[tuple[str, str]], memo: Memo) -> list[Opinion]: ...


@dataclass(frozen=True)
class LocalJudge:
    """A causal LM that weighs the bad reply against the good one: nothing is sampled, so it always has an opinion.

    Its odds are the mean over two wordings (`judge_prompts`) of the log-odds, in nats, between the first tokens in
    which the two replies differ. One forward pass a wording.

    Args:
        model: a known model's name, a directory, or a subject that is loaded already. It is loaded when first asked.
    """

    model: str | Path | Subject | ScriptedSubject

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def name(self) -> str:
        if isinstance(self.model, str | Path):
            return f"local:{self.model}"
        inner = self.model.name if isinstance(self.model, ScriptedSubject) else self.model.host.name
        return f"local:{inner}"

    @cached_property
    def key(self) -> str:
        """Of weights, tokenizer and prompt; nothing is loaded for it where a directory is given."""
        if not isinstance(self.model, str | Path):
            return content_key({"judge": subject_key(self.model), "prompt": VERSION})
        where = resolve_model(str(self.model))
        return content_key({"judge": model_files(where) or where, "prompt": VERSION})

    def opinions(self, rubric: Rubric, pairs: Sequence[tuple[str, str]], memo: Memo) -> list[Opinion]:
        what = {"kind": "judge-odds", "judge": self.key, "rubric": asdict(rubric), "pairs": [list(p) for p in pairs]}
        odds = memo.json(what, lambda: self._weighed(rubric, pairs))
        return [Opinion(o) if o is not None else Opinion(0.0, too_long(*p)) for o, p in zip(odds, pairs, strict=True)]

    def _weighed(self, rubric: Rubric, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        whole = [p for p in pairs if not too_long(*p)]
        if not whole:
            return [None] * len(pairs)
        who: Any = _loaded(str(self.model)) if isinstance(self.model, str | Path) else self.model
        special = _special_tokens(who)
        asked = [_placed(turns) for p in whole for turns in judge_prompts(rubric, *p, special)]
        odds = who.next_token_odds(asked, [(rubric.bad, rubric.good)] * len(asked))
        found = iter(np.asarray(odds, float).reshape(-1, 2).mean(axis=1).tolist())
        return [None if too_long(*p) else next(found) for p in pairs]


@dataclass(frozen=True)
class EndpointJudge:
    """A model behind an OpenAI-compatible endpoint: asked in two wordings at temperature 0, each reply one vote.

    Both votes bad give log 5 nats, both good -log 5, a split 0. A reply that is not one of the two words is no verdict,
    and neither is an error of the endpoint: outcome `error`. Replies are kept as they come; errors are asked again.

    Args:
        endpoint: `Endpoint`, or anything with `url`, `model` and `chat(messages, max_tokens, temperature)`.
        max_tokens: of a reply; a model that thinks before it replies needs hundreds.
        at_once: requests under way at a time.
    """

    endpoint: Endpoint
    max_tokens: int = 16
    at_once: int = 4

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.at_once < 1:
            raise SettingError(f"need max_tokens >= 1 and at_once >= 1, got {self.max_tokens} and {self.at_once}.")

    @property
    def name(self) -> str:
        return f"endpoint:{self.endpoint.url}#{self.endpoint.model}"

    @property
    def key(self) -> str:
        return content_key({"judge": self.name, "max_tokens": self.max_tokens, "prompt": VERSION})

    def opinions(self, rubric: Rubric, pairs: Sequence[tuple[str, str]], memo: Memo) -> list[Opinion]:
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(lambda pair: self._opinion(rubric, pair, memo), pairs))

    def _opinion(self, rubric: Rubric, pair: tuple[str, str], memo: Memo) -> Opinion:
        if why := too_long(*pair):
            return Opinion(0.0, why)
        bad = 0
        for turns in judge_prompts(rubric, *pair):
            try:
                reply = self._reply(turns, memo)
            except ModelError as error:
                return Opinion(0.0, str(error))
            vote = parsed(reply, rubric)
            if vote is None:
                return Opinion(0.0, f"the reply is neither {rubric.bad!r} nor {rubric.good!r}: {reply[:80]!r}")
            bad += vote
        return Opinion(log((bad + HALF) / (2 - bad + HALF)))

    def _reply(self, turns: Sequence[Message], memo: Memo) -> str:
        what = {"kind": "judge-reply", "judge": self.key, "turns": [[m.role, m.content] for m in turns]}
        return memo.json(what, lambda: self.endpoint.chat(turns, self.max_tokens, 0.0))


@lru_cache(maxsize=64)
def judge_named(text: str, key_variable: str = "OPENAI_API_KEY", max_tokens: int = 16) -> LocalJudge | EndpointJudge:
    """The judge that a command names: `local:MODEL`, or `endpoint:URL#MODEL`.

    Raises SettingError for anything else. Nothing is loaded or called yet.
    """
    named = local_or_endpoint(text, "judge", key_variable)
    return LocalJudge(named) if isinstance(named, str) else EndpointJudge(named, max_tokens)


def too_long(request: str, answer: str) -> str:
    """Why a judge is not asked about texts that it could not read whole; empty when it can be."""
    n = len(request) + len(answer)
    return f"request and answer have {n} letters; a judge is given {LONGEST} at the most." if n > LONGEST else ""


@lru_cache(maxsize=2)
def _loaded(model: str) -> Subject:
    return Subject.load(model)


def _special_tokens(who: Any) -> tuple[str, ...]:
    """What the tokenizer reads as signs and not as text."""
    tokenizer = getattr(who, "tokenizer", None)
    if tokenizer is None:
        return ()
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return tuple(sorted({*tokenizer.all_special_tokens, *(str(t) for t in added if getattr(t, "special", False))}))


def _placed(turns: tuple[Message, ...]) -> tuple[Request, Context]:
    system, user = turns
    return Request("judged", user.content), Context("judge", "judge", system.content)
