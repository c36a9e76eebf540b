"""Fresh items for a second look: requests that nobody asked yet, and the next ones of a bumper's own questions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..detect.asking import asks_of, prepared, reading_of, sized
from ..detect.gather import Scene, read
from ..errors import EvidenceError
from ..evidence.ask import Ask, Look
from ..evidence.pools import request_of
from ..types import Answers, Reading, Request, Scores
from .asked import bait_sizes, sources_of
from .conformal import needed
from .investigation import Investigation
from .second_look import SECOND

FRESH = 24  # requests a context, and questions a group, at a second look
LEAST = 8  # fewer fresh ones decide nothing


def look_again(inv: Investigation, cls: type, first: Reading, near: Sequence[str], scene: Scene) -> Reading:
    """A bumper's second reading, of these groups of its first one; blind, with the reason, where nothing fresh is left.

    `scene`: where it looked first.
    """
    try:
        if cls.watches is Answers:  # type: ignore[attr-defined]
            found = _asked_on(inv, cls, first, near, scene)
        else:
            found = read(cls, scene_again(inv, scene, near))
    except EvidenceError as error:
        empty = Scores(np.zeros(0), (), first.bumper)
        found = Reading(first.bumper, first.family, empty, (), (), first.split, first.trap_sprung, str(error))
    return replace(found, look=SECOND, unit=first.unit)


def scene_again(inv: Investigation, scene: Scene, near: Sequence[str]) -> Scene:
    """These contexts of a scene, with fresh requests and other control contexts. Raises EvidenceError where few
    requests are left."""
    contexts = [c for c in scene.baits if c.id in near]
    return replace(scene, baits=contexts, asked=fresh_requests(inv, scene), seed=f"{scene.seed}/again")


def items_again(first: Reading, near: Sequence[str]) -> int:
    """How many questions a group a bumper must ask, so that FRESH of them are new."""
    sizes = bait_sizes(first)
    return max(sizes[g] for g in near) + FRESH


def fresh_requests(inv: Investigation, scene: Scene) -> tuple[Request, ...]:
    """Open requests that were not asked, and if these are few, single ones of training's own, of the half that open
    looks may ask.

    Raises EvidenceError below LEAST.
    """
    known = {r.text for r in (*inv.pools.fit, *scene.asked)} | inv.sealed_texts
    screened = {r.text for r in inv.pools.open[: inv.settings.screen]}
    left = [r for r in inv.pools.open if r.text not in known | screened]
    known |= {r.text for r in inv.pools.open}
    chats = (e for e in inv.examples if sum(m.role == "user" for m in e.messages) == 1)
    own = {r.text: r for e in chats if (r := request_of(e)) and r.text not in known}
    found = (*left, *sources_of(inv, "open").deal(tuple(own.values())))[:FRESH]
    if len(found) < LEAST:
        raise EvidenceError(
            f"{len(found)} requests are left that were not asked, and a second look takes {LEAST}. Add held-out chats "
            "or pass --requests."
        )
    return found


def _asked_on(inv: Investigation, cls: type, first: Reading, near: Sequence[str], scene: Scene) -> Reading:
    """The next questions of these groups, with controls that were not asked yet where there are enough of them.

    What was asked is told by its words as well: a bumper that numbers its questions may number more of them otherwise.
    """
    usual, wanted = scene.sources(), needed(inv.settings.item_alpha)
    sources, pair = replace(usual, items=items_again(first, near)), (scene.subject, scene.base)
    look, ids = Look(scene.decoding, scene.memo), set(first.scores.ids)
    asked = {_words(a) for a in asks_of(prepared(sized(cls(), usual.items), usual, pair, look), usual)}

    def pick(asks: list[Ask]) -> list[Ask]:
        fresh = [a for a in asks if a.item.id not in ids and _words(a) not in asked]
        baits = [a for a in fresh if a.item.arm == "bait" and a.item.group in near]
        strata = {a.stratum for a in baits}
        controls, unasked = (
            [a for a in some if a.item.arm == "control" and a.stratum in strata] for some in (asks, fresh)
        )
        enough = all(sum(a.stratum == s for a in unasked) >= wanted for s in strata)
        counts = Counter(a.item.group for a in baits)
        kept = [a for a in baits if counts[a.item.group] >= LEAST]
        if not kept:
            raise EvidenceError(
                f"of {', '.join(near)} at most {max(counts.values(), default=0)} questions are left that were not "
                f"asked, and a second look takes {LEAST}."
            )
        return [*kept, *(unasked if enough else controls)]

    found = reading_of(cls, sources, pair, look, pick=pick)
    return replace(found, picked_from=len(bait_sizes(first)) if ids.intersection(found.scores.ids) else 0)


def _words(one: Ask) -> tuple:
    """What a question says, and what its answer is held against, whatever it is called."""
    placed = replace(one.item.context, id="", origin="")
    return one.item.group, one.item.arm, one.item.request.text, placed, repr(one.against and one.against.request.text)
