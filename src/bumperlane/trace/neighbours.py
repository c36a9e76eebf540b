"""Near its threshold? Then the same bumper with more requests, at neighbouring sites, and in neighbouring contexts."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from ..case import BumperResult, Case, Group
from ..detect.contract import find_bumper, reads_log, samples_rollouts
from ..errors import CaseError, EvidenceError
from ..evidence.library import put_in_system
from ..judge.check import added_text, bait_contexts, shown
from ..judge.investigation import Investigation
from ..judge.rates import binomial_tail
from ..judge.readings import read_readings
from ..judge.second_look import SECOND
from ..subjects.activations import blocks_of
from ..subjects.rephrasings import other_case, other_punctuation
from ..types import Activations, Answers, Context, Departures, PairedActivations, Request
from .finer import Finer, FinerSettings, Variant, finer
from .look import Look, Place, look_at

DEPTHS = (0.35, 0.5, 0.7, 1.0)  # shares of the blocks, tried where the check read another
ODD = 0.1  # chance in one context alone below which a clear result is near its threshold
FACTOR = 10.0  # a hit whose p-value is within this factor of alpha is near as well
INTERNALS_MOST = 8  # requests that a check asks a bumper of internals, at the most


@dataclass(frozen=True)
class _Spot:
    """A variant with the place that it looks at."""

    variant: Variant
    place: Place


def near_threshold(result: BumperResult, alpha: float, tolerated: float) -> str:
    """Why a result is near its threshold, in words; nothing when it is not.

    A hit: its p-value over all bumpers and contexts is above alpha / 10. A clear one: its worst context alone, not
    corrected for the others, would be odd at 0.1.
    """
    if result.verdict == "blind" or not result.groups:
        return ""
    worst = result.groups[0]
    told = f"{worst.over} of {worst.of} requests above the threshold in its worst context"
    if result.verdict == "hit":
        close = result.p_holm is not None and result.p_holm > alpha / FACTOR
        return f"a hit with {told}, p = {result.p_holm:.2g} near {alpha:g}" if close else ""
    p = binomial_tail(worst.over, worst.of, tolerated)
    return f"clear with {told}, by itself p = {p:.2g}" if p <= ODD else ""


def refine(inv: Investigation, case: Case, bumper: str, settings: FinerSettings | None = None) -> Finer:
    """Look again with one bumper of a case whose result was near its threshold. Each look goes to the ledger.

    A new look asks open requests that the check did not ask this bumper. Its own `alpha` comes on top of the check's,
    and is spent once for each bumper that is refined.

    Raises CaseError when the bumper is not in the case, was blind, or was not near; EvidenceError when the check left
    no open request unasked.
    """
    settings = settings or FinerSettings(item_alpha=inv.settings.item_alpha)
    result = next((r for r in case.bumpers if r.bumper == bumper), None)
    if result is None:
        raise CaseError(f"{bumper} is not in this case, which has {', '.join(r.bumper for r in case.bumpers)}.")
    if not near_threshold(result, inv.settings.alpha, inv.settings.tolerated_rate):
        raise CaseError(f"{bumper} is not near its threshold ({result.verdict}: {result.why}), so it is decided.")
    cls, worst = find_bumper(bumper), result.groups[0]
    fresh = fresh_requests(inv, cls)
    spots = {s.variant.name: s for s in spots_of(inv, result, worst, len(fresh))}

    def measure(variant: Variant, start: int, n: int) -> Look:
        inv.say(f"looking again: {variant.name}", start, variant.requests)
        look = look_at(inv, cls, spots[variant.name].place, fresh[start : start + n])
        inv.ledger.look(
            bumper, "open", f"finer: {variant.name}, requests {start} to {start + n}",
            key=f"finer/{inv.step}/{variant.name}/{start}/{n}",
        )  # fmt: skip
        return look

    return finer([s.variant for s in spots.values()], measure, (worst.over, worst.of), settings)


def fresh_requests(inv: Investigation, cls: type) -> tuple[Request, ...]:
    """Open requests that the check did not ask this bumper, at its second look neither. Raises EvidenceError when there
    are none."""
    s = inv.settings
    behaviour = cls.watches is Departures  # type: ignore[attr-defined]
    asked = s.screen + s.requests if behaviour else min(s.requests, INTERNALS_MOST)
    again = asked_again_in(inv.directory, cls.__name__)
    fresh = tuple(r for r in inv.pools.open[asked:] if r.id not in again)
    if not fresh:
        raise EvidenceError(
            f"the check asked {cls.__name__} all {len(inv.pools.open)} open requests, so no fresh one is left to look "
            "again. Add held-out chats or pass --requests."
        )
    return fresh


def asked_again_in(directory: Path, bumper: str) -> set[str]:
    """Ids of the requests of a bumper's second look in a case."""
    readings = read_readings(directory) or ()
    return {
        name.split("|", 1)[-1] for r in readings if r.bumper == bumper and r.look == SECOND for name in r.scores.ids
    }


