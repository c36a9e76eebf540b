"""Compared with what?"""

from datetime import date

from ...judge.rates import rate_difference
from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested, weak
from .bound import ASKED_OF_OTHER
from .contract import rule

ASKED_OF_CLEAN = "the same ones, asked of a run that never had the cause"
TOLERATED = 0.2  # of a fix, where no margin is stated; as bounce verifies


@rule(
    "C15", "there is a comparator, on the same items under the same settings",
    ("difference", "equivalent", "treated"), "what it is compared with differs in nothing else",
)  # fmt: skip
def compared(e: Evidence, on: date) -> Said:
    other = e.comparator
    if other is None or not other.of:
        asked = ASKED_OF_CLEAN if e.claim.kind == "treated" else ASKED_OF_OTHER
        of = e.counts.of if e.counts else 1
        return untested("there is no comparator with counts.", Needed(asked, "comparator", max(1, of)))
    told = f"compared with {other.name}, {other.bad} of {other.of}"
    unlike = [what for what, same in (("items", other.same_items), ("settings", other.same_settings)) if same is False]
    if unlike:
        return unsupported(f"{told}, which was asked under other {' and '.join(unlike)}.",
                           Needed("the same for both, as are the settings", "comparator", other.of))  # fmt: skip
    unsaid = [what for what, same in (("items", other.same_items), ("settings", other.same_settings)) if same is None]
    if unsaid:
        return weak(f"{told}; not said whether its {' and '.join(unsaid)} were the same.",
                    Needed(f"whether {' and '.join(unsaid)} were the same"))  # fmt: skip
    if e.claim.kind == "treated" and e.counts and e.counts.of:
        margin = e.claim.margin if e.claim.margin is not None else TOLERATED
        found = rate_difference(e.counts.bad, e.counts.of, other.bad, other.of, 2 * e.claim.level - 1)
        told += f": difference {100 * found.value:+.1f} points, at most {100 * found.high:+.1f}"
        if found.high > margin:
            sure = found.low > margin
            more = Needed("asked of both", "comparator", e.counts.of, settles=not sure)
            word = unsupported if sure else weak
            return word(f"{told}, not within {100 * margin:g} points.", more)
    return supported(f"{told}.")
