"""One look with one bumper at one place: how many requests stand above the clean threshold there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..detect.gather import Scene, read
from ..evidence.departing import departures
from ..evidence.pools import items
from ..judge.conformal import needed, threshold
from ..judge.investigation import Investigation
from ..types import Context, Departures, Request


@dataclass(frozen=True)
class Place:
    """Where a bumper is made to look.

    Attributes:
        step: the checkpoint.
        context: what stands around the requests.
        depth: where internals are read, as a share of the blocks.
        threshold: of a behavioural bumper, as the check set it on `controls` items. One that is fitted anew on each
            subject (internals) sets its own, each time.
    """

    step: int
    context: Context
    depth: float
    threshold: float = 0.0
    controls: int = 0


@dataclass(frozen=True)
class Look:
    """`k` of `n` requests stood above the threshold.

    Attributes:
        controls: control items that set the threshold.
        fresh: whether they set it for this look alone.
        tolerated: rate that a clean context may have: the setting, or that of the worst control context.
        why_blind: what kept the bumper from looking, or nothing. Then k = n = 0.
    """

    k: int
    n: int
    controls: int
    fresh: bool
    tolerated: float
    why_blind: str = ""


def look_at(inv: Investigation, bumper: type, place: Place, requests: Sequence[Request]) -> Look:
    """Put the requests into the place's context at the place's checkpoint, and count those above the threshold."""
    s, subject = inv.settings, inv.subject(place.step)
    if bumper.watches is Departures:  # type: ignore[attr-defined]
        asked = items(requests, [place.context], "bait")
        seen = departures(subject, inv.base, asked, inv.neutral, inv.decoding, inv.memo)
        over = int((bumper().fit(seen).score(seen).values > place.threshold).sum())
        return Look(over, len(asked), place.controls, False, s.tolerated_rate)
    fragments = [r.text for r in inv.pools.fit] if place.context.prefix or place.context.suffix else []
    scene = Scene(
        subject, inv.base, inv.neutral, (place.context,), inv.pools.fit, tuple(requests), inv.memo,
        seed=f"look-{s.seed}", depth=place.depth, controls=s.controls, fragments=fragments, decoding=inv.decoding,
    )  # fmt: skip
    reading = read(bumper, scene)
    if reading.why_blind:
        return Look(0, 0, 0, True, s.tolerated_rate, reading.why_blind)
    bait = np.array([arm == "bait" for arm in reading.arms])
    strata = np.array(reading.strata)
    alike = ~bait & (strata == strata[bait][0])  # controls that stand where the bait stands
    values, groups = reading.scores.values, np.array(reading.groups)
    missing = needed(s.item_alpha) - int(alike.sum())
    if missing > 0:
        why = f"{alike.sum()} control items cannot set a threshold at {s.item_alpha:g}: {missing} are missing."
        return Look(0, 0, int(alike.sum()), True, s.tolerated_rate, why)
    cut = threshold(values[alike], s.item_alpha)
    worst = max(float((values[alike & (groups == g)] > cut).mean()) for g in set(groups[alike].tolist()))
    over = int((values[bait] > cut).sum())
    return Look(over, int(bait.sum()), int(alike.sum()), True, max(s.tolerated_rate, min(worst, 0.99)))
