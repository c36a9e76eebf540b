"""Was the cause shown by experiment?"""

from datetime import date

from ...case import Range
from ...judge.rates import clustered_difference
from ...percent import percent, short_percent
from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested, weak
from ..parts import CauseEvidence
from .contract import rule

SEEDS = 3


@rule(
    "C18", "the cause is shown against a random removal, on three seeds or more", ("cause", "treated"),
    "the suspect, and not just any removal, made the difference",
)  # fmt: skip
def cause_shown(e: Evidence, on: date) -> Said:
    c = e.cause
    if c is None or not c.removed:
        return untested("no experiment left the suspect out and retrained.",
                        Needed("in two arms: without the suspect, and without as much at random", "retrains",
                               2 * SEEDS))  # fmt: skip
    if not c.random_removal:
        return untested(f"{len(c.removed)} retrains without {c.suspect}, and none without as much at random.",
                        Needed("without as much at random", "retrains", SEEDS))  # fmt: skip
    seeds = min(len({r.seed for r in c.removed}), len({r.seed for r in c.random_removal}))
    effect = effect_of(c, e.claim.level)
    rates = f"{_mean(c.removed)} without {c.suspect}, {_mean(c.random_removal)} without as much at random"
    more = Needed("(half in each arm)", "retrains", 2 * max(1, SEEDS - seeds))
    if effect is None:
        return untested(f"{rates}, on {seeds} seeds; no interval: items a retrain are not said.",
                        Needed("how many items each retrain was measured on"))  # fmt: skip
    if effect.level < e.claim.level:
        return untested(f"{rates}, on {seeds} seeds; the interval given holds at {percent(effect.level)}, the claim is "
                        f"made at {percent(e.claim.level)}.",
                        Needed("how many items each retrain was measured on"))  # fmt: skip
    told = f"{rates}, on {seeds} seeds: {100 * effect.value:.0f} points"
    told += f" ({100 * effect.low:.0f} to {100 * effect.high:.0f})"
    if effect.low <= 0:
        return unsupported(f"{told}, which does not exclude none.", more)
    return supported(f"{told}.") if seeds >= SEEDS else weak(f"{told}; {SEEDS} seeds are needed.", more)


def effect_of(c: CauseEvidence, level: float) -> Range | None:
    """Fall of the rate beyond a random removal: computed where items are known, else as it was given.

    Where both are there it is the computed one widened to the given one: what made that one, such as a test that may
    stop early, is not known here, and no higher level can narrow it.
    """
    arms = [[(round(r.rate * r.of), r.of) for r in arm if r.of] for arm in (c.random_removal, c.removed)]
    if len(arms[0]) == len(c.random_removal) and len(arms[1]) == len(c.removed) and all(arms):
        found, given = Range.of(clustered_difference(arms[0], arms[1], level)), c.effect
        if given is None:
            return found
        return found.model_copy(update={"low": min(found.low, given.low), "high": max(found.high, given.high)})
    return c.effect


def _mean(arm: list) -> str:
    return short_percent(sum(r.rate for r in arm) / len(arm))
