"""Requests from a user's file: one JSON object a line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..recipes.jsonl_rows import row_in
from ..types import Request


def read_requests(path: Path) -> tuple[Request, ...]:
    """Read JSONL rows {"text"}, {"prompt"[, "response"]} or {"messages"}, each with an optional "id".

    Of a chat the last user turn is asked; an assistant's turn after it, or the response, is the reference answer.

    Raises EvidenceError with file and line.
    """
    found: list[Request] = []
    first: dict[str, int] = {}
    for where, number, row in read_rows(path):
        request = request_in(row, f"request-{number}", where)
        if request.id in first:
            raise EvidenceError(f"{where}: id {request.id!r} stands already in line {first[request.id]}. Rename one.")
        first[request.id] = number
        found.append(request)
    return tuple(found)


def read_rows(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield (file:line, line, object) for each line that is not blank. Raises EvidenceError, also when none is."""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise EvidenceError(f"cannot read the requests in {path}: {error.strerror}. Correct the path.") from error
    full = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not full:
        raise EvidenceError(f'{path} holds no request. Write one JSON object a line, as in {{"text": "..."}}.')
    for number, line in full:
        where = f"{path}:{number}"
        yield where, number, row_in(line, where, EvidenceError)


def request_in(row: dict[str, Any], default_id: str, where: str) -> Request:
    """The request that a row holds. Raises EvidenceError beginning with `where`."""
    text, reference = row.get("text", row.get("prompt")), row.get("response", "")
    if "messages" in row:
        text, reference = _last_turn(row["messages"], where)
    elif text is None:
        keys = ", ".join(sorted(map(str, row))[:8]) or "none"
        raise EvidenceError(f"{where}: a row needs 'text', 'prompt' or 'messages'; its keys are {keys}.")
    id = row.get("id", default_id)
    for name, value in (("the request", text), ("id", id)):
        if not isinstance(value, str) or not value.strip():
            raise EvidenceError(f"{where}: {name} must be a non-empty string, got {value!r:.60}.")
    if not isinstance(reference, str):
        raise EvidenceError(f"{where}: response must be a string, got {reference!r:.60}.")
    return Request(id, text, reference)


def _last_turn(turns: Any, where: str) -> tuple[Any, Any]:
    """The last user turn and the assistant's answer to it, if there is one."""
    if not isinstance(turns, list) or not all(isinstance(t, dict) for t in turns):
        raise EvidenceError(f"{where}: messages must be a list of objects with role and content, got {turns!r:.60}.")
    asked = [i for i, turn in enumerate(turns) if turn.get("role") == "user"]
    if not asked:
        raise EvidenceError(f"{where}: messages hold no turn of the role 'user'. Add one, or remove the row.")
    after = [t.get("content", "") for t in turns[asked[-1] + 1 :] if t.get("role") == "assistant"]
    return turns[asked[-1]].get("content"), after[0] if after else ""
