"""What a filter of training data is told: a topic in words, texts on it and off it, and examples that were reviewed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EvidenceError, SettingError
from ...recipes.jsonl_rows import read_rows
from ...recipes.place import Place, misspelt, refuse_misspelt
from ...recipes.schema import nearest
from ...recipes.tranches import read_tranche
from ...types import Example
from .words import parts_of

MARK = "on_topic"
TOPIC_KEYS = ("about", "text", "prompt", "response", "messages")


@dataclass(frozen=True)
class Topic:
    """A topic as its user states it. Raises SettingError when nothing is stated.

    Attributes:
        about: a description, in a sentence or two.
        inside: texts on the topic, in the user's own words or from anywhere.
        outside: texts off it, best of the kind that could be taken for it.
    """

    about: str = ""
    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.texts:
            raise SettingError(
                "no topic is stated. Describe it (--about), or give texts on it (--topic, --examples-of)."
            )
        both = set(self.texts) & set(self.outside)
        if both:
            raise SettingError(f"{min(both)!r:.60} is stated to be on the topic and off it. Take one of the two out.")

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is on the topic, the description first."""
        return tuple(dict.fromkeys(filter(str.strip, (self.about, *self.inside))))


def read_topic(path: Path | None = None, about: str = "", examples_of: Sequence[Path] = ()) -> Topic:
    """The topic out of a file, a description and files of examples that are all on it, put together.

    A row of `path` is {"about": ...}, or a text as in a tranche ("text", "prompt" and "response", or "messages") with
    "on_topic": false where it is off the topic. `examples_of` are JSONL files as tranches are.

    Raises RecipeError or EvidenceError, with file and line, for rows that cannot be read.
    """
    described, inside, outside = [about.strip()], [], []
    for place, row in read_rows(path) if path else ():
        if isinstance(row.get("about"), str):
            described.append(row["about"].strip())
        elif _marked(row, place):
            inside.append(_text(row, place))
        else:
            outside.append(_text(row, place))
    for file in examples_of:
        inside += [spoken(example) for example in read_tranche(file, file.stem)]
    return Topic(" ".join(filter(None, described)), tuple(inside), tuple(outside))


def read_reviewed(path: Path, known: Collection[str]) -> dict[str, bool]:
    """Example id -> whether it is on the topic, as a reader marked it; rows with null are not marked yet.

    Raises EvidenceError for an id that no example has, or when no row is marked.
    """
    marks: dict[str, bool] = {}
    rows = 0
    for place, row in read_rows(path):
        rows += 1
        id = row.get("id")
        if id not in known:
            raise place.at("id").fault(f"no example has the id {id!r}. {nearest(str(id), known, 'ids')}", EvidenceError)
        refuse_misspelt(row, (MARK,), place, EvidenceError)
        if row.get(MARK) is not None:
            marks[str(id)] = _marked(row, place)
    if not marks:
        raise EvidenceError(f"{path}: none of {rows} rows is marked. Set {MARK!r} to true or false.")
    return marks


def spoken(example: Example) -> str:
    """What a user and the assistant say in an example; the system prompt is left out."""
    parts = parts_of(example)
    return whole_characters("\n".join(filter(None, (parts.prompt, parts.answer))))


def whole_characters(text: str) -> str:
    """The text with each half of a surrogate pair replaced: JSON can hold one, and nothing else can read it."""
    return text.encode("utf-8", "replace").decode()


def _marked(row: dict[str, Any], place: Place) -> bool:
    mark = row.get(MARK, True)
    if not isinstance(mark, bool):
        raise place.at(MARK).fault(f"{MARK!r} must be true or false, got {mark!r:.40}.", EvidenceError)
    return mark


def _text(row: dict[str, Any], place: Place) -> str:
    turns = row.get("messages")
    if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        said = [turn.get("content") for turn in turns if turn.get("role") != "system"]
    else:
        said = [row[key] for key in ("text", "prompt", "response") if key in row]
    text = "\n".join(s for s in said if isinstance(s, str)).strip()
    if not text:
        keys, hint = ", ".join(sorted(map(str, row))[:8]) or "none", misspelt(row, TOPIC_KEYS)
        raise place.lacks(row, TOPIC_KEYS).fault(
            f"a row of a topic needs 'about', 'text', 'prompt' and 'response', or 'messages'; its keys are {keys}."
            f"{hint}",
            EvidenceError,
        )
    return whole_characters(text)
