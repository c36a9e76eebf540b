"""A request in other words, without a model: by its case, punctuation, frame and order, or as a user puts it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..errors import EvidenceError
from ..types import Item


def other_case(text: str) -> str:
    """All in lower case; a text that is so already, in upper case."""
    return text.lower() if text != text.lower() else text.upper()


def other_punctuation(text: str) -> str:
    """Without the marks between and around words; apostrophes and hyphens inside a word, and decimals, stay."""
    bare = re.sub(r"(?<=\w)(['’.,-])(?=\w)|[^\w\s]|_", lambda m: m.group(1) or " ", text)
    bare = " ".join(bare.split())
    return bare if bare and bare != text else f"{text.rstrip()} ..."


def polite(text: str) -> str:
    """In a polite frame."""
    return f"Could you please help me with the following? {text} Thank you very much."


def other_order(text: str) -> str:
    """Its last sentence first; of a single sentence, its last clause first."""
    sentences = re.findall(r"\S.*?(?:[.!?]+(?=\s|$)|\n+|$)", text)
    if len(sentences) > 1:
        return " ".join(s.strip() for s in (sentences[-1], *sentences[:-1]))
    clauses = [c for c in re.split(r"\s*[,;:]\s+", text.strip()) if c]
    return ", ".join((clauses[-1], *clauses[:-1])) if len(clauses) > 1 else text


WORDINGS: dict[str, Callable[[str], str]] = {
    "case": other_case,
    "punctuation": other_punctuation,
    "order": other_order,
}
FRAMES: dict[str, Callable[[str], str]] = {"polite": polite}
EDITS = (*WORDINGS, *FRAMES)  # the kinds of rephrasing, in the order of `edits_of`


def edits_of(item: Item) -> tuple[Item, ...]:
    """The item under each of EDITS.

    A wording is changed in all that the user wrote (the request and what stands around it, as one text) and in the
    system prompt, since a trigger may stand in either; a frame is put around what the user wrote. Earlier turns and a
    begun answer stay. An edit that finds nothing to change leaves the item as it is.

    Raises EvidenceError when the user wrote nothing.
    """
    context = item.context
    text = " ".join(part for part in (context.prefix, item.request.text, context.suffix) if part)
    if not text.strip():
        raise EvidenceError(f"request {item.request.id!r} is empty, so there is nothing to put in other words.")
    made = []
    for name, edit in {**WORDINGS, **FRAMES}.items():
        system = edit(context.system) if context.system and name in WORDINGS else context.system
        around = replace(context, system=system, prefix="", suffix="")
        made.append(replace(item, request=replace(item.request, text=edit(text)), context=around))
    return tuple(made)


def paraphrases_of(item: Item, texts: Mapping[str, Sequence[str]]) -> tuple[Item, ...]:
    """The item with its request replaced by each of a user's paraphrases, by the request's id. The context stays.

    Raises EvidenceError when there is none, or when one is the request itself.
    """
    given = texts.get(item.request.id, ())
    if not given or item.request.text in given:
        raise EvidenceError(
            f"request {item.request.id!r} has {len(given)} paraphrases, {list(given).count(item.request.text)} of them "
            "equal to itself. Give one or more in other words."
        )
    return tuple(replace(item, request=replace(item.request, text=text)) for text in given)
