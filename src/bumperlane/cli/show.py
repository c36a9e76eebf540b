"""Commands that show: a case, the bumpers, the schemas."""

import io
import json
from pathlib import Path
from typing import Any

import click

from ..report.clean_text import plain
from ..report.screen import BLIND, HIT, OK, TERMINAL, Screen
from .complete import BUMPER, CASE
from .main import DIRECTORY, FILE, LINE, form_option, main


@main.command()
@click.argument("case", type=DIRECTORY, shell_complete=CASE)
@form_option
@click.option("-o", "--out", type=FILE, help="Write to this file instead of stdout.")
@click.pass_obj
def report(screen: Screen, case: Path, out: Path | None) -> int:
    """Print CASE and write its page anew.

    Or give it in another form, for build servers and code review.
    """
    from ..case import load_case, write_text
    from ..report.publish import with_claims

    content = with_claims(load_case(case))
    if screen.form == TERMINAL and not screen.as_json:
        from rich.console import Console

        from ..report.html import write_report
        from ..report.terminal import print_case

        page = write_report(content, case)
        printed = io.StringIO()
        print_case(content, Console(file=printed, width=100) if out else Console(), page)
        if out:
            write_text(out, printed.getvalue())
        return OK
    if out:
        from ..report.forms import rendered

        write_text(out, rendered(content, "json" if screen.form == TERMINAL else screen.form, case))
        screen.result({"written": str(out)}, lambda: click.echo(f"wrote {out}"))
    else:
        screen.case(content, case)
    return OK


@main.command()
@click.argument("bumper", required=False, shell_complete=BUMPER)
@click.option("--case", "directory", type=DIRECTORY, help="Also show what it saw in this case.", shell_complete=CASE)
@click.option("--trap", is_flag=True, help="Also spring its trap. This imports it, and perhaps torch, so it is slower.")
@click.pass_obj
def explain(screen: Screen, bumper: str | None, directory: Path | None, trap: bool) -> int:
    """What BUMPER flags and is blind to. Without a name: all bumpers, a line each.

    With --trap the exit code is 3 where the trap does not spring, since such a bumper is blind.
    """
    from ..detect.catalogue import catalogue, find_listed

    if bumper is None:
        if directory or trap:
            raise click.UsageError("--case and --trap are of one bumper: name it, as in `explain PairedContexts`.")
        rows = [listed.as_row() for listed in catalogue().values()]
        width = max(len(row["bumper"]) for row in rows)
        lines = [f"{r['bumper']:{width}}  {r['family']:9}  {r['kind']:7}  {r['flags']}" for r in rows]
        always, joining = (", ".join(r["bumper"] for r in rows if r[how]) for how in ("by_default", "joins"))
        lines.append(f"\nA check that names none runs {always}; and where the run holds what they need, {joining}.")
        screen.result(rows, lambda: click.echo("\n".join(lines)))
        return OK
    page = find_listed(bumper).page
    sprung = _sprung(bumper) if trap else None
    seen = _seen(directory, bumper)
    value = {"bumper": bumper, "page": page, "trap": sprung, "case": [b.model_dump(mode="json") for b in seen]}

    def show() -> None:
        click.echo(f"{bumper}\n\n{page}\n")
        if sprung:
            click.echo(f"Trap: {'sprung' if sprung['sprung'] else 'NOT SPRUNG'}, {sprung['outcome']}")
        else:
            click.echo(f"Trap: not tried here. `bumperlane explain {bumper} --trap` springs it.")
        for b in seen:
            click.echo(f"\nIn {directory}: {b.verdict}. {plain(b.why, LINE)}")
            for g in b.groups:
                click.echo(f"  {g.over} of {g.of}  p {g.p_holm:.2g}  {plain(g.name, 60)}: {plain(g.text, 160)}")
        if directory and not seen:
            click.echo(f"\n{bumper} did not look in {directory}.")

    screen.result(value, show)
    return BLIND if sprung and not sprung["sprung"] else OK  # a bumper whose trap does not spring sees nothing


def _sprung(bumper: str) -> dict[str, Any]:
    from ..detect.contract import find_bumper, spring_or_say

    sprung, outcome = spring_or_say(find_bumper(bumper))
    return {"sprung": sprung, "outcome": outcome}


def _seen(directory: Path | None, bumper: str) -> list[Any]:
    """What a bumper saw in a case; nothing without one."""
    if directory is None:
        return []
    from ..case import load_case

    return [b for b in load_case(directory).bumpers if b.bumper == bumper]


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
@click.argument("what", type=click.Choice(["case", "recipe", "evidence"]))
def schema(what: str) -> int:
    """Print the JSON schema of case.json, of a recipe, or of a claim's evidence."""
    from ..case import case_schema
    from ..claims.evidence import evidence_schema
    from ..recipes.schema import recipe_schema

    made = {"case": case_schema, "recipe": recipe_schema, "evidence": evidence_schema}[what]
    click.echo(json.dumps(made(), indent=1))
    return OK


@main.command()
@click.argument("case", type=DIRECTORY, shell_complete=CASE)
@click.option("--all", "every", is_flag=True, help="Also list bumpers that were never looked with.")
@click.pass_obj
def ledger(screen: Screen, case: Path, every: bool) -> int:
    """What was spent in CASE: looks, risked false alarms, bumpers that are fresh no more.

    The chain of the ledger is checked first.
    """
    from ..case import load_case
    from ..detect.contract import load_bumpers
    from ..judge.ledger import Ledger
    from ..judge.spending import spending
    from ..report.sentences import ledger_lines

    content = load_case(case)
    Ledger(case / "ledger.jsonl").verify(content.ledger)
    found = spending(content, tuple(load_bumpers()) if every else ())
    screen.result(found.as_dict(), lambda: click.echo("\n".join(plain(line, LINE) for line in ledger_lines(found))))
    return OK
