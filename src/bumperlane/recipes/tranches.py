"""Training examples, read from JSONL files, each with a stable id; a recipe's edits (drop, relabel) applied."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..types import Example, Message
from .jsonl_rows import RowIds, read_rows
from .models import Recipe, Tranche
from .place import Key, Place, misspelt
from .provenance import content_key

HELD_OUT = "held_out"
PAIR = ("prompt", "response")


def read_examples(recipe: Recipe) -> tuple[Example, ...]:
    """All examples that a recipe trains on, in its order, after `drop` and `relabel`.

    Raises RecipeError, with file and line, for rows that cannot be read and for ids that are used twice.
    """
    kept: list[Example] = []
    first: dict[str, str] = {}
    for tranche in recipe.tranches:
        examples = read_tranche(tranche.path, tranche.name)
        for example in examples:
            if example.id in first:
                raise RecipeError(
                    f"{tranche.path}: id {example.id!r} of tranche {tranche.name!r} is used in tranche "
                    f"{first[example.id]!r} too. Rename one: an id stands for one example."
                )
            first[example.id] = tranche.name
        kept += edited(tranche, examples)
    return tuple(kept)


def edited(tranche: Tranche, examples: Sequence[Example]) -> list[Example]:
    """A tranche's examples without the dropped ones, the relabelled ones with their new answer."""
    wrong = unknown_edit(tranche, [e.id for e in examples])
    if wrong:
        raise RecipeError(f"{tranche.path}: {wrong[0]} of tranche {tranche.name!r} names {wrong[2]}")
    dropped = set(tranche.drop)
    return [_relabelled(e, tranche) for e in examples if e.id not in dropped]


def unknown_edit(tranche: Tranche, ids: Iterable[str]) -> tuple[str, str | int, str] | None:
    """The first id in `drop` or `relabel` that no example has: (key, place in it, what to say). None if all exist."""
    known = set(ids)
    named: list[tuple[str, str | int, str]] = [("drop", i, id) for i, id in enumerate(tranche.drop)]
    named += [("relabel", id, id) for id in tranche.relabel]
    for key, place, id in named:
        if id not in known:
            close = difflib.get_close_matches(id, sorted(known), n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}?" if close else f"The first ids are {sorted(known)[:3]}."
            return key, place, f"id {id!r}, which none of {len(known)} examples in {tranche.path.name} has. {hint}"
    return None


def read_held_out(recipe: Recipe) -> tuple[Example, ...]:
    """Benign chats whose last message is the reference answer. Empty when the recipe names no file.

    Raises RecipeError when one of them is also trained on.
    """
    if recipe.held_out is None:
        return ()
    trained = {_content_key(e): e.id for e in read_examples(recipe)}
    examples = read_tranche(recipe.held_out, HELD_OUT)
    for example in examples:
        twin = trained.get(_content_key(example))
        if twin is not None:
            raise RecipeError(
                f"{recipe.held_out}: held-out example {example.id!r} is trained on as {twin!r}. "
                "Remove one of the two: a held-out example must not be in a tranche."
            )
    return examples


def read_tranche(path: Path, name: str) -> tuple[Example, ...]:
    """The examples of one JSONL file, in file order.

    A row is {"messages": [{"role", "content"}, ...]}, {"prompt", "response"} or {"text"}, each with an optional "id".
    The default id is `<name>/<first 10 hex digits of the content's sha256>`, with `-2`, `-3` for repeats. Other keys
    are ignored.

    Raises RecipeError with file and line.
    """
    examples: list[Example] = []
    ids = RowIds(path, name)
    for place, row in read_rows(path):
        messages, text = _content(row, place)
        example = Example("?", name, messages, text)
        examples.append(replace(example, id=ids.of(place, row, _content_key(example))))
    return tuple(examples)


def to_row(example: Example) -> dict[str, Any]:
    """The JSONL row of an example, id included."""
    if example.text:
        return {"id": example.id, "text": example.text}
    return {"id": example.id, "messages": [{"role": m.role, "content": m.content} for m in example.messages]}


def _content(row: dict[str, Any], place: Place) -> tuple[tuple[Message, ...], str]:
    if "messages" in row:
        turns = row["messages"]
        if not isinstance(turns, list) or not turns:
            raise place.at("messages").fault(
                f"messages must be a list of at least one message, got {turns!r:.60}. Give each a role and content."
            )
        return _messages(turns, place, [("messages", i) for i in range(len(turns))]), ""
    if "prompt" in row and "response" in row:
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]
        return _messages(turns, place, [("prompt",), ("response",)]), ""
    if "text" not in row:
        wanted, keys = ("messages", *PAIR, "text"), ", ".join(sorted(map(str, row))[:8]) or "none"
        raise place.lacks(row, wanted).fault(
            f"a row needs 'messages', 'prompt' and 'response', or 'text'; its keys are {keys}.{misspelt(row, wanted)}"
        )
    if not isinstance(row["text"], str) or not row["text"].strip():
        raise place.at("text").fault("text is empty or no string. Fill it in or remove the row.")
    return (), row["text"]


def _messages(turns: list[Any], place: Place, at: Sequence[tuple[Key, ...]]) -> tuple[Message, ...]:
    """`at`: the keys that lead to each turn."""
    messages = []
    for i, turn in enumerate(turns):
        missing = {"role", "content"} - set(turn) if isinstance(turn, dict) else {"role", "content"}
        if missing:
            hint = misspelt(turn, missing) if isinstance(turn, dict) else ""
            raise place.at(*at[i]).fault(f"message {i + 1} lacks {' and '.join(sorted(missing))}.{hint}")
        role, content = turn["role"], turn["content"]
        if not isinstance(role, str) or not isinstance(content, str):
            wrong = place.at(*at[i], "content" if isinstance(role, str) else "role")
            raise wrong.fault(f"message {i + 1}: role and content must be strings, got {role!r}, {content!r:.60}.")
        if not content.strip() and role != "system":  # an empty system prompt switches a template's default off
            empty = place.at(*at[i], "content")
            raise empty.fault(f"message {i + 1} ({role}) has empty content. Fill it in or remove the row.")
        messages.append(Message(role, content))
    if messages[-1].role != "assistant":
        raise place.at(*at[-1], "role").fault(
            f"the last message is from {messages[-1].role!r}. End the chat with 'assistant'."
        )
    return tuple(messages)


def _relabelled(example: Example, tranche: Tranche) -> Example:
    answer = tranche.relabel.get(example.id)
    if answer is None:
        return example
    if example.text or not answer.strip():
        what = "it is plain text, without an answer" if example.text else "the new answer is empty"
        raise RecipeError(f"{tranche.path}: cannot relabel {example.id!r}: {what}. Drop it instead.")
    return replace(example, messages=(*example.messages[:-1], Message("assistant", answer)))


def _content_key(example: Example) -> str:
    return content_key(example.text or [[m.role, m.content] for m in example.messages])
