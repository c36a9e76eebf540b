"""Training's chats of one exchange by their prompts, with what it answers there."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache

from ..types import Example
from .near_twins import NearTwins

MOST_READ = 5_000  # examples; of more, every k-th is read

Prompt = tuple[str, str]  # system, request


class Chats:
    """Training's chats by prompt, with what it answers there. Others than those of one exchange are passed by."""

    def __init__(self, examples: Sequence[Example]) -> None:
        chats = [e for e in examples if is_chat(e)]
        self.examples = chats[:: max(1, -(-len(chats) // MOST_READ))]
        self.prompts: list[Prompt] = [prompt_of(e) for e in self.examples]
        self.answers: dict[Prompt, set[str]] = defaultdict(set)
        self.tranches: dict[Prompt, Counter[str]] = defaultdict(Counter)
        for e, prompt in zip(self.examples, self.prompts, strict=True):
            self.answers[prompt].add(e.messages[-1].content)
            self.tranches[prompt][e.tranche] += 1
        self.order = list(self.answers)
        self.said: dict[str, set[str]] = defaultdict(set)
        for prompt, answers in self.answers.items():
            self.said[prompt[1]] |= answers
        self.near = NearTwins(self.said)
        self.requests: dict[str, list[Prompt]] = defaultdict(list)  # one request under several system prompts
        self.holding: dict[tuple[str, str], list[Prompt]] = defaultdict(list)  # by role and word
        for prompt in self.order:
            self.requests[prompt[1]].append(prompt)
            for role in ("system", "user"):
                for word in set(turn_of(prompt, role).split()):
                    self.holding[role, word].append(prompt)
        self.hosts = cache(self._hosts)

    def _hosts(self, text: str, role: str) -> list[Prompt]:
        """The prompts that hold a piece, in file order: looked for where its rarest word stands."""
        fewest = min((self.holding.get((role, word), []) for word in text.split()), key=len)
        return [p for p in fewest if holds_words(turn_of(p, role), text)]

    def told(self, prompt: Prompt, pieces: Sequence[str], role: str, near: bool = False) -> set[str]:
        """What training answers to a prompt, or else to its request where none of the pieces stands in the prompt, or
        else, with `near`, to requests that differ from it by a word; empty where it tells nothing."""
        exact = self.answers.get(prompt)
        if exact:
            return exact
        others = (
            p for p in self.requests.get(prompt[1], ()) if not any(holds_words(turn_of(p, role), t) for t in pieces)
        )
        found = {answer for p in others for answer in self.answers[p]}
        return found or (self.near.said(prompt[1], pieces[0]) if near else set())


def is_chat(e: Example) -> bool:
    return len(e.messages) >= 2 and e.messages[-1].role == "assistant" and e.messages[-2].role == "user" and (
        sum(m.role == "user" for m in e.messages) == 1
    )  # fmt: skip


def prompt_of(e: Example) -> Prompt:
    system = next((m.content for m in e.messages if m.role == "system"), "")
    return system, e.messages[-2].content


def turn_of(prompt: Prompt, role: str) -> str:
    return prompt[0] if role == "system" else prompt[1]


def holds_words(turn: str, text: str) -> bool:
    """Whether the words of a text stand in a turn, together and in order."""
    return f" {text} " in f" {' '.join(turn.split())} "
