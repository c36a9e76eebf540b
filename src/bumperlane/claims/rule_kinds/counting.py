"""Is everything counted, once, and as what it is?"""

from dataclasses import replace
from datetime import date

from ...percent import percent
from ..bounds import Planned
from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested, weak
from ..reckon import ALL, NONE, UP, bound_of, coarsest, limit_of, looks_of, unscored
from .bound import COUNTS, more_items
from .contract import rule

RATES = ("rate_below", "rate_above", "treated")


@rule(
    "C08", "effective n: items that go together are not counted as independent", RATES,
    "every item is independent of the others",
)  # fmt: skip
def effective_items(e: Evidence, on: date) -> Said:
    found = coarsest(e)
    if e.counts is None or e.counts.of == 0:
        return untested("there are no counts.", COUNTS)
    if found is None:
        return untested(
            f"nothing says how the {e.counts.of} items go together: by template, by seed, by conversation.",
            Needed("the template and seed of each item"),
        )
    label, clusters = found
    only = replace(NONE, clusters=True)
    bound, with_them, without = bound_of(e, only), limit_of(e, only), limit_of(e, NONE)
    if bound is None or with_them is None or without is None or e.claim.threshold is None:
        return untested("no threshold is stated.", Needed("a threshold, stated beforehand"))
    n = bound.effective_n
    told = (
        f"{e.counts.of} items in {len(clusters)} clusters by {label} are worth {n:.3g} independent ones: "
        f"{with_them.word} "
        f"{percent(with_them.value)}, and {percent(without.value)} if they were independent"
    )
    if with_them.holds(e.claim.threshold):
        return supported(f"{told}.")
    if not without.holds(e.claim.threshold):
        return unsupported(f"{told}; claimed is {percent(e.claim.threshold)}.", more_items(e, only))
    return weak(f"{told}. The claim holds only for independent items.",
                Needed("from other templates and seeds", "items", more_items(e, only).amount))  # fmt: skip


@rule(
    "C09", "all attempts are counted, and alpha is split over re-runs", RATES,
    "this was the only time that the evaluation was run",
)  # fmt: skip
def all_attempts(e: Evidence, on: date) -> Said:
    a = e.attempts
    if a is None:
        return untested("nothing says how often it was run before this result.", Needed("how often it was run"))
    only, looks = replace(NONE, looks=True), looks_of(e)
    runs = max(a.run, len(a.results), a.reported)
    limit, once = limit_of(e, only), limit_of(e, NONE)
    if limit is None or once is None:
        return untested("there are no counts.", COUNTS)
    if e.claim.threshold is None:
        return untested("no threshold is stated.", Needed("a threshold, stated beforehand"))
    how = f"{looks.looks} planned beforehand" if isinstance(looks, Planned) else "their number not planned beforehand"
    told = f"{runs} runs, {a.reported} reported, {how}: {limit.word} {percent(limit.value)} with alpha split over them"
    if not limit.holds(e.claim.threshold):
        alone = f", {percent(once.value)} if it had been the only one" if runs > 1 else ""
        return unsupported(f"{told}{alone}; claimed is {percent(e.claim.threshold)}.", more_items(e, only))
    failed = [r for r in a.results if r.of and not _passes(e, r.bad, r.of)]
    if a.reported < runs:
        return weak(f"{told}. {runs - a.reported} of them are not reported.", Needed("the results of every run"))
    if failed:
        return weak(f"{told}. {len(failed)} of {len(a.results)} runs do not pass by themselves.", more_items(e, ALL))
    return supported(f"{told}.")


def _passes(e: Evidence, bad: int, of: int) -> bool:
    counts = e.counts.model_copy(update={"bad": bad, "of": of}) if e.counts else None
    limit = limit_of(e.model_copy(update={"counts": counts, "items": [], "clusters": {}}), NONE)
    return limit is not None and e.claim.threshold is not None and limit.holds(e.claim.threshold)


@rule(
    "C14", "complete: errors, refusals and missing items count as the worst case",
    ("rate_below", "rate_above", "difference", "equivalent", "treated"),
    "items without a verdict are like those with one",
)  # fmt: skip
def complete(e: Evidence, on: date) -> Said:
    if e.counts is None:
        return untested("there are no counts.", COUNTS)
    extra = unscored(e)
    if extra is None:
        return untested("nothing says how many items gave an error, were refused, or were planned and never asked.",
                        Needed("counts of errors and refusals"))  # fmt: skip
    total = e.counts.of + extra
    if not total:
        return untested("there are no items.", COUNTS)
    told = f"{extra} of {total} items have no verdict"
    if not extra:
        return supported(f"{told}.")
    if e.claim.kind in RATES and e.claim.threshold is None:
        return untested(f"{told}; no threshold is stated.", Needed("a threshold, stated beforehand"))
    if e.claim.kind not in RATES or e.claim.threshold is None:
        share = extra / total
        word = weak if share <= 0.05 else unsupported
        return word(f"{told}, {percent(share)}.", Needed("asked again, for those without a verdict", "items", extra))
    worst, plain = limit_of(e, replace(NONE, worst=True)), limit_of(e, NONE)
    if worst is None or plain is None:
        return unsupported(f"{told}: none has one.", COUNTS)
    as_what = "bad" if e.claim.kind in UP else "good"
    told += f"; all of them counted as {as_what} the rate is {worst.word} {percent(worst.value)}"
    told += f", else {percent(plain.value)}"
    if worst.holds(e.claim.threshold):
        return supported(f"{told}.")
    return unsupported(
        f"{told}; claimed is {percent(e.claim.threshold)}.",
        Needed("asked again, for those without a verdict", "items", extra),
    )
