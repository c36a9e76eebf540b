"""The onset of a case, searched again with the counts that the case holds in place of a model."""

from ..case import Case, Onset, OnsetSearch
from ..errors import BumperlaneError
from ..trace.bisect import BisectSettings
from ..trace.dating import Expected, date_onset
from .verified import FAIL, Verified, judged, uncovered

ONSET = "onset"


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
    faults = _against_looks(o, o.search)
    try:
        low, high = _again(o.search, steps)
        if (low, high) != (o.low, o.high):
            faults.append(f"by its looks it is after {low} and by {high}, not after {o.low} and by {o.high}")
    except _NotSeen as error:
        faults.append(f"the search asks for {error}, which was not taken")
    except BumperlaneError as error:
        return Verified(ONSET, FAIL, f"the search cannot be made again: {error}", (ONSET,))
    held = f"after step {o.low}, by step {o.high}: found again from {len(o.search.looks)} looks."
    return judged(ONSET, faults, held, "it does not follow from its looks.")


def _steps(case: Case) -> list[int]:
    listed = case.subject.get("checkpoints") or []
    return [s for s in listed if s <= int(case.subject.get("step", s))]


def _against_looks(o: Onset, search: OnsetSearch) -> list[str]:
    faults = []
    for p in o.curve:
        mine = [(k, n) for step, _, k, n in search.looks if step == p.step]
        k, n = sum(k for k, _ in mine), sum(n for _, n in mine)
        if n != p.n or abs(k - p.rate.value * p.n) > 1e-6:
            faults.append(f"step {p.step}: {p.rate.value:.3g} of {p.n}, and its looks sum to {k} of {n}")
    return faults


def _again(search: OnsetSearch, steps: list[int]) -> tuple[int, int]:
    counts = {(step, look): (k, n) for step, look, k, n in search.looks}

    def seen(step: int, look: int) -> tuple[int, int]:
        if (step, look) not in counts:
            raise _NotSeen(f"look {look + 1} at step {step}")
        return counts[step, look]

    settings = BisectSettings(looks_per_step=search.looks_per_step, requests=search.requests)
    expected = Expected(search.before, search.after, search.after_requests)
    found = date_onset(steps, seen, expected, settings, search.how)
    return found.low, found.high
