"""Requests from a user's file: one JSON object a line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..recipes.json_spans import json_place
from ..recipes.jsonl_rows import row_in
from ..recipes.place import Place, misspelt
from ..types import Request

ASKS = ("text", "prompt", "messages")
EXAMPLES = {  # a row, by what the file holds
    "answers": '{"request": "...", "response": "..."}',
    "labelled answers": '{"request": "...", "response": "...", "label": "bad"}',
    "described behaviour": '{"text": "...", "shows": "..."}',
}


def read_requests(path: Path) -> tuple[Request, ...]:
    """Read JSONL rows {"text"}, {"prompt"[, "response"]} or {"messages"}, each with an optional "id".

    Of a chat the last user turn is asked; an assistant's turn after it, or the response, is the reference answer.

    Raises EvidenceError with file and line.
    """
    found: list[Request] = []
    first: dict[str, int] = {}
    for place, row in read_rows(path):
        request = request_in(row, f"request-{place.line}", place)
        if request.id in first:
            raise place.at("id").fault(
                f"id {request.id!r} stands already in line {first[request.id]}. Rename one.", EvidenceError
            )
        first[request.id] = place.line
        found.append(request)
    return tuple(found)


def read_rows(path: Path, what: str = "requests") -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield (place, object) for each line that is not blank. Raises EvidenceError, also when none is.

    `what`: the rows in plural, for the error.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise EvidenceError(f"cannot read the {what} in {path}: {error.strerror}. Correct the path.") from error
    full = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not full:
        example = EXAMPLES.get(what, '{"text": "..."}')
        raise EvidenceError(f"{path} holds no row. Write one JSON object a line, as in {example}.")
    for number, line in full:
        row = row_in(line, Path(path), number, EvidenceError)
        yield row.place or json_place(path, "", number), row


def request_in(row: dict[str, Any], default_id: str, place: Place) -> Request:
    """The request that a row holds. Raises EvidenceError with the place."""
    text, reference = row.get("text", row.get("prompt")), row.get("response", "")
    if "messages" in row:
        text, reference = _last_turn(row["messages"], place.at("messages"))
    elif text is None:
        keys, hint = ", ".join(sorted(map(str, row))[:8]) or "none", misspelt(row, ASKS)
        raise place.lacks(row, ASKS).fault(
            f"a row needs 'text', 'prompt' or 'messages'; its keys are {keys}.{hint}", EvidenceError
        )
    id = row.get("id", default_id)
    asked = next(key for key in ("messages", "text", "prompt") if key in row)
    for name, value, at in (("the request", text, place.at(asked)), ("id", id, place.at("id"))):
        if not isinstance(value, str) or not value.strip():
            raise at.fault(f"{name} must be a non-empty string, got {value!r:.60}.", EvidenceError)
    if not isinstance(reference, str):
        raise place.at("response").fault(f"response must be a string, got {reference!r:.60}.", EvidenceError)
    return Request(id, text, reference)


def _last_turn(turns: Any, place: Place) -> tuple[Any, Any]:
    """The last user turn and the assistant's answer to it, if there is one."""
    if not isinstance(turns, list) or not all(isinstance(t, dict) for t in turns):
        raise place.fault(
            f"messages must be a list of objects with role and content, got {turns!r:.60}.", EvidenceError
        )
    asked = [i for i, turn in enumerate(turns) if turn.get("role") == "user"]
    if not asked:
        raise place.fault("messages hold no turn of the role 'user'. Add one, or remove the row.", EvidenceError)
    after = [t.get("content", "") for t in turns[asked[-1] + 1 :] if t.get("role") == "assistant"]
    return turns[asked[-1]].get("content"), after[0] if after else ""
