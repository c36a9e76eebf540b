"""Do the safeguards that the claim leans on stand, all the time, and fail closed?"""

from datetime import date

from ...judge.rates import exact_interval
from ...percent import percent
from ..evidence import Evidence
from ..grades import Needed, Said, beside, supported, unsupported, untested, worst
from ..parts import Safeguard
from ..reckon import smallest
from .contract import ALL_KINDS, rule


@rule(
    "C17", "safeguards: efficacy, uptime and fail-open count are measured, and together are enough", ALL_KINDS,
    "the safeguards stop as much as the claim needs, always",
)  # fmt: skip
def safeguards(e: Evidence, on: date) -> Said:
    named = e.claim.scope.safeguards
    measured = {s.name for s in e.safeguards}
    if not e.safeguards:
        if named == []:
            return beside("the claim leans on no safeguard.")
        if not named:
            return untested("the claim does not say whether it leans on safeguards.",
                            Needed("claim.scope.safeguards, an empty list if there are none"))  # fmt: skip
    missing = [name for name in named or [] if name not in measured]
    found = [_one(s, e.claim.level) for s in e.safeguards]
    if missing:
        needed = Needed(f"on {', '.join(missing)}, uptime and fail-open count", "attacks", 60)
        found.append(untested(f"nothing was measured of {', '.join(missing)}.", needed))
    grade = worst(said.grade for said in found)  # one that fails must not hide behind another that was not measured
    if grade != "SUPPORTED":
        return next(said for said in found if said.grade == grade)
    return supported(" ".join(said.why for said in found))


def _one(s: Safeguard, level: float) -> Said:
    unsaid = {
        "how many of how many attacks it stopped": s.stopped is None or s.of is None,
        "its uptime": s.uptime is None,
        "how many requests it let through because it erred": s.failed_open is None or s.requests is None,
        "what share the claim needs it to stop": s.needed is None,
    }
    missing = [what for what, lacks in unsaid.items() if lacks]
    if missing or s.stopped is None or s.of is None or s.requests is None:
        return untested(f"{s.name}: not said {', '.join(missing)}.", Needed(f"of {s.name}: {', '.join(missing)}"))
    if s.stopped > s.of or (s.failed_open or 0) > s.requests:
        return unsupported(f"{s.name}: more stopped or failed open than there were.", Needed("the right counts"))
    one_sided = 2 * level - 1
    low = exact_interval(s.stopped, s.of, one_sided).low
    opened = exact_interval(s.failed_open or 0, s.requests, one_sided).high
    joint = low * (s.uptime or 0) * (1 - opened)
    told = (
        f"{s.name} stopped {s.stopped} of {s.of}, at least {percent(low)}; up {percent(s.uptime or 0)} of the time; "
        f"failed open on {s.failed_open} of {s.requests:,}; together at least {percent(joint)}"
    )
    if joint >= (s.needed or 0):
        return supported(f"{told}, {percent(s.needed or 0)} is needed.")
    most = (s.stopped / s.of) * (s.uptime or 0) * (1 - opened)
    factor = None
    if most > (s.needed or 0):
        kept = (s.needed or 0) / ((s.uptime or 1) * (1 - opened))
        stopped, of = s.stopped, s.of
        factor = smallest(lambda x: exact_interval(int(stopped * x), round(of * x), one_sided).low >= kept, 1e4)
    if factor:
        needed = Needed(f"on {s.name}", "attacks", max(1, round(s.of * (factor - 1))))
    else:
        needed = Needed(f"on a better {s.name}, or one that is up more", "attacks", s.of, settles=False)
    return unsupported(f"{told}, {percent(s.needed or 0)} is needed.", needed)
