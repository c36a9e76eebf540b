"""Commands that close the loop: trace a hit, fix its cause."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..errors import SettingError
from ..report.screen import BLIND, HIT, OK, Screen
from .complete import CASE
from .main import DIRECTORY, FILE, dry_run_option, form_option, jobs_option, main


@main.command()
@click.argument("case", type=DIRECTORY, shell_complete=CASE)
@click.option("--budget", help="Of experiments: a time, such as 10m or 2h, or a number of retrains. Default: no limit.")
@click.option("--seeds", type=click.IntRange(1), default=2, show_default=True, help="Least retrains in each arm.")
@click.option("--suspects", type=click.IntRange(1), default=5, show_default=True, help="Most to experiment on.")
@click.option(
    "--method", "methods", multiple=True, help="Attribution method; may be repeated. Default: the cheap ones."
)
@click.option(
    "--per-tranche",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Examples of each tranche that gradient methods look at; 0: all.",
)
@click.option("--passes", help="A logged reward term or check that rollouts with the behaviour pass ...")
@click.option("--fails", help="... and one that they fail, such as held-out tests.")
@click.option("--sweep", is_flag=True, help="Look at every checkpoint, also where bisecting would do.")
@click.option("--early-warning", is_flag=True, help="Also date the mechanism, by bumpers of internals.")
@click.option("--no-traps", is_flag=True, help="Hear every attribution method in full, untested.")
@jobs_option
@form_option
@dry_run_option
@click.pass_obj
def trace(screen: Screen, case: Path, dry_run: bool, budget: str | None, no_traps: bool, **given: Any) -> int:
    """Find when the hit of CASE came up, and its cause.

    A cause is confirmed only by experiment: retrains without it, against as many random examples left out. The
    experiments that tell most for their cost come first. Exit code 0 when a cause is confirmed, 3 when none is.
    """
    from ..case import load_case

    load_case(case)
    from ..report.publish import publish
    from ..trace.experiments.budget import Budget
    from ..trace.trace import TraceSettings, estimate_trace
    from ..trace.trace import trace as stage

    passes, fails = given.pop("passes"), given.pop("fails")
    if bool(passes) != bool(fails):
        raise SettingError("--passes and --fails go together: rollouts that pass one and fail the other are flagged.")
    settings = TraceSettings(
        budget=Budget.parse(budget) if budget else Budget(),
        traps=not no_traps,
        diverging=(passes, fails) if passes else None,
        **given,
    )
    if dry_run:
        return screen.plan(estimate_trace(case, settings))
    with screen.progress() as progress:
        traced = publish(stage(case, settings, progress), case)
    screen.case(traced, case)
    confirmed = any(cause.status == "confirmed" for cause in traced.causes)
    if confirmed and not screen.as_json:
        click.echo(f"next: bumperlane bounce {case}", err=True)
    return OK if confirmed else BLIND


@main.command()
@click.argument("case", type=DIRECTORY, shell_complete=CASE)
@click.option("--propose", is_flag=True, help="List the fixes that apply, the most promising first; train nothing.")
@click.option("--fix", help="A fix that --propose lists, or a masking control. Default: auto.")
@click.option("--auto", is_flag=True, help="Take the first that --propose lists: the same as --fix auto.")
@click.option("--of", default="", help="A tranche or reward term to change, instead of the confirmed cause.")
@click.option("--weight", type=float, help="Its new weight; of a logit penalty: nats.")
@click.option("--k", type=click.IntRange(1), help="How many examples to drop, or to teach a filter.")
@click.option("--method", default="", help="Rank examples by this attribution method alone.")
@click.option("--answers", type=click.Choice(["before", "base"]), default="before", show_default=True,
              help="Benign answers come from the checkpoint before the cause, or from the base.")  # fmt: skip
@click.option("--data", type=FILE, help="JSONL: answers (id, answer) for relabel; or counter-examples, as a tranche.")
@click.option("--text", default="", help="A system prompt, a refusal, or what stands for a filtered answer.")
@click.option("--function", default="", help="A repaired reward function: FILE.py:NAME.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Of a retrain that leaves the cause out (drop), or changes nothing else (rewind-only).",
)
@click.option("--margin", type=float, help="How near to a run that never had the cause, as a share of the gap.")
@click.option(
    "--dose", "doses", type=float, multiple=True, help="Also retrain with this share of the cause; repeatable."
)
@click.option("--thorough", is_flag=True, help="Also elicit by noise, benign finetuning and best of 16.")
@jobs_option
@form_option
@dry_run_option
@click.pass_obj
def bounce(screen: Screen, case: Path, propose: bool, margin: float | None, dry_run: bool, **given: Any) -> int:
    """Fix the cause of CASE, retrain, and verify.

    Exit code 0 when it is treated; 1 when masked, untreated or damaged; 3 when inconclusive. With --propose: 0.
    """
    from ..case import load_case

    load_case(case, needs="trace")
    from ..bounce.bounce import BounceSettings, estimate_bounce
    from ..bounce.bounce import bounce as stage
    from ..bounce.fix_kinds.contract import FixOptions
    from ..report.publish import publish

    jobs, fix, auto = given.pop("jobs"), given.pop("fix"), given.pop("auto")
    extent = {"doses": given.pop("doses"), "thorough": given.pop("thorough")}
    if auto and fix not in (None, "auto"):
        raise SettingError(f"--auto takes the first fix, and --fix {fix} names one. Give one of the two.")
    options = FixOptions(**{**given, "data": given["data"] and given["data"].absolute()})
    settings = BounceSettings(fix=fix or "auto", options=options, jobs=jobs, **extent)
    settings = settings if margin is None else replace(settings, margin=margin)
    if propose:
        return _propose(screen, case, options)
    if dry_run:
        return screen.plan(estimate_bounce(case, settings))
    with screen.progress() as progress:
        bounced = publish(stage(case, settings, progress), case)
    screen.case(bounced, case)
    verdict = bounced.bounce.verdict if bounced.bounce else "inconclusive"
    return {"treated": OK, "inconclusive": BLIND}.get(verdict, HIT)


def _propose(screen: Screen, case: Path, options: Any) -> int:
    from rich.console import Console

    from ..bounce.propose import propose_fixes
    from ..report.proposed import print_proposed

    found = propose_fixes(case, options)
    screen.result({"fixes": [p.as_dict() for p in found]}, lambda: print_proposed(found, Console()))
    if not screen.as_json:
        click.echo(f"next: bumperlane bounce {case} --fix NAME, or --auto for the first", err=True)
    return OK
