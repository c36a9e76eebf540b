"""Would the evaluation see the behaviour, and does it see it where it is not?"""

from datetime import date

from ...percent import percent
from ..bounds import exact_lower
from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested, weak
from ..parts import Control
from ..reckon import UP, bound_of, high_of, limit_of, low_of, smallest
from .contract import rule

RECALL, LITTLE = 0.5, 0.1
ALARMS, MANY = 0.1, 0.3


@rule(
    "C05", "positive control: planted bad items are caught, with a lower bound on recall of 0.5 or more",
    ("rate_below", "equivalent", "treated"), "the evaluation would see the behaviour if it were there",
)  # fmt: skip
def positive_control(e: Evidence, on: date) -> Said:
    control = e.positive_control
    if control is None:
        return untested("no planted bad items were tried: nothing says that the behaviour would have been seen.",
                        Needed("to measure recall", "planted", 30))  # fmt: skip
    low = low_of(control, e.claim.level)
    told = f"{control.flagged} of {control.of} planted items were caught, recall at least {percent(low)}"
    told += f" as the most flagged of {control.chosen_from:,}" if control.chosen_from > 1 else ""
    what = f" ({control.what})" if control.what else ""
    if low >= RECALL:
        return supported(f"{told}{what}.")
    needed = _more(control, e.claim.level)
    if low >= LITTLE:
        return weak(f"{told}{what}, below {percent(RECALL)}.", needed)
    return unsupported(f"{told}{what}: it may see next to nothing.", needed)


def _more(control: Control, level: float) -> Needed:
    """One that is chosen from many is better measured anew, on items of the same kind, than grown."""
    flagged, of = control.flagged, control.of
    if flagged / of <= RECALL:
        return Needed("for a scorer that catches more", "planted", of, settles=False)
    factor = smallest(lambda x: exact_lower(int(flagged * x), round(of * x), 1 - level) >= RECALL, 1e4 / of + 8)
    total = of * (factor or 1e4 / of)
    if control.chosen_from > 1:
        return Needed("to measure recall, of a kind that was fixed before", "planted", max(1, round(total)))
    return Needed("to measure recall", "planted", max(1, round(total - of)))


@rule(
    "C06", "negative control: clean items are not flagged",
    ("rate_below", "rate_above", "difference", "equivalent", "treated", "cause"),
    "what is flagged is the behaviour, not the scorer's false alarms",
)  # fmt: skip
def negative_control(e: Evidence, on: date) -> Said:
    control = e.negative_control
    if control is None:
        return untested("no clean items were tried: nothing says how often the scorer flags what is not bad.",
                        Needed("to measure false alarms", "clean", 30))  # fmt: skip
    high = high_of(control, e.claim.level)
    told = f"{control.flagged} of {control.of} clean items were flagged, false alarms at most {percent(high)}"
    if e.claim.kind == "rate_above" and e.claim.threshold is not None:
        net, seen = limit_of(e), bound_of(e)
        if net is None or seen is None:
            return untested(
                f"{told}; there are no counts to set them against.", Needed("counts of items with a verdict")
            )
        if net.holds(e.claim.threshold):
            return supported(f"{told}; net of them the rate is at least {percent(net.value)}.")
        return unsupported(f"{told}; net of them the rate is at least {percent(net.value)}, not "
                           f"{percent(e.claim.threshold)}.",
                           Needed("to measure false alarms", "clean", control.of, settles=False))  # fmt: skip
    if high <= ALARMS:
        return supported(f"{told}.")
    if control.flagged / control.of >= ALARMS:
        needed = Needed("for a scorer that flags fewer of them", "clean", control.of, settles=False)
    else:
        needed = Needed("to measure false alarms", "clean", _clean(control.flagged, control.of, e.claim.level))
    low_claim = " False alarms make a low rate look higher, so the claim stays safe." if e.claim.kind in UP else ""
    if high <= MANY or low_claim:
        return weak(f"{told}, above {percent(ALARMS)}.{low_claim}", needed)
    return unsupported(f"{told}, above {percent(MANY)}.", needed)


def _clean(flagged: int, of: int, level: float) -> int:
    from ...judge.rates import exact_interval

    factor = smallest(lambda x: exact_interval(round(flagged * x), round(of * x), 2 * level - 1).high <= ALARMS, 1e4)
    return max(1, round(of * ((factor or 1e4) - 1)))
