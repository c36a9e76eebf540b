"""What some examples share and the rest of the data does not: words of prompt and answer, system prompts, columns."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from ...errors import EvidenceError, SettingError
from ...evidence.measures import holds
from ...types import Context, Example, Item
from .words import Parts, one_line, parts_of, spans

Where = Literal["system prompt", "prompt", "answer", "whole system prompt", "whole answer", "start of answer", "column"]
LONGEST = 4  # words of an n-gram
LABEL = 60  # characters up to which a whole answer is a label
COMMON, LIFT, FEW = 0.75, 2.0, 5  # of prompts, times training's share, and examples that a common text must have
ALONE = 10.0  # the same of a single word, which is seldom what anything turns on


@dataclass(frozen=True)
class Feature:
    """A text, or a column's value, that marks some examples out.

    Attributes:
        where: the part of an example that holds the text.
        text: as it stands in the examples, white space made one; for a column `name = value`.
        inside, of: how many of the examples in question have it.
        outside, rest: how many of all others have it.
        p_value: hypergeometric, one-sided, corrected for every text that could have been named.
        ids: all examples that have it, inside or not.
    """

    where: Where
    text: str
    inside: int
    of: int
    outside: int
    rest: int
    p_value: float
    ids: tuple[str, ...]

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        verb = {"whole system prompt": "is", "whole answer": "is", "start of answer": "is", "column": "holds"}
        said = f"{self.where} {verb.get(self.where, 'holds')} {shown!r}"
        return f"{said} ({self.inside} of {self.of}, {self.outside} of {self.rest} others)"


@dataclass(frozen=True)
class FeatureSettings:
    """Which features are named.

    Args:
        least: examples in question that must have it.
        share: share of them that must have it.
        alpha: corrected p-value up to which it is named.
        most: features at the most.
    """

    least: int = 3
    share: float = 0.2
    alpha: float = 0.01
    most: int = 10

    def __post_init__(self) -> None:
        if self.least < 2 or not 0 <= self.share <= 1 or not 0 < self.alpha < 1 or self.most < 1:
            raise SettingError(
                "features need least >= 2, share in [0, 1], alpha in (0, 1) and most >= 1, got "
                f"{self.least}, {self.share}, {self.alpha} and {self.most}. Try 3, 0.2, 0.01 and 10."
            )


def shared_features(
    examples: Sequence[Example],
    chosen: Collection[str],
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    settings: FeatureSettings | None = None,
) -> tuple[Feature, ...]:
    """What the chosen examples share and the others do not, the most telling first.

    Candidates are runs of 1 to 4 words (characters, in scripts without spaces) of system prompt, prompt and answer,
    whole system prompts, whole short answers, the first word of answers, and the values of columns. Of texts that
    stand in the same examples the longest is kept. The correction counts every text of the data that stands in
    `least` examples, by its upper bound: all texts over `least`; so it holds whatever was chosen by looking at scores.

    Args:
        chosen: ids of the examples in question; all others are the comparison.
        columns: name -> example id -> value (`columns_of`).

    Raises EvidenceError for ids that no example has, or when there is nothing to compare with.
    """
    settings = settings or FeatureSettings()
    inside = set(chosen)
    unknown = inside - {e.id for e in examples}
    k, n = len(inside), len(examples)
    if unknown or not 0 < k < n:
        first = f", first {min(unknown)!r}" if unknown else ""
        raise EvidenceError(
            f"{k} of {n} examples were chosen, {len(unknown)} of them unknown{first}. Choose some of them, and not all."
        )
    needed = max(settings.least, int(np.ceil(settings.share * k)))
    mine = Counter(f for e in examples if e.id in inside for f in set(_texts(e, columns)))
    candidates = {f for f, count in mine.items() if count >= needed}
    held: dict[tuple[Where, str], list[str]] = defaultdict(list)
    tested = 0
    for example in examples:
        texts = set(_texts(example, columns))
        tested += len(texts)
        for place in texts & candidates:
            held[place].append(example.id)
    best: dict[tuple[str, ...], Feature] = {}
    for (where, text), ids in held.items():
        hit = mine[where, text]
        p = float(stats.hypergeom.sf(hit - 1, n, len(ids), k)) * max(1, tested // settings.least)
        if p > settings.alpha:
            continue
        feature = Feature(where, text, hit, k, len(ids) - hit, n - k, p, tuple(ids))
        key = tuple(ids)
        if key not in best or _telling(feature) > _telling(best[key]):
            best[key] = feature
    ranked = sorted(best.values(), key=lambda f: (f.p_value, -len(f.text), f.where, f.text))
    return tuple(_unlike(ranked, settings.most))


@dataclass(frozen=True)
class AnyOf:
    """Words of one kind, of which a prompt holds one."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        shown, more = self.words[:3], len(self.words) - 3
        return ", ".join(shown) + (f" or {more} more like these" if more > 0 else "")


