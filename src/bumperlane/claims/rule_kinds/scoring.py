"""Does what says "bad" say it of bad answers?"""

from datetime import date

from ...evidence.validation import Confusion
from ...judge.corrected_rate import corrected_rate, why_blind, youden
from ...percent import percent
from ..evidence import Evidence
from ..grades import Needed, Said, beside, supported, unsupported, untested, weak
from ..reckon import UP
from .contract import rule

LABELS = 60


@rule(
    "C13", "the judge is validated on labels by humans, and the claim holds with its errors",
    ("rate_below", "rate_above", "difference", "equivalent", "treated"), "the judge does not err",
)  # fmt: skip
def validated(e: Evidence, on: date) -> Said:
    s = e.scorer
    if s is None:
        return untested("nothing says what decides that an answer is bad.", Needed("what scores the answers"))
    if s.kind == "exact":
        return beside(f"answers are scored by {s.name or 'an exact rule'}, which no judge reads.")
    given = (s.tp, s.fn, s.fp, s.tn)
    label = Needed("by humans, half of them of bad answers", "labels", LABELS)
    if any(x is None for x in given):
        return untested(f"{s.name or 'the scorer'} ({s.kind}) was not tried on labelled answers.", label)
    counts = Confusion(s.tp or 0, s.fn or 0, s.fp or 0, s.tn or 0)
    if min(counts.bad, counts.good) < 1:
        return untested(f"labels hold {counts.bad} bad and {counts.good} good answers; both kinds are needed.", label)
    told = f"it called {counts.hits} of {counts.bad} bad answers bad and {counts.alarms} of {counts.good} good ones"
    blind = why_blind(counts, e.claim.level)
    if blind:
        return unsupported(f"{told}: {blind}", label)
    whose = "" if s.labelled_by == "humans" else "; the labels are not said to be by humans"
    if e.claim.kind not in (*UP, "rate_above") or e.claim.threshold is None or e.counts is None or not e.counts.of:
        kept = youden(counts, e.claim.level)
        told += f", which keeps {percent(kept.low)} to {percent(kept.high)} of a difference"
        return weak(f"{told}{whose}.", label) if whose or kept.low < 0.5 else supported(f"{told}.")
    found = corrected_rate(e.counts.bad, e.counts.of, counts, level=2 * e.claim.level - 1).rate
    if found is None:
        return unsupported(f"{told}: no rate can be corrected for that.", label)
    end = found.high if e.claim.kind in UP else found.low
    holds = end <= e.claim.threshold if e.claim.kind in UP else end >= e.claim.threshold
    told += f"; corrected for that the rate is {'at most' if e.claim.kind in UP else 'at least'} {percent(end)}"
    if not holds:
        return unsupported(f"{told}, claimed is {percent(e.claim.threshold)}.", label)
    return weak(f"{told}{whose}.", label) if whose else supported(f"{told}.")
