"""Commands that look: check, and look again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..errors import RunError, SettingError
from ..report.screen import BLIND, HIT, OK, Screen
from .complete import BUMPER, CASE, RUN
from .main import DIRECTORY, FILE, dry_run_option, form_option, main


@main.command()
@click.argument("run", type=DIRECTORY, shell_complete=RUN)
@click.option("-o", "--case", "directory", type=DIRECTORY, help="The case directory; default RUN.case.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False-alarm rate of the whole check.")
@click.option("--step", type=int, help="The checkpoint to check; default the last.")
@click.option(
    "--bumper", "bumpers", multiple=True, help="Use this bumper only; may be repeated.", shell_complete=BUMPER
)
@click.option("--family", type=click.Choice(["internals", "behaviour", "logs"]), help="Use all of this family, too.")
@click.option("--requests", type=FILE, help="JSONL file of requests to ask.")
@click.option("--items", multiple=True, metavar="BUMPER=FILE", help="JSONL file of items for a bumper that asks.")
@click.option("--behaviour", type=FILE, help="JSONL file that describes an oddity you found: requests, and `shows`.")
@click.option("--context", "contexts", multiple=True, help="A system prompt to try as well; may be repeated.")
@click.option("--contexts", "contexts_file", type=FILE, help="File of contexts to try as well, as a search leaves it.")
@click.option("--no-library", is_flag=True, help="Leave the built-in contexts out.")
@click.option("--max-new-tokens", type=int, default=20, show_default=True, help="How much of an answer is read.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of request roles and control contexts.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16 or float16.")
@form_option
@dry_run_option
@click.pass_obj
def check(screen: Screen, run: Path, directory: Path | None, dry_run: bool, **given: Any) -> int:
    """Look for trouble in a checkpoint of RUN.

    It is put into many contexts, every bumper looks, and the judge decides at one false-alarm rate. With --behaviour
    also (with --bumper Described only) for what you found yourself: each line holds a request and `shows`, a regular
    expression that a bad answer matches.
    """
    from ..detect.contract import find_bumper
    from ..evidence.described import NAME, read_described
    from ..evidence.given_contexts import read_contexts
    from ..evidence.requests import read_requests, read_rows
    from ..judge.check import check as stage
    from ..judge.estimate import estimate_check
    from ..judge.investigation import Settings
    from ..judge.reopen import reopen
    from ..recipes.run import Run
    from ..report.publish import publish
    from ..report.sentences import contradiction

    library, requests, behaviour = not given.pop("no_library"), given.pop("requests"), given.pop("behaviour")
    files, family, contexts = by_bumper(given.pop("items")), given.pop("family"), given.pop("contexts_file")
    if family:
        given["bumpers"] = tuple(dict.fromkeys([*given["bumpers"], *_of_family(family)]))
    settings = Settings(**given, library=library)
    _ = settings.judge  # checks alpha
    for name in settings.bumpers:
        _ = name == NAME or find_bumper(name)
    settings = replace(
        settings,
        contexts_given=read_contexts(contexts) if contexts else (),
        requests_given=read_requests(requests) if requests else (),
        described=read_described(behaviour) if behaviour else None,
        items={name: tuple(row for _, row in read_rows(file, f"items of {name}")) for name, file in files.items()},
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
    return HIT if contradiction(case) else {"clear": OK, "hit": HIT}.get(case.verdict, BLIND)


def _of_family(family: str) -> list[str]:
    """The bumpers of a family that a check can run."""
    from ..detect.contract import load_bumpers
    from ..detect.gather import gatherer
    from ..errors import ContractError

    found = []
    for name, cls in load_bumpers().items():
        if cls.family == family:  # type: ignore[attr-defined]
            try:
                gatherer(cls)
            except ContractError:
                continue  # for use by hand, on evidence of one's own
            found.append(name)
    return found


def by_bumper(items: tuple[str, ...]) -> dict[str, Path]:
    """Files by bumper. Raises SettingError for what is no BUMPER=FILE, and for a bumper that reads no items."""
    from ..detect.contract import find_bumper
    from ..types import Answers

    files: dict[str, Path] = {}
    for text in items:
        name, sign, file = text.partition("=")
        if not sign or not file:
            raise SettingError(f"--items {text!r} is no BUMPER=FILE.")
        if find_bumper(name).watches is not Answers:  # type: ignore[attr-defined]
            raise SettingError(
                f"{name} asks nothing, so it takes no items. `bumperlane explain {name}` says what it watches."
            )
        if not getattr(find_bumper(name), "takes_items", True):
            raise SettingError(f"{name} makes its questions out of the training data, so it takes no items.")
        if name in files:
            raise SettingError(f"--items names {name} twice. Put its items into one file.")
        files[name] = Path(file)
    return files


@main.command()
@click.argument("case", type=DIRECTORY, shell_complete=CASE)
@click.option(
    "--bumper",
    "bumpers",
    multiple=True,
    help="Look again with this one; default: all near their threshold.",
    shell_complete=BUMPER,
)
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False-alarm rate of each second look.")
@click.pass_obj
def refine(screen: Screen, case: Path, bumpers: tuple[str, ...], alpha: float) -> int:
    """Look again, more closely, where a bumper of CASE stood near its threshold.

    Fresh requests, neighbouring depths and reworded contexts, the most decisive next, until it is decided. Exit code 1
    when a second look hits, 3 when one stays undecided. The case keeps its verdict; the looks go to its ledger.
    """
    from ..evidence.described import NAME
    from ..evidence.manifest import save_with_manifest
    from ..trace.finer import FinerSettings
    from ..trace.neighbours import can_be_refined, near_threshold
    from ..trace.neighbours import refine as look_again
    from ..trace.trace import open_case

    settings = FinerSettings(alpha=alpha)
    with screen.progress() as progress:
        inv, opened = open_case(case, "check", progress)
        s = inv.settings
        near = [b.bumper for b in opened.bumpers if near_threshold(b, s.alpha, s.tolerated_rate)]
        able = [name for name in near if name != NAME and can_be_refined(name)]
        found = {name: look_again(inv, opened, name, settings) for name in bumpers or able}
        save_with_manifest(case, opened)  # what was looked at now is evidence, too
    rows = [{"bumper": n, "outcome": f.outcome, "why": f.why, "looks": len(f.looks)} for n, f in found.items()]
    lines = [f"{r['bumper']}: {r['outcome']} after {r['looks']} looks. {r['why']}" for r in rows]
    if others := [name for name in near if name not in (*able, *bumpers)]:
        lines.append(
            f"{', '.join(others)} stood near too, and puts no requests into contexts: check with more --requests."
        )
    screen.result(rows, lambda: click.echo("\n".join(lines) or "no bumper of this case stood near its threshold"))
    outcomes = {f.outcome for f in found.values()}
    return HIT if "hit" in outcomes else BLIND if "undecided" in outcomes else OK
