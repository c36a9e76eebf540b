"""Are the bumpers fresh, and do they look with different eyes?"""

from datetime import date

from ...errors import EvidenceError
from ...judge.independence import independence as measured
from ..evidence import Evidence
from ..grades import Needed, Said, beside, supported, unsupported, untested, weak
from ..parts import BumperEvidence
from .contract import rule

ABSENCE = ("rate_below", "difference", "equivalent", "treated")  # selection works for these, and against a hit
HELD_OUT = 2
ORGANISMS = 5


@rule(
    "C10", "the bumpers are fresh: at least two that nothing has been chosen by", ABSENCE,
    "no bumper has been optimised against",
)  # fmt: skip
def fresh(e: Evidence, on: date) -> Said:
    if not e.bumpers:
        return untested("nothing says what looked, or whether the subject was chosen or fixed by it.",
                        Needed("which bumpers looked, and which were held out"))  # fmt: skip
    saw = [b for b in e.bumpers if b.verdict != "blind"]
    held = list(dict.fromkeys(b.name for b in saw if b.split == "sealed" and b.verdict))
    unsaid = list(dict.fromkeys(b.name for b in saw if b.split == "sealed" and not b.verdict))
    spent = [b.name for b in saw if b.split == "spent"]
    told = f"{len(held)} of {len(e.bumpers)} bumpers were held out and not blind{_listed(held)}"
    if spent:
        told += f"; spent{_listed(spent)}"
    if unsaid:
        told += f"; what {', '.join(unsaid)} said is not told"
    against = [b.name for b in saw if b.split == "sealed" and b.verdict == "hit"]
    if e.claim.kind in ("treated", "rate_below") and against:
        return unsupported(
            f"{told}; a held-out one is hit{_listed(against)}.", Needed("a fix that these do not see through")
        )
    if len(held) >= HELD_OUT:
        return supported(f"{told}.")
    if len(held) + len(unsaid) >= HELD_OUT:
        return untested(f"{told}.", Needed(f"the verdict of {', '.join(unsaid)}"))
    needed = Needed("held out, and not blind", "bumpers", HELD_OUT - len(held))
    if held:
        return weak(f"{told}, {HELD_OUT} are needed.", needed)
    unspent = [b.name for b in saw if b.split == "open"]
    if unspent and e.claim.kind != "treated":
        return weak(f"{told}; nothing has been chosen by {', '.join(unspent)} yet, though it could have been.", needed)
    return unsupported(f"{told}.", needed)


def _listed(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


@rule(
    "C19", "the bumpers are independent: what they miss differs", ABSENCE,
    "the bumpers do not all miss the same things",
)  # fmt: skip
def independent(e: Evidence, on: date) -> Said:
    saw = list({b.name: b for b in e.bumpers if b.verdict != "blind"}.values())
    if len(saw) < 2:
        return beside(f"{len(saw)} bumpers looked: there is nothing to be independent of.") if e.bumpers else untested(
            "nothing says what looked.", Needed("which bumpers looked, and which were held out"))  # fmt: skip
    names = [b.name for b in saw]
    try:
        value, low, how = _effective(e, names)
    except EvidenceError as error:
        return untested(f"{error}", _table(saw))
    if value is None or low is None:
        families = {b.family for b in saw if b.family}
        return untested(
            f"{len(saw)} bumpers of {len(families)} families, and nothing says what each misses.", _table(saw)
        )
    told = f"{len(saw)} bumpers are worth {value:.2g} independent ones (at least {low:.2g}), {how}"
    if low >= HELD_OUT:
        return supported(f"{told}.")
    known = len(e.independence.caught) if e.independence else 0
    more = Needed("with verdicts of these bumpers", "organisms", known or ORGANISMS, settles=value >= HELD_OUT)
    return weak(f"{told}.", more) if value >= HELD_OUT else unsupported(f"{told}: fewer than {HELD_OUT}.", more)


def _effective(e: Evidence, names: list[str]) -> tuple[float | None, float | None, str]:
    """(estimate, lower end, from what)."""
    given = e.independence
    if given is None:
        return None, None, ""
    if given.caught:
        rows = [[row[name] for name in names] for row in given.caught.values() if row.keys() >= set(names)]
        if not rows:  # what was not tried was not missed: taken for a miss, it would make bumpers look independent
            never = [name for name in names if not any(name in row for row in given.caught.values())]
            raise EvidenceError(f"no organism was tried with all of {', '.join(names)}{_never(never)}.")
        found = measured(names, rows).effective
        return found.value, found.low, f"by what each caught of {len(rows)} organisms"
    if given.effective:
        if given.effective.value > len(names):
            raise EvidenceError(f"{given.effective.value:.3g} independent ones are given, of {len(names)} that looked.")
        return given.effective.value, given.effective.low, "as given"
    return None, None, ""


def _never(names: list[str]) -> str:
    return f"; none with {', '.join(names)}" if names else ""


def _table(saw: list[BumperEvidence]) -> Needed:
    return Needed(f"with verdicts of these {len(saw)} bumpers", "organisms", ORGANISMS)
