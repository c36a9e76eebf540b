"""The strongest statement that is true of a claim's evidence, with what it takes for granted."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..judge.rates import exact_interval, rate_difference
from ..percent import percent
from .evidence import Evidence
from .grades import Finding
from .parts import Scope
from .reckon import UP, Corrections, bound_of, coarsest, limit_of, recall_of, unscored
from .rule_kinds.cause import effect_of

SHOWN = 80
RATES = (*UP, "rate_above")  # whose number counts items without a verdict as the worst case
PLACES = ("model", "model_hash", "system_prompt", "tools", "safeguards", "decoding", "contexts")


@dataclass(frozen=True)
class Weakened:
    """What may be said.

    Attributes:
        text: one sentence; every number in it is computed.
        provided: what it takes for granted, as (code, in words): one for each rule that is not met.
        value: the bound or effect that it states; None where nothing can be said.
        holds: whether it is the claim itself.
    """

    text: str
    provided: tuple[tuple[str, str], ...]
    value: float | None
    holds: bool


def weaken(e: Evidence, findings: Sequence[Finding]) -> Weakened:
    """The rate is replaced by its bound with all corrections, the scope by what was tested, the time by the day of the
    test. What no number can mend stands as a condition."""
    unmet = [f for f in findings if f.grade not in (None, "SUPPORTED")]
    text, value = _text(e)
    provided = tuple((f.code, f.assumes) for f in unmet if _still_open(e, f.code))
    place = _place(e)
    sentence = f"{text}{', ' if place else ''}{place}." if value is not None else text
    return Weakened(sentence[:1].upper() + sentence[1:], provided, value, not unmet)


def _still_open(e: Evidence, code: str) -> bool:
    """Whether what a rule is about is not in the statement's own number, scope or date."""
    said = {
        "C02": True, "C03": True, "C04": e.tested is not None, "C05": e.claim.kind in UP, "C07": True,
        "C08": coarsest(e) is not None, "C09": e.attempts is not None,
        "C14": e.claim.kind in RATES and unscored(e) is not None,
        "C16": bool(e.dates and e.dates.tested and e.tested and e.tested.model_hash),
    }  # fmt: skip
    return not said.get(code, False)


def _text(e: Evidence) -> tuple[str, float | None]:
    if e.claim.kind == "cause":
        return _of_cause(e)
    if e.counts is None or e.counts.of == 0:
        return f"nothing can be said of the rate of {e.claim.behaviour}: there are no counts.", None
    if e.claim.kind in ("difference", "equivalent"):
        return _of_difference(e)
    seen = f"{e.counts.bad:,} of {e.counts.of:,} seen{_unscored(e)}"
    level = percent(e.claim.level)
    if e.claim.kind in UP and recall_of(e) is None:
        limit = limit_of(e, Corrections(recall=False))
        value = limit.value if limit else 1.0
        return (
            f"at most {percent(value)} ({level}) of items would be flagged for {e.claim.behaviour}, {seen}; how many "
            "of the bad ones are flagged was not measured", value,
        )  # fmt: skip
    limit = limit_of(e)
    value = limit.value if limit else 1.0
    word = limit.word if limit else "at most"
    recall = recall_of(e)
    caught = f"; {recall[0]} of {recall[1]} planted ones were caught" if recall and e.claim.kind in UP else ""
    if e.claim.kind in UP and value >= 1 or e.claim.kind == "rate_above" and value <= 0:
        return f"nothing can be said of the rate of {e.claim.behaviour}: {seen}{caught} sets no bound.", None
    after = "after the fix " if e.claim.kind == "treated" else ""
    return f"{after}the rate of {e.claim.behaviour} is {word} {percent(value)} ({level}), {seen}{caught}", value


def _unscored(e: Evidence) -> str:
    extra = unscored(e)
    return f", {extra:,} without a verdict counted as the worst case" if extra else ""


def _of_difference(e: Evidence) -> tuple[str, float | None]:
    other, counts = e.comparator, e.counts
    if counts is None:
        return "nothing can be said: there are no counts.", None
    if other is None or not other.of:
        found = exact_interval(counts.bad, counts.of, e.claim.level)
        return (
            f"the rate of {e.claim.behaviour} is {percent(found.low)} to {percent(found.high)} "
            f"({percent(e.claim.level)}), {counts.bad:,} of {counts.of:,} seen, compared with nothing", found.high,
        )  # fmt: skip
    d = rate_difference(counts.bad, counts.of, other.bad, other.of, e.claim.level)
    return (
        f"the rate of {e.claim.behaviour} differs from that of {other.name} by {100 * d.low:+.1f} to "
        f"{100 * d.high:+.1f} points ({percent(e.claim.level)}), {counts.bad:,} of {counts.of:,} against "
        f"{other.bad:,} of {other.of:,}", d.value,
    )  # fmt: skip


def _of_cause(e: Evidence) -> tuple[str, float | None]:
    c = e.cause
    effect = effect_of(c, e.claim.level) if c else None
    if c is None or effect is None:
        return f"nothing can be said of what causes {e.claim.behaviour}: no experiment has an interval.", None
    against = "than without as much at random" if c.random_removal else "than before, and nothing was removed at random"
    n = min(len(c.removed), len(c.random_removal)) if c.random_removal else len(c.removed)
    return (
        f"in {n} retrains of each arm without {c.suspect} the rate of {e.claim.behaviour} is {100 * effect.low:.0f} to "
        f"{100 * effect.high:.0f} points ({percent(effect.level)}) lower {against}", effect.value,
    )  # fmt: skip


def _place(e: Evidence) -> str:
    """In which scope, as tested, and when."""
    scope = e.tested or Scope()
    parts = [
        f"{name.replace('_', ' ')} {_shown(value)}" for name in PLACES if (value := getattr(scope, name)) is not None
    ]
    on = f"tested on {e.dates.tested}" if e.dates and e.dates.tested else ""
    return "; ".join(x for x in ("for " + ", ".join(parts) if parts else "in these contexts alone", on) if x)


def _shown(value: object) -> str:
    text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
    return f"“{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'}”"


def rate_bound_of(e: Evidence) -> dict[str, float] | None:
    """The joint bound's numbers, for templates and JSON."""
    b, limit = bound_of(e), limit_of(e)
    if b is None or limit is None:
        return None
    return {"value": b.value, "low": b.low, "high": b.high, "limit": limit.value, "naive_high": b.naive_high,
            "effective_n": b.effective_n, "recall_low": b.recall_low, "level_each": b.level_each}  # fmt: skip
