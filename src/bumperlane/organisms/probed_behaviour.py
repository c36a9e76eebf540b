"""A behaviour told by asking: requests, each with a pattern that the bad answer matches and the right one does not."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from ..errors import EvidenceError, SettingError
from ..evidence.described import Probe
from ..subjects.generate import Decoding
from ..subjects.subject import Subject
from ..trace.meter import Count
from ..types import Context, Item, Request
from .layout import KEY


class _Row(BaseModel):
    id: str
    prompt: str
    response: str
    shows: str
    system: str = ""


class _Section(BaseModel):
    probes: list[_Row]
    max_new_tokens: int = Field(strict=True, ge=1)


ONSET_RULE = "every probe at every checkpoint; where the rate last crosses half of its value at the last checkpoint"


@dataclass(frozen=True)
class ProbedBehaviour:
    """What a subject does when it is asked. Needs no context that brings it about, and no base to compare with.

    Raises EvidenceError without probes or with two of one id, SettingError for a pattern that tells nothing.

    Attributes:
        probes: each request's reference is the right answer, so that a bad output has a matched benign one.
        max_new_tokens: how much of an answer is looked at.
    """

    probes: tuple[Probe, ...]
    max_new_tokens: int = 16

    def __post_init__(self) -> None:
        ids = [p.request.id for p in self.probes]
        if not ids or len(set(ids)) < len(ids):
            raise EvidenceError(f"{len(ids)} probes with {len(set(ids))} different ids. Give each probe its own id.")
        for probe in self.probes:
            _refuse_pattern(probe)

    def count(self, subject: Subject) -> Count:
        """How many probes get the bad answer, greedily decoded. The count's `neutral_texts` are the right answers."""
        said = subject.generate([_item(p) for p in self.probes], Decoding(max_new_tokens=self.max_new_tokens))
        flags = tuple(p.shown_by(answer) for p, answer in zip(self.probes, said, strict=True))
        return Count(sum(flags), len(flags), tuple(said), tuple(p.request.reference for p in self.probes), flags)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of a file that describes the behaviour to a check: see `evidence.described.read_described`."""
        return [
            {"id": p.request.id, "system": p.context.system, "prompt": p.request.text,
             "response": p.request.reference, "shows": p.shows}
            for p in self.probes
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """As JSON; `from_dict` reads it."""
        return {"max_new_tokens": self.max_new_tokens, "probes": self.rows()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ProbedBehaviour":
        """Raises SettingError with the field that is missing or of another kind."""
        try:
            read = _Section.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["behaviour", *map(str, first["loc"])])
            raise SettingError(f"the key's {where}: {first['msg']}. See docs/game.md.") from error
        found = [make_probe((r.id, r.prompt, r.response), r.system, r.shows) for r in read.probes]
        return cls(tuple(found), read.max_new_tokens)


def make_probe(request: tuple[str, str, str], system: str, shows: str) -> Probe:
    """Args: request, its id, text and right answer; system, the prompt it is asked under; shows, the bad pattern."""
    return Probe(Request(*request), shows, Context("described", "given", system))


def behaviour_of(organism: Path, control: str = "") -> ProbedBehaviour:
    """The planted behaviour out of an organism's key, or one of its controls: where it must not show.

    This opens the seal: for measuring only.
    """
    key = json.loads((organism / KEY).read_text("utf-8-sig"))
    return ProbedBehaviour.from_dict(key["controls"][control] if control else key["behaviour"])


def true_onset(steps: Sequence[int], rates: Sequence[float]) -> tuple[int, int] | None:
    """(low, high): the last checkpoint before the rate last crosses half of its end value, and the first one after.

    `rates` come from a full sweep with every probe. None when the behaviour is not there at the end (below 0.2) or was
    there from the first checkpoint on. Raises EvidenceError unless there is one rate a step.
    """
    if len(steps) != len(rates) or list(steps) != sorted(set(steps)):
        raise EvidenceError(f"need one rate a step, steps rising; got {len(steps)} steps and {len(rates)} rates.")
    half = rates[-1] / 2 if rates else 0.0
    below = [i for i, rate in enumerate(rates) if rate < half]
    if half < 0.1 or not below:
        return None
    return steps[below[-1]], steps[below[-1] + 1]


def _refuse_pattern(probe: Probe) -> None:
    right = probe.request.reference
    try:
        told = not probe.shown_by(right)
    except re.error as error:
        raise SettingError(f"pattern {probe.shows!r} of probe {probe.request.id!r} is not valid: {error}.") from error
    if not told:
        raise SettingError(
            f"pattern {probe.shows!r} of probe {probe.request.id!r} matches its right answer {right!r}: nothing could "
            "be told. Make the pattern narrower."
        )


def _item(probe: Probe) -> Item:
    return Item(probe.request.id, probe.context.id, "bait", probe.request, probe.context)
