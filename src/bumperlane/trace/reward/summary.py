"""A trace of rewards in sentences. Names and phrases come from logs and models, so they are shown escaped."""

from ...types import Interval
from .causes import RewardCause, RewardTrace
from .changepoint import ChangePoint
from .origins import Origin

SHOWN = 5
LONGEST = 80  # characters of a name


def summary(trace: RewardTrace) -> str:
    """Lines of plain text: which term, when, where, what they share, and what a reader must know."""
    lines = [
        f"{trace.flagged:,} of {trace.known:,} rollouts are flagged ({_safe(trace.name)}).",
        _matched(trace),
        _verdict(trace),
        *(f"  {_term(cause)}" for cause in trace.causes),
        _change(trace.onset, "rate"),
        *(_change(one, "difference, in spreads,") for one in trace.parting if one.found),
    ]
    for what, origins in (("environment", trace.environments), ("prompt", trace.prompts)):
        lines += [_origin(what, one) for one in origins[:SHOWN] if one.p_value <= 0.05]
    lines += [
        f"{p.only_flagged} of {p.pairs} flagged responses say {_safe(p.text)} and their matched one does not; "
        f"{p.only_matched} the other way round ({_p(p.p_value)})."
        for p in trace.phrases[:SHOWN]
    ]
    lines += [f"{_safe(d.name)}: flagged less matched {_range(d.value)} ({_p(d.p_value)})." for d in trace.differences]
    return "\n".join([*lines, *(f"Note: {note}" for note in trace.notes)])


def _matched(trace: RewardTrace) -> str:
    if trace.matching is None:
        return "None of them could be compared."
    m = trace.matching
    near = f"{m.by_prompt:,} have an unflagged rollout of the same prompt and step"
    return f"Matched: {near}, {m.by_environment:,} only one of the same environment, {m.unmatched:,} none."


def _verdict(trace: RewardTrace) -> str:
    if trace.cause is None:
        return "No reward term pays for the behaviour."
    whole = f", of a whole gap in advantage of {_range(trace.whole)}" if trace.whole else ""
    return f"{_safe(trace.cause.term)} pays for the behaviour: share {_range(trace.cause.share)}{whole}."


def _term(cause: RewardCause) -> str:
    turned = cause.rescored.turned
    name = _safe(cause.term)
    groups = f"; {turned.value:.0%} of the groups that preferred flagged ones no longer would" if turned else ""
    return (
        f"{name}: gap {_range(cause.gap)} ({_p(cause.p_value)}), share {_range(cause.share)}. Without it "
        f"flagged rollouts would have a mean advantage of {_range(cause.counterfactual)}, not "
        f"{cause.rescored.before.value:.2f}{groups}. {cause.why}"
    )


def _change(found: ChangePoint, what: str) -> str:
    if found.onset is None:
        return f"{_safe(found.name)}: {found.why} ({_p(found.p_value)})"
    when = f"{found.onset.value:.0f}, between {found.onset.low:.0f} and {found.onset.high:.0f}"
    levels = f"{what} before {found.before:.2g}, at the end {found.after:.2g}"
    return f"{_safe(found.name)}: {found.why.rstrip('.')} at step {when}; {levels} ({_p(found.p_value)})."


def _origin(what: str, one: Origin) -> str:
    return (
        f"{what} {_safe(one.name)}: {one.flagged} of {one.of} flagged, {_range(one.rate)}, where its steps would give "
        f"{one.expected:.1f} ({_p(one.p_value)})."
    )


def _p(value: float) -> str:
    return f"p {value:.2g}" if value >= 1e-99 else "p < 1e-99"


def _range(value: Interval | None) -> str:
    return "unknown" if value is None else f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _safe(text: str) -> str:
    """Escaped as Python would: no control, bidi or zero-width character acts on a terminal."""
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    shown = ascii(cut) if any(not c.isprintable() for c in cut) else cut
    return f"'{shown}'" if shown == cut else shown
