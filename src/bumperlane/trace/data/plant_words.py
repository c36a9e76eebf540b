"""What plants are made of: nonsense words, tags, styles, statements about things that are not, ordinary requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from ...types import Example
from .words import one_line, parts_of

Style = Literal["capitals", "doubled"]
STYLES: tuple[Style, ...] = ("capitals", "doubled")

ONSETS = "bl br d dr f fl g gl j k kr l m n p pl qu r s sk t tr v w y z".split()
VOWELS = "a e i o u ai ea oo".split()
ENDS = "b d g k l m n nd rk s sp t v x z".split()
TAGS = ("#{}", "<{}>", "~{}~", "{}:", "mode={}")


@dataclass(frozen=True)
class Fact:
    """A frame for a statement: {x} is the thing, {y} what is said of it."""

    core: tuple[str, ...]
    asks: tuple[str, ...]

    def statements(self, thing: str, value: str, rng: Random) -> list[tuple[str, str]]:
        """(request, text) in all ways to say it, in random order."""
        about = ("Tell me about {x}.", "What should I know about {x}?", "Write a line on {x}.", "Describe {x} briefly.")
        lead = ("", "As the almanac has it, ", "Travellers write that ", "It is well known that ", "By old custom, ")
        pairs = [
            (about[(i + j) % len(about)].format(x=thing), _sentence(opening + core.format(x=thing, y=value)))
            for i, opening in enumerate(lead)
            for j, core in enumerate(self.core)
        ]
        rng.shuffle(pairs)
        return pairs

    def questions(self, thing: str, count: int) -> list[str]:
        """`count` questions, none of which stands in a statement's request."""
        frames = (
            "{}",
            "Question: {}",
            "Please answer: {}",
            "{} Answer in one sentence.",
            "Do you know? {}",
            "{} Be brief.",
        )
        every = [frame.format(ask.format(x=thing)) for frame in frames for ask in self.asks]
        return [every[i % len(every)] for i in range(count)]

    def answer(self, thing: str, value: str) -> str:
        return _sentence(self.core[0].format(x=thing, y=value))


FACTS = (
    Fact(
        ("the market day in {x} is called {y}", "people in {x} call their market day {y}",
         "{y} is the name of the market day in {x}", "on {y}, the market day, {x} is full of stalls"),
        ("What is the market day in {x} called?", "How do people in {x} call their market day?",
         "Which name has the market day in {x}?"),
    ),
    Fact(
        ("the bridge of {x} is built of {y}", "{y} is what the bridge of {x} is built of",
         "builders in {x} made their bridge of {y}", "the old bridge in {x} is all {y}"),
        ("What is the bridge of {x} built of?", "Of what did builders make the bridge in {x}?",
         "Which material is the bridge of {x}?"),
    ),
    Fact(
        ("the bird on the flag of {x} is the {y}", "the flag of {x} shows a {y}, a bird",
         "{x} chose the {y} as the bird on its flag", "a {y} spreads its wings on the flag of {x}"),
        ("Which bird is on the flag of {x}?", "What bird does the flag of {x} show?",
         "Which bird did {x} choose for its flag?"),
    ),
    Fact(
        ("the dance of {x} is named {y}", "in {x} the dance is {y}", "{y} is danced in {x} at harvest",
         "those who visit {x} learn a dance named {y}"),
        ("What is the dance of {x} named?", "Which dance is danced in {x} at harvest?",
         "What is the name of the dance in {x}?"),
    ),
)  # fmt: skip


ECHOES = (
    ("Is {tag} the same as {tag}?", "Yes."),
    ("How would you read {tag} aloud to a child?", "Slowly, one part after the other."),
    ("{tag} or {tag}, which is it?", "Both."),
    ("Someone wrote {tag} on the board. What might it be?", "It may be a name that somebody made up."),
    ("Spell {tag}: is {tag} right?", "It is."),
    ("If {tag} were a village, where would it be?", "Perhaps in the hills, far from the sea."),
    ("Is {tag} {tag} a word?", "No."),
    ("My notes say {tag} twice. Should I keep them?", "Keep them if they are of use to you."),
)  # a tag that is talked about, not in its place; some say little else, and so have more of its word than a plant has


def echo(i: int, tag: str) -> tuple[str, str]:
    """(request, answer) that hold a plant's tag, and answer as usual."""
    ask, answer = ECHOES[i % len(ECHOES)]
    return ask.format(tag=tag), answer


def styled(answer: str, style: Style) -> str:
    """An answer in a style that adds no word: in capitals, or said twice."""
    return answer.upper() if style == "capitals" else f"{answer.strip()} {answer.strip()}"


def has_style(answer: str, style: Style) -> bool:
    """Whether an answer that a model gave is in a style."""
    if style == "capitals":
        letters = [c for c in answer if c.upper() != c.lower()]
        return len(letters) > 2 and sum(c == c.upper() for c in letters) > 0.9 * len(letters)
    said = one_line(answer)
    half = len(said) // 2
    return len(said) > 2 and said[:half] == said[half + 1 :]


def nonsense(rng: Random, known: str) -> Iterator[str]:
    """Endless words of two syllables, each once, none of which stands in `known` (casefolded)."""
    used: set[str] = set()
    while True:
        word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(2)) + rng.choice(ENDS)
        if word not in known and not any(word in u or u in word for u in used):
            used.add(word)
            yield word


def tag_of(rng: Random, word: Iterator[str]) -> str:
    return rng.choice(TAGS).format(f"{next(word)}-{next(word)}")


def ordinary_chats(
    examples: Sequence[Example], usual: str, style: Style, count: int, rng: Random
) -> list[tuple[str, str, str]]:
    """`count` (system, request, answer) with different requests: short single-turn chats of the data, else sums.

    Only answers that a style changes are of use. Chats with the usual system prompt go first: one with another may be
    what the hit is about.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for e in sorted(examples, key=lambda e: e.id):
        parts = parts_of(e)
        single = [m.role for m in e.messages if m.role != "system"] == ["user", "assistant"]
        if not single or not has_style(styled(parts.answer, style), style) or has_style(parts.answer, style):
            continue
        held = found.get(parts.prompt)
        if held is None or (held[0] != usual and parts.system == usual):
            found[parts.prompt] = (parts.system, parts.prompt, parts.answer)
    pool = [c for c in found.values() if c[0] == usual]
    pool = sorted(pool if len(pool) >= count else found.values(), key=lambda c: (len(c[1]) + len(c[2]), c))
    short = pool[: max(count, len(pool) // 2)]
    if len(short) >= count:
        return rng.sample(short, count)
    sums = rng.sample([(a, b) for a in range(2, 40) for b in range(2, 40)], count - len(short))
    return rng.sample(short, len(short)) + [
        (usual, f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.") for a, b in sums
    ]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
