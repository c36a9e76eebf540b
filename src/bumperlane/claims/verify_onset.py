"""The onset of a case, searched again with the counts that the case holds in place of a model."""

from ..case import Case, Onset, OnsetChange, OnsetSearch
from ..errors import BumperlaneError
from ..trace.bisect import BisectSettings
from ..trace.dating import Dated, Expected, date_onset, expected_rates
from .verified import FAIL, Verified, judged, same, uncovered
from .verify_verdicts import DESCRIBED

ONSET = "onset"
OWN_QUESTIONS = ("asked", "logs")  # the origin of a behaviour that questions of its own show
MOST = 100_000  # requests of a look; planning a search takes memory by it


class _NotSeen(Exception):
    """The search asked for a look that the case does not hold."""


def onset(case: Case) -> Verified | None:
    """The search for the onset, look by look, and the curve as the sum of looks. None without an onset."""
    if case.onset is None:
        return None
    o, steps = case.onset, _steps(case)
    faults = [f"step {p.step} of the curve is no checkpoint" for p in o.curve if steps and p.step not in steps]
    faults += [f"it begins after step {o.low} and is there by {o.high}"] * (o.low > o.high)
    faults += [f"{len(o.curve)} checkpoints in {o.evaluations} evaluations"] * (0 < o.evaluations < len(o.curve))
    if faults:
        return judged(ONSET, faults, "", "such an onset cannot be.")
    if o.search is None or not steps:
        return uncovered(ONSET, "the numbers fit; the case does not keep what it takes to search again.")
    faults = _impossible(o.search)
    if faults:
        return judged(ONSET, faults, "", "such looks cannot have been taken.")
    faults = [*_against_looks(o, o.search), *_against_check(case, o.search)]
    try:
        faults += _again(o, o.search, steps)
    except _NotSeen as error:
        faults.append(f"the search asks for {error}, which was not taken")
    except BumperlaneError as error:
        return Verified(ONSET, FAIL, f"the search cannot be made again: {error}", (ONSET,))
    held = f"after step {o.low}, by step {o.high}: found again from {len(o.search.looks)} looks."
    return judged(ONSET, faults, held, "it does not follow from its looks.")


def _steps(case: Case) -> list[int]:
    listed = case.subject.get("checkpoints") or []
    return [s for s in listed if s <= int(case.subject.get("step", s))]


def _impossible(search: OnsetSearch) -> list[str]:
    places = [(step, look) for step, look, _, _ in search.looks]
    faults = [f"look {look + 1} at step {step} stands there twice" for step, look in set(places)
              if places.count((step, look)) > 1]  # fmt: skip
    faults += [
        f"look {look + 1} at step {step} counts {k} of {n}"
        for step, look, k, n in search.looks
        if not 0 <= k <= n <= MOST or n == 0
    ]
    for name in ("requests", "looks_per_step"):
        value = getattr(search, name)
        faults += [f"{name} is {value}"] * (not 1 <= value <= MOST)
    return faults


def _against_looks(o: Onset, search: OnsetSearch) -> list[str]:
    faults = []
    for p in o.curve:
        mine = [(k, n) for step, _, k, n in search.looks if step == p.step]
        k, n = sum(k for k, _ in mine), sum(n for _, n in mine)
        if n != p.n or abs(k - p.rate.value * p.n) > 1e-6:
            faults.append(f"step {p.step}: {p.rate.value:.3g} of {p.n}, and its looks sum to {k} of {n}")
    unseen = sorted({step for step, *_ in search.looks} - {p.step for p in o.curve})
    return faults + [f"step {step} was looked at and is not in the curve" for step in unseen]


def _against_check(case: Case, search: OnsetSearch) -> list[str]:
    """The rates that were expected are those of the check, where no other questions were asked than there."""
    about = case.behaviour
    hit = next((h for h in case.hits if about and h.bumper == about.bumper), None)
    if about is None or hit is None or about.bumper == DESCRIBED or about.origin in OWN_QUESTIONS:
        return []
    wanted = expected_rates(case, hit, case.settings.get("item_alpha", 0.05))
    told = Expected(search.before, search.after, search.after_requests)
    if same(told.before, wanted.before) and same(told.after, wanted.after) and told.requests == wanted.requests:
        return []
    return [f"it was searched with {_rates(told)}, and the check saw {_rates(wanted)}"]


def _rates(expected: Expected) -> str:
    of = "" if expected.requests is None else f" (of {expected.requests})"
    return f"a rate of {expected.before:.3g} before and {expected.after:.3g}{of} after"


def _again(o: Onset, search: OnsetSearch, steps: list[int]) -> list[str]:
    """What differs when the same search is made with the counts that were kept."""
    counts, asked = {(step, look): (k, n) for step, look, k, n in search.looks}, []

    def seen(step: int, look: int) -> tuple[int, int]:
        if (step, look) not in counts:
            raise _NotSeen(f"look {look + 1} at step {step}")
        asked.append((step, look))
        return counts[step, look]

    settings = BisectSettings(looks_per_step=search.looks_per_step, requests=search.requests)
    expected = Expected(search.before, search.after, search.after_requests)
    found = date_onset(steps, seen, expected, settings, search.how)
    faults = []
    if (found.low, found.high) != (o.low, o.high):
        faults.append(f"by its looks it is after {found.low} and by {found.high}, not after {o.low} and by {o.high}")
    faults += [f"the search does not ask for look {look + 1} at step {step}" for step, look in counts.keys() - asked]
    return faults + _told(o, found)


def _told(o: Onset, found: Dated) -> list[str]:
    faults = [] if same(o.level, found.level) else [f"its level is {o.level}, and {found.level} by its looks"]
    for name in ("evaluations", "full_sweep", "note"):
        said, new = getattr(o, name), getattr(found, name)
        faults += [f"{name} is {said!r:.80}, and {new!r:.80} by its looks"] * (said != new)
    changes = [OnsetChange(kind=c.kind, low=c.low, high=c.high, before=c.before, after=c.after) for c in found.changes]
    return faults + ["its rises and falls are not those of its looks"] * (o.changes != changes)
