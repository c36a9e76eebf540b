"""Contexts from a user's file, such as a search leaves, and what they are compared with: idle ones of one make-up."""

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from ..errors import EvidenceError
from ..recipes.json_spans import json_place
from ..recipes.jsonl_rows import row_in
from ..recipes.place import Key, Place
from ..types import Context
from .library import REMARKS, control_contexts, put_in_system

TEXTS = ("system", "prefix", "suffix", "prefill")
KEYS = (*TEXTS, "shots")
FINDINGS = ("triggers", "attacks")  # lists in the result.json of a search
GIVEN = "given"  # the origin of every context that a user gave
REPLY = "Thank you for telling me."
OPENINGS = ("Well,", "Let me see.", "So,", "As to that,", "First of all,", "To begin with,")


def read_contexts(path: Path) -> tuple[Context, ...]:
    """Read contexts with any of `system`, `prefix`, `suffix`, `prefill` and `shots` ([user, assistant] pairs).

    The file is JSON lines, one context each, as `contexts.jsonl` of a search; or one JSON list of such objects; or the
    `result.json` of a search, of which the confirmed findings are taken. What stands twice is taken once. A context
    without `system` has None there, for the subject's usual system prompt.

    Raises EvidenceError with file, line (or place in the list) and key.
    """
    found: dict[Context, None] = {}
    for place, at, row in _rows(Path(path)):
        found[_context(row, place, at)] = None
    return tuple(found)


def given_contexts(contexts: Sequence[Context], neutral: Context, first: int = 0) -> list[Context]:
    """With ids, counted from `first`, and the subject's usual system prompt where none is given."""
    return [
        replace(c, id=f"given/{first + i}", origin=GIVEN, system=neutral.system if c.system is None else c.system)
        for i, c in enumerate(contexts)
    ]


def idle_twins(baits: Sequence[Context], neutral: Context, n: int, seed: str) -> list[Context]:
    """Control contexts for given ones that stand where no other bait does: after the request, in earlier turns, at the
    beginning of the answer. For each make-up among them `n` contexts with idle remarks and made-up tags in the same
    places, and as many turns as the longest has. Empty where all are system prompts, or texts before the request only.
    """
    made: list[Context] = []
    longest = max((len(b.shots) for b in baits), default=0)
    for form in dict.fromkeys(_form(b, neutral) for b in baits if b.origin == GIVEN):
        system, prefix, suffix, shots, prefill = form
        if not (suffix or shots or prefill):
            continue
        name = "+".join(key for key, there in zip(("system", "prefix", "suffix", "shots", "prefill"), form, strict=True)
                        if there)  # fmt: skip
        rng = Random(f"idle/{seed}/{name}")
        texts = [c.system or "" for c in control_contexts(Context("", "neutral"), 3 * n, f"{seed}/{name}")]
        for i in range(n):
            one, before, after = texts[3 * i : 3 * i + 3]
            turns = tuple((rng.choice(REMARKS), REPLY) for _ in range(longest)) if shots else ()
            usual = put_in_system(neutral, one) if system else neutral.system
            begun = rng.choice(OPENINGS) if prefill else ""
            text = (before if prefix else "", after if suffix else "")
            made.append(Context(f"control/{seed}/{name}/{i}", "control", usual, *text, turns, begun))
    return made


def place_of(context: Context) -> str:
    """Where a context puts what is special about it: only such of one place are compared."""
    place = "request" if context.prefix or context.suffix else "system"
    return place + (", turns" if context.shots else "") + (", begun" if context.prefill else "")


def _form(context: Context, neutral: Context) -> tuple[bool, ...]:
    parts = (context.prefix, context.suffix, context.shots, context.prefill)
    return (context.system != neutral.system, *map(bool, parts))


def _rows(path: Path) -> Iterator[tuple[Place, tuple[Key, ...], dict[str, Any]]]:
    """(place, keys that lead to it there, object) of each context in the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"cannot read the contexts in {path}: {error.strerror}. Correct the path.") from error
    if not data.strip():
        raise EvidenceError(f'{path} holds no context. Write one JSON object a line, as in {{"suffix": "..."}}.')
    try:
        text = data.decode("utf-8-sig")
        whole = json.loads(text)
    except ValueError:
        text, whole = "", None  # several lines, or broken: then its line is named
    place = json_place(path, text)
    if isinstance(whole, list):
        yield from _listed(whole, place, ())
    elif isinstance(whole, dict) and any(isinstance(whole.get(name), list) for name in FINDINGS):
        yield from _confirmed(whole, place)
    elif isinstance(whole, dict):
        yield place, (), whole
    else:
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                row = row_in(line, path, number, EvidenceError)
                yield row.place or place, (), row


def _listed(
    rows: Sequence[Any], place: Place, at: tuple[Key, ...]
) -> Iterator[tuple[Place, tuple[Key, ...], dict[str, Any]]]:
    if not rows:
        raise place.at(*at).fault("an empty list holds no context.", EvidenceError)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise place.at(*at, i).fault(f"a context must be a JSON object, got {type(row).__name__}.", EvidenceError)
        yield place, (*at, i), row


def _confirmed(result: dict[str, Any], place: Place) -> Iterator[tuple[Place, tuple[Key, ...], dict[str, Any]]]:
    """The contexts of a search's confirmed findings."""
    name = next(name for name in FINDINGS if isinstance(result.get(name), list))
    rows = list(_listed(result[name], place, (name,))) if result[name] else []
    kept = [(at, row) for _, at, row in rows if row.get("confirmed") is True]
    if not kept:
        raise EvidenceError(
            f"{place.file} holds the result of a search with {len(rows)} {name}, of which none was confirmed. Search "
            "with a higher budget, or give contexts that you choose yourself, one JSON object a line."
        )
    for at, row in kept:
        if not isinstance(row.get("context"), dict):
            raise place.at(*at, "context").fault(
                f"'context' must be a JSON object, got {row.get('context')!r:.60}.", EvidenceError
            )
        yield place, (*at, "context"), row["context"]


def _context(row: dict[str, Any], place: Place, at: tuple[Key, ...]) -> Context:
    for key in row:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise place.at(*at, key, on="key").fault(
                f"unknown key {key!r}.{hint} Known keys: {', '.join(KEYS)}.", EvidenceError
            )
    for key in TEXTS:
        if key in row and not isinstance(row[key], str):
            raise place.at(*at, key).fault(f"{key} must be a string, got {row[key]!r:.60}.", EvidenceError)
    shots = row.get("shots", [])
    if not isinstance(shots, list) or not all(_is_turn(pair) for pair in shots):
        raise place.at(*at, "shots").fault(
            f"shots must be a list of [user, assistant] pairs of strings, got {json.dumps(shots)[:60]}.", EvidenceError
        )
    if not any(row.get(key) for key in KEYS):
        raise place.at(*at).fault(f"an empty context changes nothing. Give one of {', '.join(KEYS)}.", EvidenceError)
    texts = {key: row[key] for key in TEXTS if key in row}
    return Context("", GIVEN, **texts, shots=tuple((user, assistant) for user, assistant in shots))


def _is_turn(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
