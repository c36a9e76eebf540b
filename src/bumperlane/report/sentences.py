"""What a case says, in words: shared by the terminal and the page, so that they can never disagree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..case import Bounce, BumperResult, Case, Cause, CheckResult, Claim, Group, Onset, PromptsInData, Range
from ..judge.spending import Spending
from ..percent import percent as exact
from ..percent import points as of_rates
from ..percent import short_percent
from ..types import REQUESTS

Tone = Literal["bad", "warn", "good", "plain", "off"]

TONES: dict[str, Tone] = {
    "hit": "bad", "clear": "plain", "blind": "warn",
    "treated": "good", "masked": "warn", "untreated": "bad", "damaged": "bad", "inconclusive": "warn",
    "confirmed": "bad", "suspected": "warn", "cleared": "plain",
}  # fmt: skip
SKIMMED = 280  # characters of a claim that are shown at once
GRADE_TONES: dict[str, Tone] = {  # the best supported first
    "strong": "good", "SUPPORTED": "good", "moderate": "plain", "weak": "warn", "WEAK": "warn",
    "UNTESTED": "warn", "NOT SUPPORTED": "bad",
}  # fmt: skip
MEANING = {
    "treated": "Treated means that the behaviour stays away where nobody looked while fixing.",
    "masked": "Masked means that the bumper that steered the fix is quiet, but the behaviour shows elsewhere.",
    "untreated": "Untreated means that the behaviour still shows; the bumper that was hit is not shown to be quiet.",
    "damaged": "Damaged means that capability is lost beyond the stated margin.",
    "inconclusive": "Inconclusive means that the evidence does not decide; the failed and missing checks would.",
}
NO_CLAIM = {
    "can": "Nothing is claimed.",
    "cannot": "Not stated. Anything outside the bumpers and contexts below is not covered.",
    "would change our mind": "Not stated.",
}
CLEAR_IS_NOT_SAFE = "Clear covers only what these bumpers looked at. What they cannot see stands under “What cannot”."


@dataclass(frozen=True)
class Step:
    """One station of the loop and how far the case has come there."""

    name: str
    state: str
    detail: str
    tone: Tone


def outcome(case: Case) -> str:
    """The word that stands over the case: the verdict of the bounce, or of the check when there was none.

    A case that contradicts itself is a hit: one of the two says so, and nothing here can tell which to believe.
    """
    if contradiction(case):
        return "hit"
    return case.bounce.verdict if case.bounce else case.verdict


def headline(case: Case) -> str:
    """The case in one sentence, without the leading verdict word."""
    if contradiction(case):
        return contradiction(case)
    if case.verdict == "blind":
        return f"This check cannot say whether anything is wrong: {tally(case)}."
    if case.verdict == "clear":
        return f"No bumper was hit ({tally(case)}), which does not show that nothing is there."
    if case.bounce:
        return f"{_cause_clause(case)}, and {_bounce_clause(case.bounce)}."
    if "trace" in case.stages:
        return f"{_cause_clause(case)}; no fix has been tried yet."
    return f"{hit_clause(case)}; its cause has not been looked for yet."


def lede(case: Case) -> str:
    """What stands under the headline: what was hit, and why the verdict is what it is."""
    if contradiction(case):
        return f"The reason that stands in the case, for what it is worth: {sentence(case.why)}"
    if case.verdict != "hit":
        return sentence(case.why)
    if "trace" not in case.stages:
        worst, others = worst_hit(case), sum(b.verdict == "hit" for b in every_bumper(case)) - 1
        more = f" Why {plural(others, 'other bumper')} {'was' if others == 1 else 'were'} hit stands further down."
        return sentence(worst.why if worst else case.why) + (more if others > 0 else "")
    return f"{sentence(hit_clause(case))} {sentence(case.bounce.why if case.bounce else case.why)}".strip()


def hit_clause(case: Case) -> str:
    """'ContextDeparture was hit: 64% of answers in its worst context, against 0.3% of controls'."""
    hits = [b for b in every_bumper(case) if b.verdict == "hit"]
    first = worst_hit(case)
    if first is None:
        return "A bumper was hit"
    others = f" and {plural(len(hits) - 1, 'other bumper')} were hit" if len(hits) > 1 else " was hit"
    if first.effect is None:
        return f"{first.bumper}{others}"
    control = f", against {percent(first.control.value)} of controls" if first.control else ""
    seen = "answers in its worst context" if first.counted == REQUESTS else f"{first.counted} in its worst group"
    return f"{first.bumper}{others}: {percent(first.effect.value)} of {seen}{control}"


def _cause_clause(case: Case) -> str:
    confirmed = [c for c in case.causes if c.status == "confirmed"]
    if confirmed:
        return f"Experiments confirm the cause, {', '.join(f'{c.kind} “{c.name}”' for c in confirmed)}"
    suspects = sum(c.status == "suspected" for c in case.causes)
    return f"No cause is confirmed ({plural(suspects, 'suspect')})" if suspects else "No cause was found"


def _bounce_clause(bounce: Bounce) -> str:
    failed = [c.name for c in bounce.checks if c.passed is False]
    ending = {
        "treated": f"the fix holds: {checks_tally(bounce.checks)}",
        "masked": "the fix only hides it",
        "untreated": "the fix did not remove it",
        "damaged": "the fix cost capability beyond the stated margin",
        "inconclusive": "the evidence does not say whether the fix holds",
    }[bounce.verdict]
    more = f" and {plural(len(failed) - 1, 'other check')}" if len(failed) > 1 else ""
    return f"{ending} (failed: {failed[0]}{more})" if failed else ending


def loop(case: Case) -> list[Step]:
    """Detect, trace, fix, verify, claim: what has been done and what came out."""
    told, tone = (f"{case.verdict}?", TONES["hit"]) if contradiction(case) else (case.verdict, TONES[case.verdict])
    detect = Step("Detect", told, tally(case), tone)
    return [detect, _trace_step(case), *_bounce_steps(case), _claim_step(case)]


def _trace_step(case: Case) -> Step:
    if "trace" not in case.stages:
        return Step("Trace", "not run", _why_not(case, "trace"), "off")
    counts = [(s, sum(c.status == s for c in case.causes)) for s in ("confirmed", "suspected", "cleared")]
    text = ", ".join(f"{n} {status}" for status, n in counts if n) or case.trace_note
    if counts[0][1]:
        return Step("Trace", "cause confirmed", text, "bad")
    return Step("Trace", "no cause confirmed" if counts[1][1] else "no cause found", text, "warn")


def _bounce_steps(case: Case) -> list[Step]:
    if not case.bounce:
        why = _why_not(case, "bounce")
        return [Step("Fix", "not run", why, "off"), Step("Verify", "not run", "", "off")]
    b = case.bounce
    return [
        Step("Fix", "retrained", f"{b.fix}, from step {b.rewind}", "plain"),
        Step("Verify", b.verdict, checks_tally(b.checks), TONES[b.verdict]),
    ]


def _claim_step(case: Case) -> Step:
    if not case.claims:
        return Step("Claim", "none made", "", "off")
    can = [c for c in case.claims if c.kind == "can"]
    cannot = sum(c.kind == "cannot" for c in case.claims)
    weak = sum(c.strength == "weak" for c in can)
    note = f", {weak} of them weak" if weak else ""
    state = plural(len(can), "claim") if can else "nothing claimed"
    return Step("Claim", state, f"{len(can)} can be said{note}; {cannot} cannot", "plain")


def _why_not(case: Case, stage: str) -> str:
    if contradiction(case):
        return "needs a case that does not contradict itself"
    if case.verdict == "clear":
        return "no hit to follow"
    if case.verdict == "blind":
        return "needs a check that can see"
    return f"bumperlane {stage}"


def every_bumper(case: Case) -> list[BumperResult]:
    """All results: hits first, then blind, then clear. A hit that is missing from the list of bumpers still counts."""
    seen = {(b.bumper, b.split) for b in case.bumpers}
    rows = [*case.bumpers, *(h for h in case.hits if (h.bumper, h.split) not in seen)]
    return sorted(rows, key=lambda b: ("hit", "blind", "clear").index(b.verdict))


def contradiction(case: Case) -> str:
    """What is said of a verdict that its bumpers do not make, in one sentence: the case was changed, and fails."""
    hits = [b.bumper for b in every_bumper(case) if b.verdict == "hit"]
    if case.verdict != "hit":  # then a hit counts wherever it stands
        hits = list(dict.fromkeys([*hits, *(h.bumper for h in case.hits)]))
    if (case.verdict == "hit") == bool(hits):
        return ""
    named = f"{', '.join(hits[:3])}{' and others' * (len(hits) > 3)}" or "no bumper"
    return (
        f"Case and verdict contradict each other: the verdict is {case.verdict}, and {named} "
        f"{'were' if len(hits) > 1 else 'was'} hit ({tally(case)}). No check writes this; check the run again."
    )


def worst_hit(case: Case) -> BumperResult | None:
    """The hit that the behaviour was taken from, else the one with the largest effect."""
    hits = [b for b in every_bumper(case) if b.verdict == "hit"]
    named = [b for b in hits if case.behaviour and b.bumper == case.behaviour.bumper]
    return max(named or hits, key=lambda b: b.effect.value if b.effect else -1.0, default=None)


def worst_groups(result: BumperResult, n: int | None = None) -> list[Group]:
    return sorted(result.groups, key=lambda g: (-g.rate.value, g.p_holm))[:n]


def claims_by_strength(case: Case, kind: str) -> list[Claim]:
    """Those of a kind, the best supported first."""
    best_first = list(GRADE_TONES)
    found = [c for c in case.claims if c.kind == kind]
    return sorted(found, key=lambda c: best_first.index(c.strength) if c.strength in best_first else len(best_first))


def start_of(text: str) -> str:
    """The first words of a text that is too long to be read in passing; empty for a shorter one."""
    return f"{text[:SKIMMED].rpartition(' ')[0] or text[:SKIMMED]} …" if len(text) > 1.5 * SKIMMED else ""


def levels(ranges: Iterable[Range | None]) -> str:
    """The confidence level of some intervals, as in '95%'."""
    found = sorted({r.level for r in ranges if r})
    return " and ".join(exact(level)[:-1] for level in found) + "%" if found else "95%"


def tolerated(case: Case) -> float | None:
    """The rate that the case tolerates, as its settings state it; None where they state none."""
    value = case.settings.get("tolerated_rate")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else None


def tally(case: Case) -> str:
    """'1 hit, 4 clear, 1 blind': blind is always counted apart."""
    rows = every_bumper(case)
    counts = [(word, sum(b.verdict == word for b in rows)) for word in ("hit", "clear", "blind")]
    return ", ".join(f"{n} {word}" for word, n in counts if n) or "no bumper looked"


def checks_tally(checks: Sequence[CheckResult]) -> str:
    done = [c for c in checks if c.passed is not None]
    text = f"{sum(bool(c.passed) for c in done)} of {plural(len(done), 'check')} passed"
    return text if len(done) == len(checks) else f"{text}, {len(checks) - len(done)} not done"


def failed(bounce: Bounce) -> str:
    return "; ".join(c.name for c in bounce.checks if c.passed is False)


def untried(bounce: Bounce) -> str:
    n = len(bounce.not_tried)
    return f"{plural(n, 'way')} of verifying that told nothing here or {'was' if n == 1 else 'were'} not asked for"


def in_data(found: PromptsInData) -> str:
    """How much of a bumper's prompts a fix trains on: '12 of 24 word for word, 13 near by meaning'."""
    near = (
        "; reworded ones were not looked for, as MiniLM is not here"
        if found.near is None
        else (f", {found.near} near by meaning")
    )
    return f"{found.copied} of {found.prompts} word for word{near}"


