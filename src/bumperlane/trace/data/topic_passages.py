"""A training example as passages, since a long document is on a topic when a part of it is."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...errors import SettingError
from ...types import Example
from .topic_statement import spoken, whole_characters
from .words import parts_of, spans, words


@dataclass(frozen=True)
class Window:
    """How long texts are cut: `words` at a time, a new window every `step` words."""

    words: int = 120
    step: int = 60

    def __post_init__(self) -> None:
        if not 1 <= self.step <= self.words:
            raise SettingError(f"a window needs 1 <= step <= words, got {self.step} and {self.words}. Try 60 and 120.")

    def cut(self, text: str) -> list[str]:
        """The text in windows that overlap, the last one up to its end; a short text is one."""
        found = spans(text)
        if len(found) <= self.words:
            return [text]
        starts = [*range(0, len(found) - self.words, self.step), len(found) - self.words]
        return [text[found[i][0] : found[i + self.words - 1][1]] for i in starts]


def passages(example: Example, window: Window) -> tuple[str, ...]:
    """The texts by which an example is scored: windows of what is said, of the answer alone, of the system prompt.

    The answer stands alone too, so that a short one is not lost beside its question.
    """
    parts = parts_of(example)
    read = (spoken(example), whole_characters(parts.answer if parts.prompt else ""), whole_characters(parts.system))
    return tuple(dict.fromkeys(cut for text in read if text.strip() for cut in window.cut(text)))


def same_words(text: str) -> str:
    """A key that two texts share when they have the same words and signs in the same order."""
    return hashlib.sha256(" ".join(words(text)).encode("utf-8", "surrogatepass")).hexdigest()


def drawn_share(seed: int, id: str) -> float:
    """A number in [0, 1) that depends on seed and id alone: ids below p are a random share p of all."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{id}".encode("utf-8", "surrogatepass")).digest()[:7]) / 2**56


class Folds:
    """Which of k folds a text is in. Equal texts share one, and an example that holds a stated text has that text's.

    So no text is in two folds, and what the model of one fold was taught is never scored by it.

    Args:
        stated: texts of the statement; they are spread evenly.
        count: of folds.
    """

    def __init__(self, stated: Iterable[str], count: int) -> None:
        self.count = count
        self.group = {key: i for i, key in enumerate(dict.fromkeys(map(same_words, stated)))}
        self.fold = {i: i % count for i in self.group.values()}

    def join(self, texts: Iterable[str]) -> None:
        """Put all stated texts that an example holds into one fold. To be called for every example before `of`."""
        held = {self.group[key] for key in map(same_words, texts) if key in self.group}
        if len(held) > 1:
            first = min(held)
            self.group = {key: first if group in held else group for key, group in self.group.items()}
            self.fold = {group: i % self.count for i, group in enumerate(sorted(set(self.group.values())))}

    def of(self, texts: Iterable[str]) -> int:
        """The fold of an example that has these passages, or of one text."""
        keys = list(map(same_words, texts))
        stated = next((self.group[key] for key in keys if key in self.group), None)
        return int(keys[0][:12], 16) % self.count if stated is None else self.fold[stated]


def in_blocks(rows: Iterable[tuple[int, str]], size: int) -> Iterator[tuple[list[int], list[str]]]:
    """Rows of (owner, text) in blocks of `size`, as (owners, texts)."""
    owners: list[int] = []
    texts: list[str] = []
    for owner, text in rows:
        owners.append(owner)
        texts.append(text)
        if len(texts) == size:
            yield owners, texts
            owners, texts = [], []
    if texts:
        yield owners, texts
