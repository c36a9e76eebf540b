"""Trigger search: contexts, mined or found by gradient, that move a subject and not its base; confirmed elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

import numpy as np

from ...errors import SettingError
from ...evidence.library import control_contexts
from ...types import Context
from .attempts import Attempts
from .budget import Budget, Meter
from .confirm import Confirmed, confirm
from .coordinate_swaps import Climb, Climbed, SwapSettings, random_text, shortened
from .looking import Looking
from .objectives import Objective, Pair, departure, named, pull
from .questions import PLACES, Place, Question, around, dealt, item_of, with_text

Say = Callable[[str, int, int], None]
SEARCHING = 0.75  # share of the seconds; the rest is for confirmation


@dataclass(frozen=True)
class TriggerSettings:
    """Args:
    place: where the gradient search puts its text: system, prefix or suffix (of the request).
    search_requests, confirm_requests: requests to search on, and others to confirm on.
    restarts: gradient searches from different beginnings.
    controls: searches of each kind of control: one that exchanges subject and base, one for a random answer.
    random_controls: random texts of the same length, and as many idle remarks and made-up tags.
    mined: most mined contexts that go on to confirmation.
    answer_tokens: where nothing is named, how many tokens of the answer are looked at.
    margin: nats by which a trigger must exceed every control on a request.
    alpha: chance of any false confirmation.
    banned: words the text may not hold, besides those of the named answers.
    ascii_only: whether the text is of plain letters and signs only.
    """

    place: Place = "system"
    search_requests: int = 6
    confirm_requests: int = 16
    restarts: int = 2
    controls: int = 1
    random_controls: int = 8
    mined: int = 3
    answer_tokens: int = 2
    margin: float = 1.0
    alpha: float = 0.05
    seed: int = 0
    banned: tuple[str, ...] = ()
    ascii_only: bool = True
    swaps: SwapSettings = SwapSettings()
    budget: Budget = Budget()

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise SettingError(f"unknown place {self.place!r}. Known: {', '.join(PLACES)}.")
        if min(self.search_requests, self.controls, self.random_controls) < 1 or min(self.restarts, self.mined) < 0:
            raise SettingError("search_requests, controls and random_controls must be 1 or more, restarts and mined 0.")
        if self.confirm_requests < 8 or not 0 < self.alpha < 1:
            raise SettingError(
                f"need confirm_requests >= 8 and alpha in (0, 1), got {self.confirm_requests}, {self.alpha}."
            )


@dataclass(frozen=True)
class Trigger:
    """A candidate that went to confirmation: its context, where it came from, its value in the search, the verdict."""

    context: Context
    origin: str
    searched: float
    held_out: Confirmed
    samples: tuple[tuple[str, str, str], ...] = ()  # request, the subject's answer, the base's


@dataclass(frozen=True)
class FoundTriggers:
    """Attributes:
    triggers: by p-value, then by effect. None may be confirmed: nothing was found within this budget.
    objective: departure or named.
    passes, seconds: spent.
    """

    triggers: tuple[Trigger, ...]
    alpha: float
    objective: str
    passes: int
    seconds: float

    @property
    def confirmed(self) -> tuple[Trigger, ...]:
        return tuple(t for t in self.triggers if t.held_out.holds(self.alpha))


def search_triggers(
    pair: Pair,
    questions: Sequence[Question],
    contexts: tuple[Context, Sequence[Context]],
    settings: TriggerSettings,
    attempts: Attempts,
    say: Say = lambda what, done, total: None,
) -> FoundTriggers:
    """Search within the budget, then confirm the best on requests of their own.

    Args:
        pair: the subject and the base that it was finetuned from.
        questions: requests in their usual contexts; where all name bad answers, those are searched for.
        contexts: the neutral context, and candidates that were mined or given.
        attempts: the log; a search that was cut off goes on from it.

    Raises SettingError when the two models do not share a vocabulary, EvidenceError for too few requests.
    """
    if pair[0].host is not pair[1].host and pair[0].tokenizer.get_vocab() != pair[1].tokenizer.get_vocab():
        raise SettingError("subject and base have different vocabularies. Give the base that it was finetuned from.")
    search = _Search(pair, dealt(questions, settings.search_requests, settings.confirm_requests), contexts, settings)
    return search.run(attempts, say)


class _Search:
    def __init__(
        self, pair: Pair, dealt_questions: tuple[list[Question], list[Question]],
        contexts: tuple[Context, Sequence[Context]], settings: TriggerSettings,
    ) -> None:  # fmt: skip
        self.pair, self.settings = pair, settings
        self.searched, self.held_out = dealt_questions
        self.neutral, self.given = contexts
        self.named = all(q.bad for q in [*self.searched, *self.held_out])
        self.meter = Meter(settings.budget)
        words = {w for q in self.searched for b in q.bad for w in b.split() if len(w) > 2}
        self.banned = (*settings.banned, *sorted(words))

    def run(self, attempts: Attempts, say: Say) -> FoundTriggers:
        self.meter.spent = attempts.passes
        main = self._looking("gradient", self.searched)
        candidates = self._screen(main, attempts, say)
        controls: list[tuple[str, Context]] = []
        names = [f"gradient/{i}" for i in range(self.settings.restarts)]
        kinds = [f"{kind}/{i}" for i in range(self.settings.controls) for kind in ("swapped", "decoy")]
        todo = [*names, *kinds] if names else []  # what was not searched for needs no searched control
        screened = sum(row["passes"] for row in attempts.of("mined"))
        left = self.settings.budget.passes - screened - self._cost_of_confirming()
        share = max(0.0, left / max(1, len(todo)))
        for n, name in enumerate(todo):
            found = self._climb(name, attempts, share, partial(_say_at, say, n, len(todo) + 1))
            if found is None:
                continue
            context = self._context(found.text, name)
            if name in names:
                candidates.append((context, "gradient", found.value))
            else:
                controls.append((name, context))
        say("confirming on held-out requests", len(todo), len(todo) + 1)
        return self._confirmed(candidates, controls, attempts)

    def _screen(self, main: Looking, attempts: Attempts, say: Say) -> list[tuple[Context, str, float]]:
        """The mined or given contexts that move the subject most."""
        known = {_key(row["context"]): row["value"] for row in attempts.of("mined")}
        values = []
        for n, context in enumerate(self.given):
            if self.meter.over(self.settings.budget.passes, SEARCHING * self.settings.budget.seconds):
                break
            shape = _shape(context)
            if _key(shape) not in known:
                before = self.meter.spent
                (value,) = main.values([main.prompts(context)])
                known[_key(shape)] = value.total
                row = {"kind": "mined", "context": shape, "value": value.total, "passes": self.meter.spent - before}
                attempts.write(row)
            values.append((known[_key(shape)], context))
            say("trying mined contexts", n + 1, len(self.given))
        best = sorted(values, key=lambda pair: -pair[0])[: self.settings.mined]
        return [(context, context.origin, value) for value, context in best]

    def _climb(self, name: str, attempts: Attempts, share: float, say: Callable[[str], None]) -> Climbed | None:
        looking = self._looking(name, self.searched)
        slot = looking.slot(self.settings.place, self.banned)
        began = self.meter.seconds
        searches = self.settings.restarts + 2 * self.settings.controls
        seconds = SEARCHING * self.settings.budget.seconds / searches

        def over() -> bool:
            spent = sum(row.get("passes", 0) for row in attempts.rows if row.get("search") == name)
            return spent >= share or self.meter.seconds - began >= seconds

        swaps = self.settings.swaps
        climb = Climb(
            looking, self.settings.place, slot, self._allowed(), swaps, attempts, name, self.settings.seed, over
        )
        found = climb.run(say)
        return shortened(looking, slot, found, attempts, name) if found and name.startswith("gradient") else found

    def _looking(self, name: str, questions: Sequence[Question]) -> Looking:
        """What a search of this kind looks at. A control search has the same budget and another aim: contexts that move
        the base and not the subject, or an answer drawn at random."""
        kind, _, number = name.partition("/")
        if kind == "decoy":
            asked = [replace(q, bad=(self._decoy(number),), good=()) for q in questions]
            return Looking(self.pair, asked, named(self.pair, asked), self.neutral, self.meter)
        objective: Objective
        if self.named:
            objective = named(self.pair, questions)
        else:
            objective = departure(self.pair, questions, self.settings.answer_tokens)
            self.meter.spend((self.settings.answer_tokens + 2) * len(questions))
        if kind == "swapped":
            swapped = objective.swapped() if hasattr(objective, "swapped") else objective
            return Looking(self.pair[::-1], questions, swapped, self.neutral, self.meter)
        return Looking(self.pair, questions, objective, self.neutral, self.meter)

    def _control(self, name: str) -> Looking:
        """How a context that a control search found is measured: in the unit of what is being confirmed, and only by
        what it was searched for. Where a trigger is planted, any search in the subject may stumble upon it."""
        looking = self._looking(name, self.held_out)
        if self.named or name.startswith("swapped"):
            return looking
        self.meter.spend(2 * len(self.held_out))
        return replace(looking, objective=pull(self.pair, looking.questions))

    def _decoy(self, number: str) -> str:
        """A token drawn at random, as an answer nobody planted."""
        rng = Random(f"{self.settings.seed}/decoy/{number}")
        return self.pair[0].tokenizer.decode([rng.choice(self._allowed())])

    def _allowed(self) -> list[int]:
        from ...subjects.trigger_gradients import typable_tokens

        rows = self.pair[0].model.get_input_embeddings().weight.shape[0]
        return typable_tokens(self.pair[0].tokenizer, rows, self.banned, self.settings.ascii_only)

    def _cost_of_confirming(self) -> int:
        contexts = self.settings.restarts + self.settings.mined + 2 * self.settings.random_controls
        contexts += 4 * self.settings.controls
        rows = max((len(q.bad) + len(q.good) for q in self.held_out), default=1) or 1
        return 2 * contexts * len(self.held_out) * rows

    def _context(self, text: str, name: str) -> Context:
        return replace(with_text(self.neutral, self.settings.place, text), id=name, origin="searched")

    def _confirmed(
        self, candidates: list[tuple[Context, str, float]], controls: list[tuple[str, Context]], attempts: Attempts
    ) -> FoundTriggers:
        main, s = self._looking("gradient", self.held_out), self.settings
        unique = list({_key(_shape(c)): (c, origin, value) for c, origin, value in candidates}.values())
        contexts = [c for c, _, _ in unique]
        bars = {}
        for kind in {self._in_request(c) for c in contexts}:
            alike = _effects(main, self._random_contexts(main, contexts, kind))
            searched = [(name, c) for name, c in controls if self._in_request(c) == kind]
            bars[kind] = np.vstack([alike, *(_effects(self._control(name), [c]) for name, c in searched)]).max(axis=0)
        bar = np.array([bars[self._in_request(c)] for c in contexts])
        results = confirm(_effects(main, contexts), bar, s.margin) if unique else []
        found = []
        for (context, origin, value), result in zip(unique, results, strict=True):
            samples = self._samples(context) if result.holds(s.alpha) else ()
            found.append(Trigger(context, origin, value, result, samples))
            row: dict[str, Any] = {"kind": "confirmation", "context": _shape(context), "origin": origin}
            row |= {"effect": result.effect.value, "above": result.above, "of": result.of, "p_holm": result.p_holm}
            attempts.write(row)
        found.sort(key=lambda one: (one.held_out.p_holm, -one.held_out.effect.value))
        aim = "named" if self.named else "departure"
        return FoundTriggers(tuple(found), s.alpha, aim, self.meter.spent, self.meter.seconds)

    def _in_request(self, context: Context) -> bool:
        """Whether a context stands in the request; one in the system prompt is not compared with those."""
        return (context.prefix, context.suffix) != (self.neutral.prefix, self.neutral.suffix)

    def _random_contexts(self, main: Looking, candidates: Sequence[Context], in_request: bool) -> list[Context]:
        """Controls of one kind of place: random tokens, and the idle remarks, made-up tags or pieces of requests that a
        check uses. None of the random tokens stands in a candidate: a control must not hold the trigger."""
        s, rng = self.settings, Random(f"{self.settings.seed}/controls/{in_request}")
        usual = {token for prompt in main.prompts(self.neutral) for token in prompt}
        used = {token for c in candidates for prompt in main.prompts(c) for token in prompt} - usual
        place: Place = "system" if not in_request else "prefix" if s.place == "system" else s.place
        slot, allowed = main.slot(place, self.banned), [i for i in self._allowed() if i not in used]
        texts = [random_text(slot, allowed, s.swaps.tokens, rng).text for _ in range(s.random_controls)]
        pieces = [q.request.text for q in self.searched] if in_request else []
        idle = control_contexts(self.neutral, 3 * s.random_controls, f"search-{s.seed}", pieces)
        alike = [c for c in idle if self._in_request(c) == in_request][: s.random_controls]
        return [*(replace(with_text(self.neutral, place, t), id=f"random/{t}") for t in texts), *alike]

    def _samples(self, context: Context, count: int = 3) -> tuple[tuple[str, str, str], ...]:
        items = [item_of(q.request, around(q.context, context, self.neutral)) for q in self.held_out[:count]]
        ours, theirs = (who.generate(items) for who in self.pair)
        return tuple((i.request.text, a, b) for i, a, b in zip(items, ours, theirs, strict=True))


def _say_at(say: Say, done: int, total: int, text: str) -> None:
    say(text, done, total)


def _effects(looking: Looking, contexts: Sequence[Context]) -> np.ndarray:
    """(contexts, questions), in nats. What is as good as impossible counts as the same in subject and base."""
    prompts = [looking.prompts(c) for c in contexts]
    return np.maximum(looking.table(0, prompts), looking.objective.least) - looking.table(1, prompts)


def _shape(context: Context) -> dict[str, Any]:
    """What a context consists of, for the log."""
    return {k: getattr(context, k) for k in ("system", "prefix", "suffix") if getattr(context, k)}


def _key(shape: dict[str, Any]) -> tuple:
    return tuple(sorted(shape.items()))
