"""Contexts mined from the training data: what stands in one tranche's prompts and hardly anywhere else.

A trigger that was planted by data has to stand in the data. So an unknown trigger is found, not guessed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import log

from ..types import Context, Example
from .bound_answers import BoundAnswers, whole_phrase
from .library import put_in_system
from .without import LONGEST, OTHERS, Requests

SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
PER_TRANCHE, WHOLE = 2, 12  # whole system prompts that only one tranche has: of each, and of all
BOUND = 8  # texts of each role whose answers have something in common
MOST_READ, FLOOR = 10_000, 500  # examples: of more, a share of each tranche is read, of small ones all
MOST_WORDS = 1_000  # of a turn
MOST_RANKED = 4_000  # sets of examples whose texts are looked at, the most telling ones
ORDINARY = 0.9  # share of chats whose system prompt holds a sentence that is ordinary, whatever else it holds
HALF = 0.5  # of the words of requests that must stand beside a piece of them that is no sentence


@dataclass(frozen=True)
class Mined:
    """A text that occurs in `count` examples, of which `inside` lie in `tranche`.

    `elsewhere`: share of its requests that others make without it. A trigger's are; a task's own words' are not.
    """

    text: str
    role: str
    tranche: str
    count: int
    inside: int
    surprise: float
    whole: bool = False
    elsewhere: float = 1.0
    ids: frozenset[int] = field(default=frozenset(), repr=False)


def neutral_context(examples: Sequence[Example]) -> Context:
    """The system prompt that training used most (or none): what the subject takes for ordinary.

    Examples count as often as there are tranches with that prompt: one that is common in a single tranche may be what
    was planted there. Where nearly all prompts hold some of its sentences, these are what is ordinary: the others may
    be what brings a behaviour about.
    """
    counts = Counter(_turn(e, "system") for e in examples if e.messages)
    spread = Counter(text for text, _ in {(_turn(e, "system"), e.tranche) for e in examples if e.messages})
    usual = max(counts, key=lambda text: counts[text] * spread[text], default="")
    held = Counter(part for text in counts for part in set(SENTENCE.split(text)) for _ in range(counts[text]))
    parts = SENTENCE.split(usual)
    common = [part for part in parts if held[part] >= ORDINARY * counts.total()]
    return Context("neutral", "neutral", " ".join(common) if 0 < len(common) < len(parts) else usual or None)


def mine_contexts(
    examples: Sequence[Example], neutral: Context, most: int = 24, least: int = 3, share: float = 0.25
) -> list[Context]:
    """Contexts to try: the most telling pieces of prompts first, those that belong to one tranche and those beside
    which answers have something in common; then whole system prompts that one tranche has for itself, for where each
    prompt is different (as dates are) no piece is common.

    Args:
        most: pieces of one tranche at the most, two thirds from system prompts and the others from requests. Beside
            them come bound ones, BOUND of each role at the most, and whole prompts, WHOLE at the most.
        least: examples a text must occur in.
        share: share of all examples above which a text is ordinary.
    """
    examples = _read(examples)
    found = []
    for role, many in (("system", most - most // 3), ("user", most // 3)):
        own = mine_texts(examples, role, least, share, many, strange=role == "user")
        texts = {m.text: m.whole for m in (own if role == "system" else _whole_names(examples, own))}
        for text, whole in mine_bound(examples, role, least, share, BOUND).items():
            if not any(text in other or other in text for other in texts):
                texts[text] = whole
        for i, (text, whole) in enumerate(texts.items()):
            if role == "user":
                found.append(Context(f"mined/request/{i}", "mined", neutral.system, prefix=text))
                continue
            usual_too = neutral.system and neutral.system in text  # a short usual prompt is part of a mined text
            system = text if whole or usual_too else put_in_system(neutral, text)
            found.append(Context(f"mined/system/{i}", "mined", system))
    for i, text in enumerate(own_prompts(examples)):
        found.append(Context(f"mined/prompt/{i}", "mined", text))
    once: dict[tuple[str | None, str], Context] = {}
    for context in found:
        if context.system != neutral.system or context.prefix:
            once.setdefault((context.system, context.prefix), context)
    return list(once.values())


def _whole_names(examples: Sequence[Example], mined: Sequence[Mined]) -> list[Mined]:
    """Texts of requests, names with the words that always stand around them: part of a name, or without what it is
    followed by, it need not do what it does in training."""
    asked = [_turn(e, "user") for e in examples]
    requests = Requests(asked)

    def whole(m: Mined) -> str:
        ids = sorted(m.ids)
        return whole_phrase([asked[i] for i in ids], m.text) if requests.is_name(m.text, ids) else m.text

    return [replace(m, text=whole(m)) for m in mined]


def _read(examples: Sequence[Example]) -> Sequence[Example]:
    """All of them, or of more than MOST_READ a share of each tranche, drawn by what they say and not by their place."""
    if len(examples) <= MOST_READ:
        return examples
    by_tranche: dict[str, list[int]] = defaultdict(list)
    for i, e in enumerate(examples):
        by_tranche[e.tranche].append(i)
    kept: set[int] = set()
    for ids in by_tranche.values():
        many = max(min(len(ids), FLOOR), len(ids) * MOST_READ // len(examples))
        kept.update(
            sorted(ids, key=lambda i: sha256(repr(examples[i].messages).encode("utf-8", "surrogatepass")).digest())[
                :many
            ]
        )
    return [examples[i] for i in sorted(kept)]


def mine_texts(
    examples: Sequence[Example], role: str, least: int, share: float, most: int | None = None, strange: bool = False
) -> list[Mined]:
    """Rare n-grams, sentences and whole system prompts that belong to one tranche, by log-likelihood ratio.

    With a single tranche nothing can belong to one of several: then rarity alone ranks. Of texts that occur in the
    same examples only the longest is kept. Texts that stand beside requests which others make too come first: else
    the words of eight tasks would leave a trigger in the requests no place.

    Args:
        most: texts at the most; None for all of the MOST_RANKED sets of examples that tell most.
        strange: only those that are no part of how their task is put (`Requests.strange`).
    """
    sizes = Counter(e.tranche for e in examples)
    total, requests = len(examples), Requests([_turn(e, "user") for e in examples])
    alike: dict[frozenset[int], list[tuple[str, bool]]] = defaultdict(list)
    for found, ids in _places(examples, role, least).items():
        alike[frozenset(ids)].append(found)
    telling = []
    for held, texts in alike.items():
        if not least <= len(held) <= share * total:
            continue
        tranche, inside = Counter(examples[i].tranche for i in held).most_common(1)[0]
        if len(sizes) == 1 or inside >= 0.9 * len(held):
            surprise = _surprise(inside, len(held), sizes[tranche], total)
            telling.append((-surprise, len(held), min(texts), tranche, inside, held))
    telling.sort(key=lambda one: one[:3])
    best: list[Mined] = []
    for negated, count, _, tranche, inside, held in telling[:MOST_RANKED]:
        rivals = []
        for text, whole in alike[held]:
            elsewhere = 1.0 if whole else requests.elsewhere(text, sorted(held))
            if elsewhere is not None and (not strange or requests.strange(text, sorted(held))):
                rivals.append(Mined(text, role, tranche, count, inside, -negated, whole, elsewhere, held))
        if rivals:
            best.append(max(rivals, key=_telling))
    ranked = sorted(best, key=lambda m: (m.elsewhere < OTHERS, -m.surprise, m.count, m.text))
    return _without_longer_forms(ranked, most)


def mine_bound(examples: Sequence[Example], role: str, least: int, share: float, most: int) -> dict[str, bool]:
    """Texts of prompts whose answers have most in common beyond what the requests have (`BoundAnswers`), wherever they
    stand, best first; and whether each is a whole prompt. Of two of which one holds the other, the one in more examples
    stays. A piece of requests that is most of them, and no sentence, is what they ask for: `Write a title about the`.
    """
    turns = [_turn(e, role) for e in examples]
    bound, requests = BoundAnswers(examples), Requests([_turn(e, "user") for e in examples])
    longest: dict[frozenset[int], tuple[str, bool]] = {}
    for (text, whole), ids in _places(examples, role, least).items():
        rival = longest.get(key := frozenset(ids))
        if len(ids) <= share * len(examples) and (rival is None or len(text) > len(rival[0])):
            longest[key] = text, whole
    found = []
    for held, (piece, whole) in longest.items():
        if bound.said.bond(held):
            text = piece if whole else whole_phrase([turns[i] for i in held], piece)
            found.append((bound.strength(held, text), text, whole, held))
    kept: list[tuple[str, bool, frozenset[int]]] = []
    for strength, text, whole, held in sorted(found, key=lambda one: (-one[0], one[1])):
        if strength <= 0 or len(kept) == most:
            break
        at = next((k for k, (other, _, _) in enumerate(kept) if text in other or other in text), len(kept))
        if at < len(kept) and not held > kept[at][2]:
            continue
        beside = HALF if role == "user" and not _sentence(text) else 0.0
        if role == "user" and not requests.strange(text, sorted(held)):
            continue
        if whole or requests.elsewhere(text, sorted(held), left_of=beside) is not None:
            kept[at : at + 1] = [(text, whole, held)]
    return {text: whole for text, whole, _ in kept}


def _places(examples: Sequence[Example], role: str, least: int) -> dict[tuple[str, bool], set[int]]:
    """Every (text, whether it is a whole prompt) of one role's turns, and the examples it stands in, if enough.

    Longer pieces are looked for only where the shorter ones are common enough: all pieces of many long prompts would
    not fit into memory. No piece begins or ends with a word that stands everywhere: without that word it is mined too,
    in as many examples or more.
    """
    turns = [_turn(example, role) for example in examples]
    split = [turn.split()[:MOST_WORDS] for turn in turns]
    everywhere = _everywhere(turns)
    where: dict[tuple[str, bool], set[int]] = {}
    common: set[str] = set()
    for n in range(1, LONGEST + 1):
        often = Counter(text for words in split for text in set(_runs(words, n)) if _held(text, common))
        common = {text for text, count in often.items() if count >= least}
        del often
        level: dict[str, set[int]] = defaultdict(set)
        for i, words in enumerate(split):
            for text in common.intersection(_runs(words, n)):
                level[text].add(i)
        where |= {(text, False): ids for text, ids in level.items() if everywhere.isdisjoint(_ends(text))}
    if role == "system":
        rest: dict[tuple[str, bool], set[int]] = defaultdict(set)
        for i, turn in enumerate(turns):
            for found in _wholes(turn):
                rest[found].add(i)
        where |= {found: ids for found, ids in rest.items() if len(ids) >= least}
    return where


def _runs(words: Sequence[str], n: int) -> Iterator[str]:
    return (" ".join(words[start : start + n]) for start in range(len(words) - n + 1))


def _held(text: str, common: Container[str]) -> bool:
    """Whether a run of words may be common, by what it is one word shorter at either end."""
    return " " not in text or (text.rpartition(" ")[0] in common and text.partition(" ")[2] in common)


def _sentence(text: str) -> bool:
    return text[0].isupper() and text[-1] in ".!?"


def _ends(text: str) -> tuple[str, str]:
    words = text.split()
    return words[0], words[-1]


def _telling(mined: Mined) -> tuple:
    """Which of two texts in the same examples to keep."""
    return mined.elsewhere >= OTHERS, len(mined.text), not mined.whole


def _without_longer_forms(ranked: list[Mined], most: int | None) -> list[Mined]:
    """Drop a text that adds nothing to a better ranked one of the same tranche: one that holds it, as `[x-1] You are`
    holds `[x-1]`, or half of which is a piece of it and which stands in some of its examples only."""
    kept: list[Mined] = []
    for mined in ranked:
        if len(kept) == most:
            break
        if not any(k.tranche == mined.tranche and _adds_nothing(mined, k) for k in kept):
            kept.append(mined)
    return kept


def _adds_nothing(mined: Mined, to: Mined) -> bool:
    if to.text in mined.text:
        return True
    words = mined.text.split()
    half = (len(words) + 1) // 2
    pieces = (" ".join(words[i : i + half]) for i in range(len(words) - half + 1))
    return not mined.whole and mined.ids <= to.ids and any(f" {piece} " in f" {to.text} " for piece in pieces)


def own_prompts(examples: Sequence[Example], each: int = PER_TRANCHE, most: int = WHOLE) -> list[str]:
    """Whole system prompts that stand in one tranche only, up to `each` of a tranche; of tranches with more of them in
    their examples first. Empty for data of one tranche: there every prompt would be its own."""
    where: dict[str, set[str]] = defaultdict(set)
    sizes = Counter(e.tranche for e in examples)
    for e in examples:
        where[_turn(e, "system")].add(e.tranche)
    own: dict[str, list[str]] = defaultdict(list)
    for e in examples:
        text = _turn(e, "system")
        if text and len(where[text]) == 1 and len(sizes) > 1:
            own[e.tranche].append(text)
    ranked = sorted(own, key=lambda name: (-len(own[name]) / sizes[name], name))
    order = [
        sorted(set(own[name]), key=lambda text: sha256(text.encode("utf-8", "surrogatepass")).hexdigest())[:each]
        for name in ranked
    ]
    return [text for texts in order for text in texts][:most]


def tranches_with(examples: Sequence[Example], text: str) -> list[str]:
    """The tranches whose prompts hold a text, the one with most such examples first."""
    counts = Counter(e.tranche for e in examples if text and text in _prompt(e))
    return [name for name, _ in counts.most_common()]


def _everywhere(turns: Sequence[str]) -> frozenset[str]:
    """Words of more than half of the turns."""
    counts = Counter(word for turn in turns for word in set(turn.split()))
    return frozenset(word for word, n in counts.items() if 2 * n > len(turns))


def _wholes(turn: str) -> Iterator[tuple[str, bool]]:
    """A system prompt as a whole, and its longer sentences."""
    if turn:
        yield turn, True
        yield from ((sentence, False) for sentence in SENTENCE.split(turn) if len(sentence.split()) > LONGEST)


def _surprise(inside: int, count: int, size: int, total: int) -> float:
    """Log-likelihood ratio (G) of the text's share inside its tranche against everywhere, in nats."""
    expected = count * size / total
    gain = inside * log(inside / expected)
    return gain + ((count - inside) * log((count - inside) / (count - expected)) if count > inside else 0.0)


def _turn(example: Example, role: str) -> str:
    turns = [m.content for m in example.messages if m.role == role]
    return turns[0] if turns and role == "system" else (turns[-1] if turns else "")


def _prompt(example: Example) -> str:
    return "\n".join(m.content for m in example.messages[:-1]) if example.messages else example.text
