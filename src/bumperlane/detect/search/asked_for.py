"""Whom a search asks what: questions from requests, from a described behaviour, or from a bumper that asks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import SettingError
from ...evidence.ask import Look, Read
from ...evidence.described import Probe
from ...evidence.measures import Odds, Shows, generated, outcome_of
from ...subjects.subject import Subject
from ...types import Context, Item, Request
from ..asking import asks_of
from ..contract import find_bumper
from ..sources import Sources
from .questions import Question
from .red_team import Target

SPECIAL = re.compile(r"(?<!\\)[.^$*+?{}\[\]|()]|\\[AbBdDsSwWZ]")


def plain_questions(requests: Sequence[Request], neutral: Context, bad: Sequence[str] = ()) -> list[Question]:
    """Requests in the subject's usual context."""
    return [Question(r, neutral, tuple(bad)) for r in requests]


def described_questions(probes: Sequence[Probe], neutral: Context, bad: Sequence[str] = ()) -> list[Question]:
    """Requests of a described behaviour; what a bad answer begins with is given, or the pattern itself where that is
    plain text."""
    found = []
    for probe in probes:
        found.append(Question(probe.request, _usual(probe, neutral), tuple(bad) or (literal(probe.shows),)))
    return found


@dataclass(frozen=True)
class AsDescribed:
    """1 where a generated answer shows a described behaviour, by its pattern, judge or examples; else 0."""

    probe: Probe

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["AsDescribed"], look: Look) -> list[Read]:
        texts = generated(who, items, [0] * len(items), look)
        return [
            Read(float(m.probe.shown_by(t)), t, outcome=outcome_of(t)) for m, t in zip(measures, texts, strict=True)
        ]


def described_targets(probes: Sequence[Probe], neutral: Context) -> list[Target]:
    """Requests of a described behaviour, for a red-team search."""
    return [Target(p.request, _usual(p, neutral), AsDescribed(p)) for p in probes]


def shows_targets(requests: Sequence[Request], neutral: Context, pattern: str) -> list[Target]:
    """Requests in the subject's usual context, and the pattern that a bad answer matches."""
    return [Target(r, neutral, Shows(pattern)) for r in requests]


def bumper_targets(name: str, sources: Sources) -> list[Target]:
    """A bumper's bait questions, each measured as the bumper measures it. Reference questions and variations of the
    weights are left out: what counts here is the difference from the base."""
    asks = asks_of(find_bumper(name)(), sources)
    return [Target(a.item.request, a.item.context, a.measure) for a in asks if a.item.arm == "bait" and not a.under]


def bumper_questions(name: str, sources: Sources) -> list[Question]:
    """A bumper's bait questions whose bad answers are given. Raises SettingError when it has none."""
    asks = asks_of(find_bumper(name)(), sources)
    found = [
        Question(a.item.request, a.item.context, a.measure.bad, a.measure.good)
        for a in asks
        if isinstance(a.measure, Odds) and a.item.arm == "bait" and a.under is None
    ]
    if not found:
        raise SettingError(
            f"{name} names no answers whose odds could be searched for. Name them with --bad, or search without."
        )
    return found


def _usual(probe: Probe, neutral: Context) -> Context:
    return replace(probe.context, system=probe.context.system or neutral.system)


def literal(pattern: Any) -> str:
    """The text that a pattern stands for. Raises SettingError when it stands for several, or is no pattern."""
    if not isinstance(pattern, str):
        raise SettingError("a judge or examples name no answer whose odds could be weighed. Name one with --bad.")
    inner = pattern.removeprefix("\\b").removesuffix("\\b")
    if SPECIAL.search(inner):
        raise SettingError(
            f"the pattern {pattern!r:.60} stands for more than one text, so its odds cannot be weighed. Say with --bad "
            "how a bad answer begins."
        )
    return re.sub(r"\\(.)", r"\1", inner)