def ledger_lines(found: Spending) -> list[str]:
    """A ledger in sum, a line each bumper."""
    width = max((len(w.bumper) for w in found.bumpers), default=0)
    lines = [
        f"{plural(found.looks, 'look')}, {plural(found.decisions, 'decision')} at {found.alpha:g}: a false alarm in at "
        f"most {percent(found.risked)} of such cases, whatever hangs together (union bound).",
        "",
    ]
    for w in found.bumpers:
        looks = ", ".join(f"{n} {split}" for split, n in w.looks.items()) or "no look"
        steered = f"; steered {', '.join(dict.fromkeys(w.steered))}" if w.steered else ""
        data = f"; {percent(w.in_data)} of its prompts in the data of a fix" if w.in_data else ""
        lines.append(f"{w.bumper:{width}}  {w.state:9}  {looks}{steered}{data}")
    return lines


def earlier_bounces(case: Case) -> list[Bounce]:
    """Those before the last one, oldest first."""
    return [b for b in case.bounces if b != case.bounce]


def check_word(check: CheckResult) -> str:
    return {True: "passed", False: "failed", None: "not done"}[check.passed]


def onset_line(onset: Onset) -> str:
    line = f"after step {onset.low}, by step {onset.high}"
    if onset.full_sweep and onset.evaluations < onset.full_sweep:
        line += f"; {plural(onset.evaluations, 'evaluation')} instead of {onset.full_sweep}"
    elif onset.full_sweep:
        line += f"; {plural(onset.evaluations, 'evaluation')}"
    for change in onset.changes:
        line += f"; a {change.kind} from {percent(change.before)} to {percent(change.after)} by step {change.high}"
    return line


def cause_effect(cause: Cause) -> str:
    return points(cause.effect) if cause.effect else "no experiment"


def freshness(case: Case, bumper: BumperResult) -> str:
    """The bumper's split, and whether this case's own fix has spent it."""
    spent_now = case.bounce and bumper.bumper in case.bounce.steers and bumper.split != "spent"
    return f"{bumper.split}, now spent" if spent_now else bumper.split


def percent(value: float) -> str:
    return short_percent(value)


def rate(interval: Range | None) -> str:
    """'62% (51 to 72)'."""
    if interval is None:
        return "–"
    return f"{percent(interval.value)} ({percent(interval.low)[:-1]} to {percent(interval.high)[:-1]})"


def mean(rates: Sequence[float]) -> str:
    return percent(sum(rates) / len(rates)) if rates else "–"


def points(interval: Range) -> str:
    """A difference of two rates: '48 points (36 to 59)'."""
    value, low, high = (of_rates(x) for x in (interval.value, interval.low, interval.high))
    return f"{value} points ({low} to {high})"


def p_value(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".!?…" else ".")


def plural(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"
