"""One screen for a case. Every string goes through `plain`, and rich's own markup is never read from data."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..case import Bounce, Case
from ..types import REQUESTS
from . import sentences as say
from .clean_text import plain

STYLES = {"bad": "bold red", "warn": "bold yellow", "good": "bold green", "plain": "bold", "off": "dim"}
NAME, LINE, OUTPUT = 48, 400, 160
GROUPS, SAMPLES, CAUSES, CLAIMS = 3, 2, 6, 4
FULL_TABLE_WIDTH, TRAP_COLUMN_WIDTH = 80, 110
NEVER_WRAPPED = ("family", "verdict", "worst context", "control", "p (Holm)", "status", "result", "fall when left out")


def print_case(case: Case, console: Console, page: Path | None = None) -> None:
    """Print the case. `page`: where its HTML page lies, named in the last line.

    Colour is the console's decision: none when it is not a terminal or NO_COLOR is set. Words carry the verdict.
    """

    def out(*parts: object) -> None:
        for part in parts:
            if isinstance(part, Table) and console.width < FULL_TABLE_WIDTH:
                _let_wrap(part)
        console.print(*parts, markup=False, highlight=False, emoji=False, soft_wrap=False)

    _verdict(case, out)
    _bumpers(case, out, wide=console.width >= TRAP_COLUMN_WIDTH)
    _worst(case, out)
    if case.onset:
        out(_labelled("Onset", say.onset_line(case.onset)))
    _causes(case, out)
    if case.bounce:
        _bounce(case.bounce, out)
        for tried in say.earlier_bounces(case):
            out(_labelled("Before", f"{tried.fix}, from step {tried.rewind}: {tried.verdict}"))
    _claims(case, out)
    if page is not None:
        out(_labelled("Page", str(page)))


def _verdict(case: Case, out) -> None:
    word = say.outcome(case)
    head = Text(word.upper(), style=STYLES[say.TONES[word]])
    head.append(f"  {_safe(say.headline(case))}", style="bold")
    out(head)
    out(Text(_safe(say.lede(case))))


def _bumpers(case: Case, out, wide: bool) -> None:
    """The table of bumpers; on a narrow screen the traps stand under it."""
    headings = ["bumper", "family", "split", "verdict", "worst context", "control", "p (Holm)"]
    table = _table(*headings, *(["trap"] if wide else []))
    table.columns[2].min_width = len("sealed")
    for b in say.every_bumper(case):
        control = say.percent(b.control.value) if b.control else "–"
        name, trap = plain(b.bumper, NAME), [b.trap or "not stated"] if wide else []
        numbers = say.rate(b.effect), control, say.p_value(b.p_holm)
        _row(table, name, b.family, b.split, _word(b.verdict), *numbers, *trap)
    out(table)
    label = "Traps"
    for b in [] if wide else say.every_bumper(case):
        out(_labelled(label, f"{b.bumper}: {b.trap or 'not stated'}"))
        label = ""


def _worst(case: Case, out) -> None:
    hit = say.worst_hit(case)
    for b in (b for b in say.every_bumper(case) if b.verdict == "blind"):
        out(_labelled("Blind", f"{b.bumper}: {b.why}"))
    for group in [g for g in say.worst_groups(hit, GROUPS) if g.over] if hit else []:
        shown = f"{group.name}: {group.text}" if group.text else group.name
        asked = hit and hit.family == "behaviour" and hit.counted == REQUESTS
        where = "Context" if group.text else "Questions" if asked else "Where"
        out(_labelled(where, f"{say.rate(group.rate)}  {plain(shown, OUTPUT)}"))
    for s in case.behaviour.samples[:SAMPLES] if case.behaviour else []:
        out(_labelled("Asked", plain(s.request, OUTPUT)))
        out(_labelled("  said", plain(s.response, OUTPUT)))
        if s.neutral_response:
            beside = "  against" if case.behaviour and case.behaviour.origin == "asked" else "  without"
            out(_labelled(beside, plain(s.neutral_response, OUTPUT)))


def _causes(case: Case, out) -> None:
    if "trace" not in case.stages:
        return
    if not case.causes:
        out(_labelled("Causes", f"no cause was found. {case.trace_note}"))
        return
    table = _table("cause", "status", "fall when left out", "rate after retraining")
    for i, c in enumerate(case.causes[:CAUSES], start=1):
        arms = (
            [f"{a.name} {say.mean(a.rates)} ({say.plural(len(a.rates), 'seed')})" for a in c.experiment.arms]
            if c.experiment
            else []
        )
        name = plain(f"{i}. {c.kind} {c.name}", NAME)
        _row(table, name, _word(c.status), say.cause_effect(c), "; ".join(arms) or "–")
    out(table)
    if len(case.causes) > CAUSES:
        out(Text(f"  and {say.plural(len(case.causes) - CAUSES, 'more cause')} on the page"))
    if case.attribution:
        heard = ", ".join(f"{m.name} {m.weight:.2f}" for m in case.attribution)
        out(_labelled("Attribution", plain(f"weight of each method by its trap: {heard}", OUTPUT)))
    for line in (*case.reward_log[:3], *case.early_warnings):
        out(_labelled("", plain(line, OUTPUT)))
    if case.experiments:
        n, cpu = sum(len(s.rates) for s in case.experiments), [s.cpu_s for s in case.experiments]
        cost = f", {sum(c for c in cpu if c is not None):.0f} CPU s" if None not in cpu else ""
        left = f"; {say.plural(len(case.not_run), 'planned step')} not run for lack of budget" if case.not_run else ""
        out(_labelled("Experiments", f"{say.plural(n, 'retrain')}{cost}{left}"))


def _bounce(bounce: Bounce, out) -> None:
    out(_labelled("Fix", f"{bounce.fix}, from step {bounce.rewind}"))
    for line in bounce.diff.splitlines():
        if line[:1] in "+-" and not line.startswith(("+++", "---")):
            out(_labelled("", plain(line, OUTPUT)))
    spent = f"; spends {', '.join(bounce.steers)}" if bounce.steers else ""
    out(_labelled("Verify", f"{bounce.verdict}{spent}", STYLES[say.TONES[bounce.verdict]]))
    table = _table("check", "result", "split", "what came out")
    for check in bounce.checks:
        word = say.check_word(check)
        style = {"passed": "green", "failed": "bold red"}.get(word, "yellow")
        _row(table, plain(check.name, NAME), Text(word, style=style), check.split, check.detail)
    out(table)
    if bounce.not_tried:
        out(_labelled("Untried", f"{say.untried(bounce)}: see the page"))


def _claims(case: Case, out) -> None:
    labels = {"can": "Can say", "cannot": "Cannot", "would change our mind": "Changes it"}
    for kind, label in labels.items():
        texts = [f"{c.text} [{c.strength}]" if c.strength else c.text for c in case.claims if c.kind == kind]
        for text in texts[:CLAIMS] or [say.NO_CLAIM[kind]]:
            out(_labelled(label, text))
            label = ""
        if len(texts) > CLAIMS:
            out(_labelled("", f"and {len(texts) - CLAIMS} more on the page"))


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in NEVER_WRAPPED)
    return table


def _row(table: Table, *cells: str | Text) -> None:
    """Add a row. A bare string is made safe and is never read as rich's markup."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(_safe(cell)) for cell in cells))


def _let_wrap(table: Table) -> None:
    """On a very narrow screen words are broken: rich would drop whole columns instead."""
    for column in table.columns:
        column.no_wrap, column.min_width = False, None


def _word(word: str) -> Text:
    return Text(word, style=STYLES[say.TONES[word]])


def _labelled(label: str, text: str, style: str = "") -> Table:
    """A line with its label in a narrow first column, so that long text wraps under itself."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=11, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(label, Text(_safe(text), style=style))
    return grid


def _safe(text: str) -> str:
    return plain(text, LINE)
