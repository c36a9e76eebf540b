"""A decision of an investigation as a question: what the case holds on it, numbered, and what there is to choose from.

Only what stands in `case.json` is read. Where a hypothesis or a fix is to be chosen, sealed checks are counted and not
told one by one: what they saw must not steer the next fix. Texts that a model or the training data wrote are put
between guillemets, shortened and stripped of signs that do not show.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..case import Bounce, Case, Cause, Range
from ..errors import CaseError, SettingError
from ..percent import share, short_percent
from ..recipes.provenance import content_key
from .rules import derive

Decision = Literal["hypothesis", "fix", "claim"]
DECISIONS: tuple[str, ...] = get_args(Decision)
STOP = "stop"
FAIRNESS = (
    ("fair", "the claim says what the evidence shows, no more and no less"),
    ("too-strong", "the claim says more than the evidence shows"),
    ("too-weak", "the evidence would bear a stronger claim"),
)
LONGEST = 300  # letters of a line
CLAIM = 2000  # letters of a claim: whether it is fair cannot be asked of a part of it
QUOTED = 80  # of what a model or the data wrote
ASKS = {
    "hypothesis": "Which hypothesis about the cause should be put to an experiment next, if any?",
    "fix": "Which fix should be carried out?",
    "claim": "Is this claim fair to the evidence?",
}


@dataclass(frozen=True)
class Line:
    """One piece of evidence or one option, with the name that it is referred to by."""

    name: str
    text: str


@dataclass(frozen=True)
class Question:
    """What is to be decided.

    Attributes:
        decision: hypothesis, fix or claim.
        asked: the question in words.
        options: what there is to choose from, in the order that Bumperlane itself would try them.
        evidence: E1, E2 ... of the case.
    """

    decision: str
    asked: str
    options: tuple[Line, ...]
    evidence: tuple[Line, ...]

    @property
    def key(self) -> str:
        """A hash of all of it: advice is valid for this question only."""
        lines = [[[line.name, line.text] for line in part] for part in (self.options, self.evidence)]
        return content_key({"decision": self.decision, "asked": self.asked, "lines": lines})


def question(directory: Path, case: Case, decision: str, claim: int | None = None) -> Question:
    """The decision that a case stands before.

    Args:
        claim: which one, from 1, of those that the case says can be made; for the decision `claim` only.

    Raises SettingError for an unknown decision or claim; CaseError where there is nothing to choose from.
    """
    if decision not in DECISIONS:
        raise SettingError(f"unknown decision {decision!r}. Known: {', '.join(DECISIONS)}.")
    if (claim is not None) != (decision == "claim"):
        said = "the number of one" if claim is None else "no claim's number"
        raise SettingError(f"the decision {decision!r} takes {said}. `bumperlane advise CASE claim` lists the claims.")
    asked = ASKS[decision]
    if decision == "hypothesis":
        options = _hypotheses(case)
    elif decision == "fix":
        options = _fixes(directory)
    else:
        options, asked = tuple(Line(*row) for row in FAIRNESS), f"{asked} The claim: {_claim(case, claim or 0)}"
    return Question(decision, asked, options, evidence(case, sealed=decision == "claim"))


def _hypotheses(case: Case) -> tuple[Line, ...]:
    if "trace" not in case.stages:
        raise CaseError("this case was not traced, so it has no hypotheses. Run `bumperlane trace CASE` first.")
    open_ones = [c for c in case.causes if c.status == "suspected"]
    lines = [Line(_short(f"{c.kind}:{c.name}", QUOTED), _cause(c)) for c in open_ones]
    if not lines:
        raise CaseError("no cause of this case is merely suspected: there is no hypothesis left to choose.")
    return (*lines, Line(STOP, "no further experiment: what is known suffices, or none of these is worth its cost"))


def _fixes(directory: Path) -> tuple[Line, ...]:
    from ..bounce.propose import propose_fixes  # not at the top: it brings torch

    found = [p for p in propose_fixes(directory) if p.applies and not p.masks]
    lines = []
    for p in found:
        if p.forecast:
            cost = f"; about {p.cpu_s:.0f} CPU s" if p.cpu_s else ""
            text = (
                f"{p.about}. Expected: the rate falls by {share(p.forecast.effect)}, {short_percent(p.share)} of it "
                f"({p.forecast.known}); trains {p.forecast.steps} steps from step {p.forecast.rewind}{cost}."
            )
            lines.append(Line(p.name, _short(text)))
    if not lines:
        raise CaseError("no fix applies to this case. `bumperlane bounce CASE --propose` says why for each.")
    return tuple(lines)


def _claim(case: Case, n: int) -> str:
    known = claims(case)
    if not 1 <= n <= len(known):
        raise SettingError(f"there is no claim {n}: the case makes {len(known)}, counted from 1.")
    return _quote(known[n - 1].text, CLAIM)  # it quotes contexts, which the training data may have written


def claims(case: Case) -> tuple[Line, ...]:
    """What the case says that can be said, numbered from 1."""
    return tuple(
        Line(str(i), _short(c.text, CLAIM)) for i, c in enumerate((c for c in derive(case) if c.kind == "can"), 1)
    )


def evidence(case: Case, sealed: bool = True) -> tuple[Line, ...]:
    """What the case holds, a line each, numbered. Without `sealed`, sealed checks are only counted."""
    return tuple(Line(f"E{i}", _short(text)) for i, text in enumerate(_lines(case, sealed), 1))


def _lines(case: Case, sealed: bool) -> Iterator[str]:
    shut = [] if sealed else [b.verdict for b in case.bumpers if b.split == "sealed"]
    if shut:
        told = ", ".join(f"{shut.count(v)} {v}" for v in ("hit", "clear", "blind"))
        yield f"of {len(shut)} sealed bumpers: {told}"
    case = case if sealed else _unsealed(case)
    for b in case.bumpers:
        worst = max(b.groups, key=lambda g: g.rate.value, default=None)
        where = ""
        if worst and b.verdict == "hit":
            where = f"; worst in {_quote(worst.text or worst.name)}, {worst.over} of {worst.of}"
        elif worst:
            where = f"; at most {worst.over} of {worst.of} in any of {len(b.groups)} groups"
        why = f": {b.why}" if b.verdict == "blind" else ""
        yield f"bumper {b.bumper} ({b.family}, {b.split}) was {b.verdict}{where}{why}"
    if case.onset:
        yield f"the behaviour came up after step {case.onset.low}, by step {case.onset.high}. {case.onset.note}"
    yield from (_cause(c) for c in case.causes)
    for a in case.attribution:
        yield f"attribution by {a.name} was heard with weight {a.weight:.2f}. {a.why}"
    for s in case.experiments:
        rates = ", ".join(f"{r:.2f}" for r in s.rates)
        yield f"experiment ({s.purpose}) on {', '.join(s.what)}: rates of the behaviour {rates or 'none'}"
    yield from (f"log: {text}" for text in case.reward_log)
    yield from (f"not run: {text}" for text in case.not_run)
    for bounce in case.bounces:
        yield from _bounce(bounce, sealed)
    if case.trace_note:
        yield f"trace: {case.trace_note}"
    yield from (f"cannot be said: {c.text}" for c in derive(case) if c.kind == "cannot")


def _unsealed(case: Case) -> Case:
    """The case as it would be if one had looked in the open alone: what it says cannot be said tells of checks, too."""
    shown = case.model_copy(update={"bumpers": [b for b in case.bumpers if b.split != "sealed"]})
    if case.bounce is None:
        return shown
    checks = [c for c in case.bounce.checks if c.split != "sealed"]
    return shown.model_copy(update={"bounce": case.bounce.model_copy(update={"checks": checks, "why": ""})})


def _bounce(bounce: Bounce, sealed: bool) -> Iterator[str]:
    why = f": {bounce.why}" if sealed else ""
    yield f"the fix {bounce.fix!r} from step {bounce.rewind} was found {bounce.verdict}{why}"
    shut = [c.passed for c in bounce.checks if c.split == "sealed" and not sealed]
    if shut:
        yield f"of {len(shut)} sealed checks of it {shut.count(True)} passed, {shut.count(False)} failed"
    for check in (c for c in bounce.checks if sealed or c.split != "sealed"):
        word = {True: "passed", False: "failed", None: "could not be done"}[check.passed]
        yield f"check {check.name!r} ({check.split}) {word}: {check.detail}"
    if sealed:
        yield from (f"in question: {text}" for text in bounce.in_question)
    if bounce.change_plans:
        yield bounce.change_plans if sealed else "change plans: the last bounces failed in the same way"


def _cause(c: Cause) -> str:
    effect = f", effect of leaving it out {_range(c.effect)}" if c.effect else ""
    score = f", attribution {c.predicted:.1f} spreads" if c.predicted is not None else ""
    p = f", p = {c.p_value:.2g}" if c.p_value is not None else ""
    return f"{c.kind} {_quote(c.name)} is {c.status}{effect}{score}{p}. {c.why}"


def _range(r: Range) -> str:
    return f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})"


def _quote(text: str, most: int = QUOTED) -> str:
    return f"«{_short(text, most).replace('«', '<').replace('»', '>')}»"


def _short(text: str, most: int = LONGEST) -> str:
    """One line without signs that do not show, at most so many letters."""
    shown = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    line = " ".join(shown.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