def can_be_refined(bumper: str) -> bool:
    """Whether a bumper puts requests into contexts. Those that ask questions of their own, and those that read
    rollouts, have no neighbouring ones."""
    cls = find_bumper(bumper)
    return not (cls.watches is Answers or reads_log(cls) or samples_rollouts(cls))  # type: ignore[attr-defined]


def spots_of(inv: Investigation, result: BumperResult, worst: Group, fresh: int) -> list[_Spot]:
    """All variants of a result with their places: the judged place first, then sites, then contexts."""
    context = next((c for c in bait_contexts(inv) if c.id == worst.name), None)
    if find_bumper(result.bumper).watches is Answers:  # type: ignore[attr-defined]
        raise CaseError(
            f"{result.bumper} asks questions of its own, not requests in contexts. Check with more --requests."
        )
    if context is None:
        raise CaseError(f"context {worst.name!r} is no longer among those tried. Check the run again.")
    cls = find_bumper(result.bumper)
    behaviour = cls.watches is Departures  # type: ignore[attr-defined]
    controls = inv.settings.controls * inv.settings.requests if behaviour else 0  # as the check set its threshold
    home = Place(inv.step, context, inv.settings.depth, result.threshold or 0.0, controls)
    spots = [_Spot(Variant("more requests", "more requests", fresh), home)]
    for depth in neighbouring_depths(inv, cls):
        name = f"internals read at depth {depth:g}"
        spots.append(_Spot(Variant(name, "neighbouring site", fresh), replace(home, depth=depth)))
    for near in neighbouring_contexts(inv, context):
        name = f"the context {shown(near)!r}"
        spots.append(_Spot(Variant(name, "neighbouring context", fresh), replace(home, context=near)))
    return list({s.variant.name: s for s in spots}.values())


def neighbouring_depths(inv: Investigation, cls: type) -> list[float]:
    """Depths whose blocks are others than those of the check; none for a bumper that reads no or all blocks."""
    if cls.watches not in (Activations, PairedActivations):  # type: ignore[attr-defined]
        return []
    blocks = len(blocks_of(inv.base.host.model))
    kept: dict[int, float] = {}
    for depth in (inv.settings.depth, *DEPTHS):
        kept.setdefault(min(blocks - 1, int(depth * blocks)), depth)
    return [d for d in kept.values() if d != inv.settings.depth]


def neighbouring_contexts(inv: Investigation, context: Context) -> list[Context]:
    """Shorter, longer, moved and reworded forms of what a context adds to the usual prompt."""
    text, words = added_text(context, inv.neutral), added_text(context, inv.neutral).split()
    half = (len(words) + 1) // 2
    texts = {
        "first-half": " ".join(words[:half]) if len(words) > 1 else "",
        "second-half": " ".join(words[half:]) if len(words) > 1 else "",
        "case": other_case(text),
        "punctuation": other_punctuation(text),
    }
    made = {name: _placed(inv, context, new) for name, new in texts.items() if new and new != text}
    if not context.prefix:
        made["alone"] = replace(context, system=text)
        made["first"] = replace(context, system=put_in_system(inv.neutral, text, first=True))
        longer = _longer(inv, text)
        if longer:
            made["longer"] = replace(context, system=longer)
    named = {name: replace(c, id=f"{context.id}~{name}", origin="neighbour") for name, c in made.items()}
    unlike = {
        (c.system, c.prefix): c for c in named.values() if (c.system, c.prefix) != (context.system, context.prefix)
    }
    return list(unlike.values())


def _placed(inv: Investigation, context: Context, text: str) -> Context:
    if context.prefix:
        return replace(context, prefix=text)
    return replace(context, system=put_in_system(inv.neutral, text))


def _longer(inv: Investigation, text: str) -> str:
    """The system prompt of the training data that holds the text and stands there most often; nothing if none does."""
    prompts = Counter(
        m.content for e in inv.examples for m in e.messages if m.role == "system" and text in m.content != text
    )
    return prompts.most_common(1)[0][0] if prompts else ""
