"""The command that asks for a second opinion, and writes down what was decided."""

import getpass
from pathlib import Path
from typing import Any

import click

from ..case import load_case
from ..errors import SettingError
from ..report.clean_text import plain
from ..report.screen import OK, Screen
from .main import DIRECTORY, LINE, main

MOST = 4000  # characters of what an advisor says


@main.command()
@click.argument("case", type=DIRECTORY)
@click.argument("decision", type=click.Choice(["hypothesis", "fix", "claim"]), required=False)
@click.option("--claim", type=int, help="Which of the claims that the case makes, from 1.")
@click.option("--advisor", metavar="ADVISOR", help="local:MODEL, or endpoint:URL#MODEL. Default: none is asked.")
@click.option("--decide", metavar="OPTION", help="Write down that this option was chosen.")
@click.option("--why", default="", help="Of a decision: the reason.")
@click.option("--by", default="", help="Of a decision: who decided. Default: the user's name.")
@click.option("--key-variable", default="OPENAI_API_KEY", show_default=True, help="Variable of an endpoint's key.")
@click.option("--max-tokens", type=click.IntRange(1), default=700, show_default=True, help="Of an endpoint's reply.")
@click.pass_obj
def advise(screen: Screen, case: Path, decision: str | None, claim: int | None, **given: Any) -> int:
    """Which hypothesis of CASE next, which fix, is a claim fair: options, evidence, a second opinion.

    Without --advisor it only shows what there is to decide on. An advisor proposes and a person decides: --decide
    writes the decision down beside the advice, in CASE/advice.jsonl. Without DECISION: all that stands there.
    """
    from ..claims.advice import claims, question
    from ..claims.advice_log import AdviceLog
    from ..claims.advisors import advisor_named

    log = AdviceLog(case)
    content = load_case(case)
    if decision is None:
        return _log(screen, case, log)
    if decision == "claim" and claim is None:
        found = claims(content)
        lines = [f"{c.name:>3}  {plain(c.text, MOST)}" for c in found]
        screen.result([vars(c) for c in found], lambda: click.echo("\n".join([*lines, "Name one: --claim N."])))
        return OK
    if given["advisor"] and given["decide"]:
        raise SettingError("--advisor asks, and --decide writes down. Ask first, then decide.")
    asked = question(case, content, decision, claim)
    if given["decide"]:
        noted = log.decided(asked, given["decide"], given["why"], given["by"] or getpass.getuser())
        value = {"decided": noted.choice, "by": noted.by, "advised": noted.content["advised"]}
        screen.result(value, lambda: click.echo(f"decided {plain(noted.choice, LINE)}; written to {log.path}"))
        return OK
    advice = None
    if given["advisor"]:
        advice = advisor_named(given["advisor"], given["key_variable"], given["max_tokens"]).advise(asked)
        log.advised(asked, advice)
    lines = ["Evidence", *(f"  {e.name:4} {plain(e.text, LINE)}" for e in asked.evidence)]
    lines += ["Options", *(f"  {plain(o.name, LINE)}: {plain(o.text, LINE)}" for o in asked.options)]
    if advice:
        lines += [f"Advice of {plain(advice.advisor, LINE)}: {plain(advice.choice, LINE)}"]
        for title, reasons in (("for it", advice.reasons), ("against it", advice.against)):
            lines += [f"  {title}: {plain(r.text, MOST)} [{', '.join(r.evidence)}]" for r in reasons]
    else:
        lines += [f"No advisor was asked (--advisor). {plain(asked.asked, MOST)}"]
    value = {
        "asked": asked.asked,
        "options": [vars(o) for o in asked.options],
        "evidence": [vars(e) for e in asked.evidence],
        "advice": advice.as_dict() if advice else None,
    }
    screen.result(value, lambda: click.echo("\n".join(lines)))
    if not screen.as_json:
        which = f" --claim {claim}" if claim else ""
        click.echo(f"next: bumperlane advise {case} {decision}{which} --decide OPTION --why TEXT", err=True)
    return OK


def _log(screen: Screen, case: Path, log: Any) -> int:
    noted = log.entries()
    lines = [
        f"{e.n:3}  {e.at}  {e.kind:8}  {e.decision:10}  {plain(e.choice, 60)}  by {plain(e.by, 60)}"
        + (f": {plain(e.content['why'], LINE)}" if e.kind == "decision" else "")
        for e in noted
    ]
    lines = lines or [f"Nobody was asked and nothing was decided in {case}. Name a decision: hypothesis, fix or claim."]
    screen.result([vars(e) for e in noted], lambda: click.echo("\n".join(lines)))
    return OK
