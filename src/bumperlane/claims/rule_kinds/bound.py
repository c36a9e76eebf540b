"""Does the claim follow from the counts, with all that they leave open?"""

from datetime import date

from ...judge.rates import rate_difference
from ...percent import percent
from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested
from ..reckon import UP, Corrections, bound_of, items_for, limit_of, net_of_alarms, recall_of
from ..sampling import HOPELESS, cheapest_mix
from .contract import rule

ASKED_OF_OTHER = "the same ones, asked of what it is compared with"  # as C15 asks, so that they are asked for once
COUNTS = Needed("counts of items with a verdict: how many were bad, of how many")


@rule(
    "C03", "the claim follows from the evidence, all corrections taken together",
    ("rate_below", "rate_above", "difference", "equivalent", "treated"),
    "the rate is what the weakened claim says, not what was claimed",
)  # fmt: skip
def follows(e: Evidence, on: date) -> Said:
    if e.counts is None or e.counts.of == 0:
        return untested("there are no counts.", COUNTS)
    if e.claim.kind in ("difference", "equivalent"):
        return _difference_follows(e)
    threshold, limit = e.claim.threshold, limit_of(e)
    if threshold is None or limit is None:
        return untested(
            "no threshold is stated, so nothing can follow or not.", Needed("a threshold, stated beforehand")
        )
    if e.claim.kind in UP and recall_of(e) is None:
        flagged = limit_of(e, Corrections(recall=False))
        seen = f"at most {percent(flagged.value)} would be flagged, and " if flagged else ""
        return untested(f"{seen}what the scorer misses was not measured, so no rate below 100% follows.",
                        Needed("to measure recall", "planted", 30))  # fmt: skip
    told = (
        f"{e.counts.bad} of {e.counts.of} seen, {limit.word} {percent(limit.value)} ({percent(e.claim.level)}) after "
        f"recall, clusters, re-runs and items without a verdict; claimed is {limit.word} {percent(threshold)}"
    )
    if limit.holds(threshold):
        return supported(f"{told}.")
    return unsupported(f"{told}{_against(e, threshold)}.", cheapest_mix(e))


def _against(e: Evidence, threshold: float) -> str:
    """Whether the evidence not only fails to bear a low rate but shows a higher one, net of false alarms."""
    bound = bound_of(e) if e.claim.kind in UP else None
    least = net_of_alarms(bound.low, e) if bound else 0.0
    if least <= threshold:
        return ""
    unless = "" if e.negative_control else ", unless they are false alarms, which were not measured"
    return f". The evidence speaks against it: the rate is at least {percent(least)}{unless}"


def _difference_follows(e: Evidence) -> Said:
    other, margin = e.comparator, e.claim.margin
    if other is None or other.of == 0 or e.counts is None:
        of = e.counts.of if e.counts else 1
        return untested("there is no comparator with counts.", Needed(ASKED_OF_OTHER, "comparator", max(1, of)))
    if margin is None and e.claim.kind == "equivalent":
        return untested(
            "no margin is stated; without one nothing is equivalent.", Needed("a margin, stated beforehand")
        )
    level = e.claim.level if e.claim.kind == "difference" else 2 * e.claim.level - 1  # two one-sided tests
    found = rate_difference(e.counts.bad, e.counts.of, other.bad, other.of, level)
    told = (
        f"difference {100 * found.value:+.1f} points ({percent(level)} interval {100 * found.low:+.1f} to "
        f"{100 * found.high:+.1f})"
    )
    if e.claim.kind == "equivalent":
        holds, claimed = max(abs(found.low), abs(found.high)) <= (margin or 0), f"within {percent(margin or 0)}"
    else:
        least = found.low if e.claim.direction == "higher" else -found.high
        holds, claimed = least > 0 and least >= (margin or 0), f"{e.claim.direction} by {percent(margin or 0)} or more"
    if holds:
        return supported(f"{told}; claimed is {claimed}.")
    return unsupported(f"{told}; claimed is {claimed}, which the interval does not show.",
                       Needed("asked of both", "comparator", e.counts.of, settles=False))  # fmt: skip


@rule(
    "C07", "honest zeros: the upper bound is divided by the lower bound on recall", UP,
    "the scorer misses nothing",
)  # fmt: skip
def honest_zeros(e: Evidence, on: date) -> Said:
    only = Corrections(True, False, False, False)
    if e.counts is None or e.counts.of == 0:
        return untested("there are no counts.", COUNTS)
    if recall_of(e) is None:
        naive = bound_of(e, Corrections(False, False, False, False))
        return untested(
            f"{e.counts.bad} of {e.counts.of} were flagged, but how many a scorer flags of those that are bad was not "
            f"measured. {percent(naive.high) if naive else 'A bound'} would hold only if it missed none.",
            Needed("to measure recall", "planted", 30),
        )
    limit = limit_of(e, only)
    if limit is None or e.claim.threshold is None:
        return untested("no threshold is stated.", Needed("a threshold, stated beforehand"))
    told = f"{e.counts.bad} of {e.counts.of} is not {percent(e.counts.bad / e.counts.of)}: {limit.why}"
    if limit.holds(e.claim.threshold):
        return supported(f"{told} Claimed is at most {percent(e.claim.threshold)}.")
    return unsupported(f"{told} Claimed is at most {percent(e.claim.threshold)}.", cheapest_mix(e, only))


def more_items(e: Evidence, only: Corrections) -> Needed:
    """How many more items would bring the bound, with these corrections, below the threshold."""
    total = items_for(e, only)
    if total is None or e.counts is None:
        return Needed(HOPELESS, "run", settles=False)
    return Needed("with a verdict", "items", max(1, total - e.counts.of))
