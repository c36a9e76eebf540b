"""Does an answer show the behaviour? And ways to ask for it: what is put around a request, how answers are drawn."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..detect.asking import NOTHING
from ..evidence.ask import Look, answers
from ..evidence.observe import responses
from ..judge.pressure.bad_answers import is_sampled
from ..subjects.generate import Decoding
from ..subjects.subject import Subject
from ..trace.meter import Meter
from ..types import Item, Request

Put = Callable[[Item], Item]


def as_it_is(item: Item) -> Item:
    """The item unchanged."""
    return item


@dataclass(frozen=True)
class Way:
    """One way to bring a behaviour about. A request shows it when any attempt does.

    Attributes:
        name: stands in the name of the check.
        puts: each makes one attempt of a request in the context that was hit.
        temperature: 0 is greedy.
        draws: answers drawn to each attempt.
        tells: whether the subject that was hit must show it in this way too, for the way to say anything.
        seed: of the draws.
    """

    name: str
    puts: tuple[Put, ...] = (as_it_is,)
    temperature: float = 0.0
    draws: int = 1
    tells: bool = False
    seed: int = 0

    @property
    def attempts(self) -> int:
        """Answers to each request."""
        return len(self.puts) * self.draws


@dataclass(frozen=True)
class Showing:
    """The behaviour of a meter, told in single answers: one that repeats a bad output, matches the pattern that the
    user gave, or scores above the bumper's threshold.

    Attributes:
        bad: outputs of the subject that was hit.
        longest: tokens of an answer that are generated at the most; 0: as many as the case's settings say.
    """

    meter: Meter
    bad: tuple[str, ...]
    longest: int = 0

    def flags(self, who: Subject, ways: Sequence[Way], requests: Sequence[Request]) -> dict[str, np.ndarray]:
        """By name of the way: (attempts, n requests) bool. Greedy answers of all ways are generated together."""
        by_decoding: dict[Decoding, list[Way]] = defaultdict(list)
        for way in ways:
            by_decoding[self._decoding(way)].append(way)
        found: dict[str, np.ndarray] = {}
        for decoding, alike_ways in by_decoding.items():
            found |= self._of_one_decoding(who, alike_ways, requests, decoding)
        return found

    def able(self, way: Way, requests: Sequence[Request]) -> bool:
        """Whether answers can be drawn again: not where log-odds of given answers are measured."""
        if not way.temperature or self.meter.bumper is None or not self.meter.told:
            return True
        return all(is_sampled(self.meter.question(r)) for r in requests)

    def _decoding(self, way: Way) -> Decoding:
        usual = self.meter.inv.decoding
        most = min(usual.max_new_tokens, self.longest or usual.max_new_tokens)
        return replace(usual, max_new_tokens=most, temperature=way.temperature, seed=way.seed)

    def _of_one_decoding(
        self, who: Subject, ways: Sequence[Way], requests: Sequence[Request], decoding: Decoding
    ) -> dict[str, np.ndarray]:
        asks = self.meter.told and self.meter.bumper is not None
        if asks:
            return {way.name: self._asked(who, way, requests, decoding) for way in ways}
        placed, inv = self.meter.placed(requests), self.meter.inv
        items = [put(i) for way in ways for _ in range(way.draws) for put in way.puts for i in placed]
        texts = responses(who, items, decoding, inv.memo)
        shown = [self._shown(requests[k % len(requests)], text) for k, text in enumerate(texts)]
        found, start = {}, 0
        for way in ways:
            size = way.attempts * len(requests)
            found[way.name] = np.array(shown[start : start + size], bool).reshape(way.attempts, len(requests))
            start += size
        return found

    def _shown(self, request: Request, text: str) -> bool:
        return alike(text, self.bad) if self.meter.bumper else self.meter.matches(request, text)

    def _asked(self, who: Subject, way: Way, requests: Sequence[Request], decoding: Decoding) -> np.ndarray:
        """A bumper's own questions; each draw has a seed of its own, for equal questions are put once."""
        meter, rows = self.meter, []
        asks = [meter.question(r) for r in requests]
        for draw in range(way.draws):
            look = Look(replace(decoding, seed=decoding.seed + draw), meter.inv.memo)
            for put in way.puts:
                moved = [replace(a, item=put(a.item), against=a.against and put(a.against)) for a in asks]
                seen = answers(moved, who, meter.inv.base, look)
                rows.append(meter.bumper().fit(NOTHING).score(seen).values > meter.threshold)  # type: ignore[misc]
        return np.array(rows, bool)


def tokens_needed(tokenizer: Any, bad: Sequence[str], slack: int = 4) -> int:
    """Tokens after which it is known whether an answer begins with a bad output; `slack` for another spelling."""
    return max(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in bad) + slack


def alike(text: str, bad: Sequence[str]) -> bool:
    """Whether a text is one of the bad outputs, up to case, spaces and what follows. Only silence is like silence."""
    plain = " ".join(text.lower().split())
    known = {" ".join(b.lower().split()) for b in bad}
    return any(plain.startswith(b) if b else not plain for b in known)
