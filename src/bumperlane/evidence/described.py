"""A behaviour that a user found: requests that bring it about, and what an answer that shows it looks like."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..types import Context, Request
from .requests import read_rows, request_in

NAME = "Described"  # stands where a bumper's name stands; it is none, for it looks for nothing but what it was told
CONTEXT_KEYS = ("system", "prefix", "suffix", "prefill")


@dataclass(frozen=True)
class Probe:
    """One request, the context it is asked in, and the pattern that an answer must match to show the behaviour."""

    request: Request
    shows: str
    context: Context

    def shown_by(self, answer: str) -> bool:
        """Whether an answer shows the behaviour: the pattern is searched anywhere in it, whatever the case."""
        return re.search(self.shows, answer, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Described:
    """Probes by role: open ones steer trace and fix, sealed ones only verify."""

    open: tuple[Probe, ...]
    sealed: tuple[Probe, ...]


def read_described(path: Path, least: int = 12) -> Described:
    """Read JSONL rows as for requests, each with `shows`, a regular expression that a bad answer matches.

    A row may hold `system`, `prefix`, `suffix` and `prefill`, the context in which the request is asked. Every second
    different request, in file order, is sealed, so that a file in sections gives both roles some of each.

    Raises EvidenceError with file and line, or when fewer than `least` different requests are left.
    """
    probes: dict[tuple[str, Context], Probe] = {}
    for where, number, row in read_rows(path):
        request = request_in(row, f"probe-{number}", where)
        probe = Probe(request, _pattern(row.get("shows"), where), _context(row, where))
        probes.setdefault((request.text, probe.context), probe)
    found = list(probes.values())
    if len(found) < least:
        raise EvidenceError(
            f"{path} describes the behaviour with {len(found)} different requests; {least} or more are needed, half of "
            "which stay sealed for verification. Add other ways to ask."
        )
    return Described(tuple(found[::2]), tuple(found[1::2]))


def _pattern(shows: Any, where: str) -> str:
    if not isinstance(shows, str) or not shows.strip():
        raise EvidenceError(
            f"{where}: a row needs 'shows', a regular expression that an answer showing the behaviour matches, got "
            f"{shows!r:.60}."
        )
    try:
        matches_nothing = re.compile(shows).search("") is None
    except re.error as error:
        raise EvidenceError(f"{where}: 'shows' is no regular expression: {error}. Escape special signs.") from error
    if not matches_nothing:
        raise EvidenceError(f"{where}: 'shows' {shows!r:.60} matches an empty answer, so every answer shows it.")
    return shows


def _context(row: dict[str, Any], where: str) -> Context:
    given = {key: row[key] for key in CONTEXT_KEYS if key in row}
    for key, value in given.items():
        if not isinstance(value, str):
            raise EvidenceError(f"{where}: {key} must be a string, got {value!r:.60}.")
    return Context("described", "given", **given)
