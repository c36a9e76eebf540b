"""When did it begin? The search over a run's checkpoints, with the bumper that was hit."""

from ..case import Case, CurvePoint, Onset, OnsetChange, OnsetSearch, Range
from ..judge.investigation import Investigation
from ..judge.rates import exact_interval
from .bisect import BisectSettings
from .dating import SPREAD, Dated, Evaluate, Expected, How, date_onset, expected_rates
from .meter import Meter

__all__ = ["Dated", "Evaluate", "Expected", "How", "date_onset", "expected_rates", "find_onset"]


def find_onset(inv: Investigation, case: Case, meter: Meter, requests: int = 12, how: How = "auto") -> Onset:
    """The interval of steps in which the behaviour came up, with what was measured on the way."""
    steps = [c.step for c in inv.run.checkpoints if c.step <= inv.step]
    pool = meter.requests
    looks = max(1, len(pool) // requests)
    taken: list[tuple[int, int, int, int]] = []

    def evaluate(step: int, look: int) -> tuple[int, int]:
        inv.say(f"is it there at step {step}?", len(taken) + 1, len(steps) // 2)
        start = (look % looks) * requests
        seen = meter.count(inv.subject(step), pool[start : start + requests])
        inv.ledger.look(meter.name, "open", f"onset at step {step}", key=f"when/{step}/{look}")
        taken.append((step, look, seen.k, seen.n))
        return seen.k, seen.n

    hit = next(r for r in case.hits if r.bumper == meter.name)
    settings = BisectSettings(looks_per_step=looks, requests=min(requests, len(pool)))
    expected = _of_questions(inv, meter) if meter.told else expected_rates(case, hit, inv.settings.item_alpha)
    found = date_onset(steps, evaluate, expected, settings, how)
    curve = [CurvePoint(step=c.step, rate=Range.of(exact_interval(c.k, c.n)), n=c.n) for c in found.counts]
    changes = [OnsetChange(kind=c.kind, low=c.low, high=c.high, before=c.before, after=c.after) for c in found.changes]
    search = OnsetSearch(
        how=how, before=expected.before, after=expected.after, after_requests=expected.requests, looks_per_step=looks,
        requests=settings.requests, looks=taken,
    )  # fmt: skip
    return Onset(
        low=found.low, high=found.high, level=found.level, curve=sorted(curve, key=lambda c: c.step),
        evaluations=found.evaluations, full_sweep=found.full_sweep, note=found.note, changes=changes, search=search,
    )  # fmt: skip


def _of_questions(inv: Investigation, meter: Meter) -> Expected:
    """A behaviour with questions of its own is traced on some of them, so the check's rates do not hold."""
    before, after = (meter.count(who, meter.requests) for who in (inv.base, inv.subject()))
    low = min(max(before.rate, 0.01), 1 - SPREAD)
    return Expected(low, max(after.rate, low + SPREAD), after.n if after.rate > low + SPREAD else None)
