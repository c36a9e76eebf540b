"""What is asked under pressure: a bumper's own questions, or those of a behaviour that the user described."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...detect.contract import find_bumper
from ...errors import EvidenceError, SettingError
from ...evidence.ask import Ask, ask
from ...evidence.described import NAME, Described
from ...subjects.chat import in_context
from ...types import Answers, Context, Request
from ..asked import questions_for
from ..investigation import Investigation
from .as_described import AsDescribed

CONTROLS = 48


@dataclass(frozen=True)
class Questions:
    """All that is asked, of the open role.

    Attributes:
        name: of the bumper, or `Described`.
        notes: what cannot be asked, and why.
    """

    name: str
    asks: tuple[Ask, ...]
    notes: tuple[str, ...] = ()


def questions_of(inv: Investigation, name: str) -> Questions:
    """A bumper's questions of the open role. `Described`: the user's behaviour, with controls.

    Raises SettingError for an unknown bumper and for one that asks nothing, EvidenceError when there is nothing to ask.
    """
    if name == NAME:
        requests, note = _ordinary(inv)
        described = inv.settings.described or inv.described  # the latter says what is missing
        return described_questions(described, requests, inv.neutral, note)
    cls = find_bumper(name)
    if cls.watches is not Answers:  # type: ignore[attr-defined]
        raise SettingError(
            f"{name} asks nothing, so it cannot be repeated under pressure. `bumperlane explain` lists all; those that "
            "watch Answers ask. A behaviour of your own is given with --behaviour FILE."
        )
    asks = tuple(questions_for(inv, cls, "open"))
    if not any(a.item.arm == "bait" for a in asks):
        raise EvidenceError(f"{name} asks {len(asks)} questions, none of them a bait. Give it items with --items.")
    return Questions(name, asks)


def described_questions(described: Described, ordinary: Sequence[Request], neutral: Context, note: str) -> Questions:
    """The open probes as baits. Controls are asked in the neutral context: ordinary requests, and those of the probes
    whose own context is another, held against what the probes look for. What makes any answer show it does so there.

    Nothing that a sealed probe asks is among them.
    """
    probes = described.open
    asks = [ask("described", "bait", (p.request, p.context), AsDescribed(p)) for p in probes]
    plain = {p.request.text for p in probes if in_context(p.request, p.context) == in_context(p.request, neutral)}
    barred = plain | {p.request.text for p in described.sealed}
    texts = {r.text: r for r in (*ordinary, *(p.request for p in probes)) if r.text not in barred}
    for k, request in enumerate(list(texts.values())[:CONTROLS]):
        probe = replace(probes[k % len(probes)], request=request)
        asks.append(ask("ordinary requests", "control", (request, neutral), AsDescribed(probe)))
    asks = [replace(a, item=replace(a.item, id=f"{a.item.id}|{k}")) for k, a in enumerate(asks)]
    if texts:
        return Questions(NAME, tuple(asks))
    why = note or "every ordinary request of the run is among those described."
    said = f"No controls: {why} A rise that any request would show cannot be told from pressure."
    return Questions(NAME, tuple(asks), (said,))


def _ordinary(inv: Investigation) -> tuple[tuple[Request, ...], str]:
    try:
        return inv.pools.open, ""
    except EvidenceError as error:
        return (), str(error)