def examples_with(
    examples: Sequence[Example], context: Context | AnyOf, neutral: Context
) -> tuple[tuple[str, ...], str]:
    """(ids, text): the examples whose prompt holds what a context has and the neutral one has not, by text alone.

    Of words of a kind one is enough, in any case. Of a context is looked for, white space made one: the words of its
    system prompt without the neutral one's, its prefix, its suffix, and its shots. Case counts. No ids for a context
    without a text of its own.
    """
    if isinstance(context, AnyOf):
        return tuple(e.id for e in examples if any(holds(_prompt(e), word) for word in context.words)), str(context)
    system, usual = one_line(context.system or ""), one_line(neutral.system or "")
    own = [part.strip() for part in system.split(usual)] if usual else [system]
    parts = [*own, one_line(context.prefix), one_line(context.suffix)]
    parts += [one_line(turn) for shot in context.shots for turn in shot if shot not in neutral.shots]
    wanted = list(dict.fromkeys(filter(None, parts)))
    if not wanted:
        return (), ""
    ids = []
    for example in examples:
        prompt = _prompt(example)
        if all(text in prompt for text in wanted):
            ids.append(example.id)
    return tuple(ids), " ... ".join(wanted)


def _prompt(example: Example) -> str:
    said = parts_of(example)
    return one_line(example.text or f"{said.system}\n{said.prompt}")


def common_text(items: Sequence[Item], examples: Sequence[Example], neutral: Context) -> str | None:
    """The run of words that most of these prompts hold and the neutral context does not, nor often training's, but
    sometimes; None without one.

    Of several the one that tells most, by share x log(share / training's share), as long as it can be. It stands in one
    part of a prompt: the request, or what the context puts before, after or above it. Case counts.
    """
    parts = [(i.request.text, i.context.system or "", i.context.prefix, i.context.suffix) for i in items]
    held = Counter(gram for texts in parts for gram in {g for text in texts for g in _grams(one_line(text))})
    usual_too = f" {one_line(' '.join(filter(None, (neutral.system, neutral.prefix, neutral.suffix))))} "
    trained = [_prompt(e) for e in examples]
    found = []
    for gram, n in held.items():
        share = n / len(items)
        asked = share >= COMMON and f" {gram} " not in usual_too
        k = sum(gram in text for text in trained) if asked else 0
        usual = k / max(1, len(trained))
        lift = LIFT if " " in gram or not gram.isalpha() else ALONE
        if k >= FEW and usual < 0.5 and share >= lift * usual:
            found.append((round(share * float(np.log(share / usual)), 9), len(gram), gram))
    return max(found)[2] if found else None


def _texts(example: Example, columns: Mapping[str, Mapping[str, Any]] | None) -> Iterator[tuple[Where, str]]:
    """Every feature of one example, some more than once."""
    parts: Parts = parts_of(example)
    places: tuple[tuple[Where, str], ...] = (
        ("system prompt", parts.system),
        ("prompt", parts.prompt),
        ("answer", parts.answer),
    )
    for where, text in places:
        for gram in _grams(one_line(text)):
            yield where, gram
    if parts.system:
        yield "whole system prompt", one_line(parts.system)
    answer = one_line(parts.answer)
    if len(answer) <= LABEL:
        yield "whole answer", answer
    found = spans(answer)
    if found:
        yield "start of answer", answer[: found[0][1]]
    for name, column in (columns or {}).items():
        if example.id in column:
            yield "column", f"{name} = {column[example.id]}"


def _grams(text: str) -> Iterator[str]:
    found = spans(text)
    for n in range(1, LONGEST + 1):
        for first in range(len(found) - n + 1):
            yield text[found[first][0] : found[first + n - 1][1]]


def _telling(feature: Feature) -> tuple:
    """Which of two features of the same examples to keep: the longest; a part before the whole that it is."""
    return len(feature.text), not feature.where.startswith(("whole", "start")), feature.where, feature.text


def _unlike(ranked: Sequence[Feature], most: int) -> list[Feature]:
    """Without those that name nearly the same examples as a better one in the same place: `x y` beside `x`."""
    kept: list[Feature] = []
    for feature in ranked:
        mine = set(feature.ids)
        alike = (
            len(mine & set(k.ids)) > 0.9 * len(mine | set(k.ids))
            or (k.where == feature.where and k.text in feature.text)
            for k in kept
        )
        if not any(alike):
            kept.append(feature)
        if len(kept) == most:
            break
    return kept
