"""When did it begin? Noisy bisection over the checkpoints, with the bumper that was hit."""

from ..case import Case, CurvePoint, Onset, Range
from ..judge.investigation import Investigation
from ..judge.rates import exact_interval
from .bisect import BisectSettings, bisect
from .meter import Meter


def find_onset(inv: Investigation, case: Case, meter: Meter, requests: int = 12) -> Onset:
    """The interval of steps in which the behaviour came up, with what was measured on the way."""
    steps = [c.step for c in inv.run.checkpoints if c.step <= inv.step]
    pool = inv.pools.open
    looks = max(1, len(pool) // requests)
    hit = next(r for r in case.hits if r.bumper == meter.name)
    before = hit.control.value if hit.control else inv.settings.item_alpha
    after = hit.effect.value if hit.effect else 1.0
    asked = 0

    def evaluate(step: int, look: int) -> tuple[int, int]:
        nonlocal asked
        asked += 1
        inv.say(f"is it there at step {step}?", asked, len(steps) // 2)
        start = (look % looks) * requests
        seen = meter.count(inv.subject(step), pool[start : start + requests])
        inv.ledger.look(meter.name, "open", f"onset at step {step}", key=f"when/{step}/{look}")
        return seen.k, seen.n

    low_rate = min(max(before, 0.01), 0.2)
    settings = BisectSettings(looks_per_step=looks, requests=min(requests, len(pool)))
    found = bisect(steps, evaluate, settings, before=low_rate, after=max(after, low_rate + 0.2))
    curve = [CurvePoint(step=c.step, rate=Range.of(exact_interval(c.k, c.n)), n=c.n) for c in found.curve]
    return Onset(
        low=found.low, high=found.high, level=found.level, curve=sorted(curve, key=lambda c: c.step),
        evaluations=found.evaluations, full_sweep=found.full_sweep, note=found.note,
    )  # fmt: skip
