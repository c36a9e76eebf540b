"""A behaviour that a user found: requests that bring it about, and what an answer that shows it looks like."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..recipes.place import Place, refuse_misspelt
from ..types import Context, Request
from .by_checks import ByChecks
from .requests import ASKS, read_rows, request_in
from .shown_by import ByExamples, ByJudge, examples_in, judge_in, revived
from .traits import HasTrait

NAME = "Described"  # stands where a bumper's name stands; it is none, for it looks for nothing but what it was told
CONTEXT_KEYS = ("system", "prefix", "suffix", "prefill")
WAYS = {"shows": "shows", "judged": "judged", "like": "like", "unlike": "like"}


@dataclass(frozen=True)
class Probe:
    """One request, the context it is asked in, and what tells that an answer shows the behaviour.

    `shows` is a pattern, a validated judge, examples, two reward functions of the recipe, or a trait. Read back from a
    case it may be the JSON of a judge or examples.
    """

    request: Request
    shows: str | ByJudge | ByExamples | ByChecks | HasTrait
    context: Context

    def __post_init__(self) -> None:
        if isinstance(self.shows, Mapping):
            object.__setattr__(self, "shows", revived(self.shows))

    def shown_by(self, answer: str) -> bool:
        """Whether an answer shows the behaviour. A pattern is searched anywhere in it, whatever the case.

        Raises EvidenceError when a judge gives no verdict.
        """
        if isinstance(self.shows, str):
            return re.search(self.shows, answer, re.IGNORECASE) is not None
        return self.shows.shown(self.request.text, answer)


@dataclass(frozen=True)
class Described:
    """Probes by role: open ones steer trace and fix, sealed ones only verify."""

    open: tuple[Probe, ...]
    sealed: Sequence[Probe]


def read_described(path: Path, least: int = 12) -> Described:
    """Read JSONL rows as for requests, each with one of three things that tell a bad answer: `shows`, a regular
    expression that it matches; `judged`, a question, with `judge` and `validation`; `like` and `unlike`, examples.

    A row may hold `system`, `prefix`, `suffix` and `prefill`, the context in which the request is asked. Every second
    different request, in file order, is sealed, so that a file in sections gives both roles some of each.

    Raises EvidenceError with file and line, or when fewer than `least` different requests are left.
    """
    probes: dict[tuple[str, Context], Probe] = {}
    for place, row in read_rows(path, "described behaviour"):
        asked = [key for key in ASKS if key in row] or list(ASKS)  # one of them is enough
        refuse_misspelt(row, (*asked, *WAYS, *CONTEXT_KEYS, "judge", "validation", "replies"), place, EvidenceError)
        request = request_in(row, f"probe-{place.line}", place)
        probe = Probe(request, _shows(row, place, path.parent), _context(row, place))
        probes.setdefault((request.text, probe.context), probe)
    found = list(probes.values())
    if len(found) < least:
        raise EvidenceError(
            f"{path} describes the behaviour with {len(found)} different requests; {least} or more are needed, half of "
            "which stay sealed for verification. Add other ways to ask."
        )
    return Described(tuple(found[::2]), tuple(found[1::2]))


def _shows(row: dict[str, Any], place: Place, folder: Path) -> str | ByJudge | ByExamples:
    given = sorted({way for key, way in WAYS.items() if key in row})
    if len(given) > 1:
        raise place.at(given[-1], on="key").fault(
            f"a row is told by 'shows', 'judged' or 'like' and 'unlike', got {given}. Keep one.", EvidenceError
        )
    if given == ["judged"]:
        return judge_in(row, place, folder)
    return examples_in(row, place, folder) if given == ["like"] else _pattern(row.get("shows"), place.at("shows"))


def _pattern(shows: Any, place: Place) -> str:
    if not isinstance(shows, str) or not shows.strip():
        raise place.fault(
            f"a row needs 'shows', a regular expression that an answer showing the behaviour matches, got "
            f"{shows!r:.60}.",
            EvidenceError,
        )
    try:
        matches_nothing = re.compile(shows).search("") is None
    except re.error as error:
        raise place.fault(f"'shows' is no regular expression: {error}. Escape special signs.", EvidenceError) from error
    if not matches_nothing:
        raise place.fault(f"'shows' {shows!r:.60} matches an empty answer, so every answer shows it.", EvidenceError)
    return shows


def _context(row: dict[str, Any], place: Place) -> Context:
    given = {key: row[key] for key in CONTEXT_KEYS if key in row}
    for key, value in given.items():
        if not isinstance(value, str):
            raise place.at(key).fault(f"{key} must be a string, got {value!r:.60}.", EvidenceError)
    return Context("described", "given", **given)
