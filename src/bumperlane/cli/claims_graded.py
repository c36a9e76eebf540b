"""Commands that grade claims: compile our own, critique somebody else's, and show the rules."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..report.clean_text import named
from ..report.screen import OK, Screen
from .claims import claims
from .main import DIRECTORY, FILE, main

if TYPE_CHECKING:
    from ..claims.compile import Compiled

day_option = click.option(
    "--on", type=click.DateTime(["%Y-%m-%d"]), help="The day to assess for, since claims expire. [default: today]"
)


@claims.command("compile")
@click.argument("file", metavar="CLAIMS", type=FILE)
@click.option("--case", type=DIRECTORY, help="The case that claims with `case:` are about.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Write claims.txt and claims.json.")
@day_option
@click.pass_obj
def compile_(screen: Screen, file: Path, case: Path | None, out: Path | None, on: datetime | None) -> int:
    """Write the sentences of CLAIMS (a claims.yaml) with every number computed, each graded by the rules.

    Exit codes: 0 when every claim is SUPPORTED, or WEAK and stated as WEAK; 1 when one is NOT SUPPORTED, or WEAK
    without saying so; 3 when one is UNTESTED and none is worse; 2 when a number cannot be computed.
    """
    from ..case import write_json, write_text
    from ..claims.compile import as_text, codes, compile_claims

    found = compile_claims(file, case, on.date() if on else None)
    text, value = named_lines(as_text(found)), _value(found)
    if out:
        write_text(out / "claims.txt", text + "\n")
        write_json(out / "claims.json", value)
    wrote = f"\nwrote {out / 'claims.txt'} and claims.json" if out else ""
    screen.result(value, lambda: click.echo(f"{text}\n\n{_sum(found)}{wrote}"))
    return codes(found)


@claims.command()
@click.argument("file", type=FILE)
@click.option(
    "--claim", "kind", type=click.Choice(["below", "above"]), help="Claimed of a log: its rate is below/above."
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Of the rate that is claimed.")
@click.option("--behaviour", default="", help="What is counted, in words that follow 'the rate of'.")
@click.option("--event", type=click.Choice(["right", "wrong"]), help="Count items that were scored right, or wrong.")
@click.option("--cut", type=float, help="A graded score above this is right.")
@click.option("--scorer", default="", help="Of a log that has several.")
@day_option
@click.pass_obj
def critique(screen: Screen, file: Path, on: datetime | None, **given: Any) -> int:
    """Put somebody else's claims through the rules. FILE: our YAML, an Inspect log (.json, .eval), an Every Eval Ever
    record, or a case directory.

    What a file does not say is UNTESTED. Logs and records hold results and no claim: name one with --claim and
    --threshold. Exit codes as of compile.
    """
    from ..claims.assess import assess, exit_code
    from ..claims.compile import assessment_text
    from ..claims.critique import claimed, read_claims
    from ..claims.from_inspect import Asked

    side: Any = f"rate_{given.pop('kind')}" if given["kind"] else given.pop("kind")
    held = read_claims(file, Asked(kind=side, **given))
    found = [(e, assess(e, on.date() if on else None)) for e in held]
    value = [{"claimed": claimed(e), "evidence": e.model_dump(mode="json", exclude_defaults=True), **a.as_dict()}
             for e, a in found]  # fmt: skip
    text = "\n\n".join(assessment_text(a, claimed(e)) for e, a in found)
    screen.result(value, lambda: click.echo(named_lines(text)))
    return exit_code([(a.grade, "SUPPORTED") for _, a in found])


@main.command()
@click.argument("code", required=False)
@click.pass_obj
def rule(screen: Screen, code: str | None) -> int:
    """The page of rule CODE: why, how it is checked, what passes and what fails. Without a code: all rules."""
    from ..claims.rule_kinds.contract import find_rule, load_rules

    if code is None:
        rows = [{"code": r.code, "title": r.title, "kinds": list(r.kinds)} for r in load_rules().values()]
        lines = [f"{row['code']}  {row['title']}" for row in rows]
        lines.append(
            "\nA claim's grade is the worst of the rules that apply to it. `bumperlane rule C07` shows a page."
        )
        screen.result(rows, lambda: click.echo("\n".join(lines)))
        return OK
    found = find_rule(code)
    value = {"code": found.code, "title": found.title, "kinds": list(found.kinds), "page": found.page}
    screen.result(value, lambda: click.echo(found.page, nl=False))
    return OK


def named_lines(text: str) -> str:
    """Text that may hold a model's words, made harmless line by line."""
    return "\n".join(named(line) for line in text.rstrip("\n").split("\n"))


def _value(found: Sequence["Compiled"]) -> dict[str, Any]:
    value = {"claims": [c.as_dict() for c in found]}
    return json.loads(json.dumps(value, default=str))


def _sum(found: Sequence["Compiled"]) -> str:
    stand = sum(c.stands for c in found)
    return f"{stand} of {len(found)} claims are as good as they are stated"
