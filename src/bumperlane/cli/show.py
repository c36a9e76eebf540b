"""Commands that show: a case, the bumpers, the schemas."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from ..case import Case, load_case
from ..report.clean_text import plain
from ..report.screen import HIT, OK, Screen
from .main import DIRECTORY, FILE, LINE, main


@main.command()
@click.argument("case", type=DIRECTORY)
@click.option("--format", "form", type=click.Choice(["terminal", "html", "junit", "sarif", "json"]), default="terminal")
@click.option("-o", "--out", type=FILE, help="Write to this file instead of stdout.")
@click.pass_obj
def report(screen: Screen, case: Path, form: str, out: Path | None) -> int:
    """Print CASE and write its page anew.

    Or give it in another form, for build servers and code review.
    """
    from ..case import write_text
    from ..report.html import render_html, write_report
    from ..report.junit import to_junit
    from ..report.publish import with_claims
    from ..report.sarif import to_sarif
    from ..report.terminal import print_case

    content = with_claims(load_case(case))
    if form == "terminal" and not screen.as_json:
        page = write_report(content, case)
        printed = io.StringIO()
        print_case(content, Console(file=printed, width=100) if out else Console(), page)
        if out:
            write_text(out, printed.getvalue())
        return OK
    forms: dict[str, Callable[[Case], str]] = {"html": render_html, "junit": to_junit, "sarif": to_sarif}
    text = forms[form](content) if form in forms else f"{json.dumps(content.model_dump(mode='json'), indent=1)}\n"
    if out:
        write_text(out, text)
        screen.result({"written": str(out)}, lambda: click.echo(f"wrote {out}"))
    else:
        value = {form: text} if form in forms else content.model_dump(mode="json")
        screen.result(value, lambda: click.echo(text, nl=False))
    return OK


@main.command()
@click.argument("bumper", required=False)
@click.option("--case", "directory", type=DIRECTORY, help="Also show what it saw in this case.")
@click.pass_obj
def explain(screen: Screen, bumper: str | None, directory: Path | None) -> int:
    """What BUMPER flags and is blind to; its trap. Without a name: all bumpers, a line each."""
    from ..detect.contract import about, brief, find_bumper, load_bumpers, spring_or_say

    if bumper is None:
        rows = [brief(cls) for cls in load_bumpers().values()]
        width = max(len(row["bumper"]) for row in rows)
        lines = [f"{r['bumper']:{width}}  {r['family']:9}  {r['kind']:7}  {r['flags']}" for r in rows]
        lines.append(f"\nA check that names none runs {', '.join(r['bumper'] for r in rows if r['by_default'])}.")
        screen.result(rows, lambda: click.echo("\n".join(lines)))
        return OK
    cls = find_bumper(bumper)
    sprung, outcome = spring_or_say(cls)
    seen = [b for b in load_case(directory).bumpers if b.bumper == bumper] if directory else []
    value = {
        "bumper": bumper,
        "page": about(cls),
        "trap": {"sprung": sprung, "outcome": outcome},
        "case": [b.model_dump(mode="json") for b in seen],
    }

    def show() -> None:
        click.echo(f"{bumper}\n\n{about(cls)}\n\nTrap: {'sprung' if sprung else 'NOT SPRUNG'}, {outcome}")
        for b in seen:
            click.echo(f"\nIn {directory}: {b.verdict}. {plain(b.why, LINE)}")
            for g in b.groups:
                click.echo(f"  {g.over} of {g.of}  p {g.p_holm:.2g}  {plain(g.name, 60)}: {plain(g.text, 160)}")
        if directory and not seen:
            click.echo(f"\n{bumper} did not look in {directory}.")

    screen.result(value, show)
    return OK


@main.command()
@click.pass_obj
def selftest(screen: Screen) -> int:
    """Spring every bumper's trap. Exit code 1 if one does not spring."""
    from ..detect.contract import load_bumpers, spring_or_say

    outcomes = {name: spring_or_say(cls) for name, cls in load_bumpers().items()}
    rows = [{"bumper": name, "sprung": sprung, "outcome": done} for name, (sprung, done) in outcomes.items()]
    width = max(map(len, outcomes), default=0)
    lines = [f"{n:{width}}  {'sprung' if ok else 'NOT SPRUNG':10}  {what}" for n, (ok, what) in outcomes.items()]
    failed = sum(not ok for ok, _ in outcomes.values())
    lines.append(f"{len(outcomes) - failed} of {len(outcomes)} traps sprung")
    screen.result(rows, lambda: click.echo("\n".join(lines)))
    return HIT if failed or not outcomes else OK


@main.command()
@click.argument("what", type=click.Choice(["case", "recipe"]))
def schema(what: str) -> int:
    """Print the JSON schema of case.json or of a recipe."""
    from ..case import case_schema
    from ..recipes.schema import recipe_schema

    click.echo(json.dumps(case_schema() if what == "case" else recipe_schema(), indent=1))
    return OK


@main.command()
@click.argument("case", type=DIRECTORY)
@click.option("--all", "every", is_flag=True, help="Also list bumpers that were never looked with.")
@click.pass_obj
def ledger(screen: Screen, case: Path, every: bool) -> int:
    """What was spent in CASE: looks, risked false alarms, bumpers that are fresh no more.

    The chain of the ledger is checked first.
    """
    from ..detect.contract import load_bumpers
    from ..judge.ledger import Ledger
    from ..judge.spending import spending
    from ..report.sentences import ledger_lines

    content = load_case(case)
    Ledger(case / "ledger.jsonl").verify(content.ledger)
    found = spending(content, tuple(load_bumpers()) if every else ())
    screen.result(found.as_dict(), lambda: click.echo("\n".join(plain(line, LINE) for line in ledger_lines(found))))
    return OK
