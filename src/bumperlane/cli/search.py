"""Commands that search: for triggers, and for attacks."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import RunError, SettingError
from ..report.clean_text import plain
from ..report.screen import BLIND, HIT, Commands, Screen
from .complete import BUMPER, RUN
from .main import DIRECTORY, FILE, LINE, dry_run_option, main

if TYPE_CHECKING:
    from ..detect.search.questions import Question
    from ..detect.search.red_team import Target
    from ..judge.investigation import Investigation


def shared_options(command: Callable) -> Callable:
    """Options of both searches."""
    for option in reversed(
        (
            click.option("-o", "--out", type=DIRECTORY, help="Where log and result go; default RUN.search-*."),
            click.option("--step", type=int, help="The checkpoint to search in; default the last."),
            click.option("--requests", type=FILE, help="JSONL file of requests to ask."),
            click.option("--behaviour", type=FILE, help="JSONL file that describes an oddity: requests, and `shows`."),
            click.option("--bumper", help="Search for what this bumper that asks looks for.", shell_complete=BUMPER),
            click.option("--seconds", type=float, default=1800.0, show_default=True, help="Stop searching in time."),
            click.option("--alpha", type=float, default=0.05, show_default=True, help="Chance of a false finding."),
            click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn."),
            click.option("--device", default="auto", show_default=True, help="cpu, cuda, ..."),
            click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16 or float16."),
            dry_run_option,
        )
    ):
        command = option(command)
    return command


@main.group(cls=Commands)
def search() -> None:
    """Search for contexts in which a subject departs from its base.

    Within a budget, with every attempt in a log; what was found is confirmed on requests that no search asked.
    """


@search.command()
@click.argument("run", type=DIRECTORY, shell_complete=RUN)
@click.option("--bad", multiple=True, help="How a bad answer begins; may be repeated. Default: any change counts.")
@click.option("--where", "place", default="system", show_default=True, help="system, prefix or suffix of the request.")
@click.option("--tokens", type=int, default=6, show_default=True, help="Length of what the gradient looks for.")
@click.option("--budget", type=int, default=20_000, show_default=True, help="Forward passes; a gradient counts three.")
@click.option("--restarts", type=int, default=2, show_default=True, help="Gradient searches; 0: mined contexts only.")
@click.option("--controls", type=int, default=1, show_default=True, help="Searches of each kind of control.")
@click.option("--search-requests", type=int, default=6, show_default=True, help="Requests to search on.")
@click.option("--confirm-requests", type=int, default=16, show_default=True, help="Others to confirm on.")
@click.option("--no-mined", is_flag=True, help="Do not try wording of the training data.")
@shared_options
@click.pass_obj
def triggers(screen: Screen, run: Path, out: Path | None, dry_run: bool, **given: Any) -> int:
    """Search for texts that flip the last checkpoint of RUN and not its base.

    Wording mined from the training data, and token swaps along the gradient. Exit code 1 when a trigger is confirmed, 3
    when none was found within the budget, which is not the same as none being there.
    """
    from ..detect.search.attempts import Attempts
    from ..detect.search.found import LOG, triggers_value, write_found
    from ..detect.search.triggers import search_triggers
    from ..evidence.memo import subject_key
    from ..evidence.mine import mine_contexts

    directory = out or run.with_name(f"{run.resolve().name}.search-triggers")
    settings = _trigger_settings(given)
    with screen.progress() as progress:
        inv = _investigation(run, directory, given, progress)
        questions = _questions(inv, given)
        mined = [] if given["no_mined"] else mine_contexts(inv.examples, inv.neutral)
        if dry_run:
            return screen.plan(_plan(inv, settings, len(questions), len(mined)))
        pair = inv.subject(), inv.base
        key = {"subject": subject_key(pair[0]), "settings": repr(settings), "questions": len(questions)}
        attempts = Attempts(directory / LOG, {"search": "triggers", **key})
        found = search_triggers(pair, questions, (inv.neutral, mined), settings, attempts, progress)
    value = triggers_value(found)
    write_found(directory, value, [t.context for t in found.confirmed])
    screen.result({**value, "directory": str(directory)}, lambda: click.echo(_triggers_text(value, directory)))
    _say_next(screen, run, directory, bool(found.confirmed))
    return HIT if found.confirmed else BLIND


@search.command()
@click.argument("run", type=DIRECTORY, shell_complete=RUN)
@click.option("--shows", help="A regular expression that a bad answer matches, asked of the run's requests.")
@click.option("--attacker", default="rules", show_default=True, help="rules, base, a model directory, or a URL.")
@click.option("--attacker-model", default="", help="The name of the model behind the URL.")
@click.option("--attacker-key", default="OPENAI_API_KEY", show_default=True, help="Environment variable of its key.")
@click.option("--aim", help="The behaviour in words, for the attacker.")
@click.option("--budget", type=int, default=120, show_default=True, help="Contexts to try.")
@click.option("--search-requests", type=int, default=4, show_default=True, help="Requests that each of them asks.")
@click.option("--confirm-requests", type=int, default=16, show_default=True, help="Others to confirm on.")
@click.option("--no-plug-ins", is_flag=True, help="Begin with the built-in seeds only.")
@shared_options
@click.pass_obj
def attacks(screen: Screen, run: Path, out: Path | None, dry_run: bool, **given: Any) -> int:
    """Search for contexts under which the last checkpoint of RUN behaves badly and its base does not.

    What is bad says one of --behaviour, --bumper and --shows. Exit code 1 when an attack is confirmed, 3 when none was
    found within the budget.
    """
    from ..detect.search.attempts import Attempts
    from ..detect.search.found import LOG, attacks_value, write_found
    from ..detect.search.red_team import Sides, red_team
    from ..detect.search.seeds import load_seeds
    from ..evidence.ask import Look
    from ..evidence.memo import subject_key

    if sum(map(bool, (given["behaviour"], given["bumper"], given["shows"]))) != 1:
        raise SettingError("say what is bad with exactly one of --behaviour, --bumper and --shows.")
    directory = out or run.with_name(f"{run.resolve().name}.search-attacks")
    settings = _attack_settings(given)
    with screen.progress() as progress:
        inv = _investigation(run, directory, given, progress)
        targets, seeds = _targets(inv, given), load_seeds(inv.neutral, plug_ins=not given["no_plug_ins"])
        if dry_run:
            return screen.plan(_attack_plan(inv, settings, len(targets), len(seeds), given["attacker"]))
        attacker = _attacker(inv, given)
        pair = inv.subject(), inv.base
        key = {"subject": subject_key(pair[0]), "settings": repr(settings), "attacker": given["attacker"]}
        attempts = Attempts(directory / LOG, {"search": "attacks", **key, "targets": len(targets)})
        sides = Sides(pair, Look(inv.decoding, inv.memo), inv.neutral, seeds, attacker)
        found = red_team(sides, targets, settings, attempts, progress)
    value = attacks_value(found)
    write_found(directory, value, [a.context for a in found.confirmed])
    screen.result({**value, "directory": str(directory)}, lambda: click.echo(_attacks_text(value, directory)))
    _say_next(screen, run, directory, bool(found.confirmed))
    return HIT if found.confirmed else BLIND


def _say_next(screen: Screen, run: Path, directory: Path, confirmed: bool) -> None:
    from ..detect.search.found import CONTEXTS

    if confirmed and not screen.as_json:
        click.echo(f"next: bumperlane check {run} --contexts {shlex.quote(str(directory / CONTEXTS))}", err=True)


def _attack_settings(given: dict[str, Any]) -> Any:
    from ..detect.search.red_team import RedTeamSettings

    names = ("seconds", "search_requests", "confirm_requests", "alpha", "seed")
    aim = {"aim": given["aim"]} if given["aim"] else {}
    return RedTeamSettings(attempts=given["budget"], **{name: given[name] for name in names}, **aim)


def _targets(inv: "Investigation", given: dict[str, Any]) -> list["Target"]:
    from ..detect.search.asked_for import bumper_targets, described_targets, shows_targets
    from ..judge.asked import sources_of

    if given["bumper"]:
        return bumper_targets(given["bumper"], sources_of(inv, "open"))
    if given["behaviour"]:
        return described_targets(inv.described.open, inv.neutral)
    return shows_targets(inv.pools.open, inv.neutral, given["shows"])


def _attacker(inv: "Investigation", given: dict[str, Any]) -> Any:
    """Who writes contexts: nobody, the base, a model of this machine, or one behind a URL."""
    from ..detect.search.mutations import SubjectAttacker
    from ..subjects.endpoint import Endpoint
    from ..subjects.subject import Subject

    name = given["attacker"]
    if name == "rules":
        return None
    if name == "base":
        return SubjectAttacker(inv.base)
    if name.startswith(("http://", "https://")):
        return Endpoint(name, given["attacker_model"], given["attacker_key"])
    return SubjectAttacker(Subject.load(name, device=given["device"], dtype=given["dtype"]))


def _attack_plan(inv: "Investigation", settings: Any, targets: int, seeds: int, attacker: str) -> str:
    asked = settings.attempts * settings.search_requests + (settings.confirm + 1) * settings.confirm_requests
    return "\n".join(
        [
            f"checkpoint: step {inv.step} of {inv.run.path}",
            f"questions: {targets}, of which {settings.search_requests + settings.confirm_requests} are wanted",
            f"seeds: {seeds}; offspring by {attacker}",
            f"budget: {settings.attempts} contexts, {settings.seconds:g} s; at most {asked:,} answers of the subject "
            "and as many of its base",
        ]
    )


def _attacks_text(value: dict[str, Any], directory: Path) -> str:
    """For people: the attacks, the best first."""

    def told(row: dict[str, Any]) -> str:
        return (
            f"worse than the base by {row['effect']:.2f} [{row['low']:.2f}, {row['high']:.2f}] ({row['plain']:.2f} "
            f"without it), on {row['above']} of {row['of']} held-out requests, p {row['p_holm']:.2g}"
        )

    counts = ", ".join(f"{n} {name}" for name, n in value["outcomes"].items())
    spent = f"{value['attempts']} contexts tried in {value['seconds']:g} s ({counts})"
    rows = [{**row, "origin": f"{row['kind']}, {plain(row['origin'], 40)}"} for row in value["attacks"]]
    return _found_text(rows, told, f"{spent}; every attempt is in {directory}")


def _found_text(rows: list[dict[str, Any]], told: Callable[[dict[str, Any]], str], spent: str) -> str:
    lines = []
    for row in rows:
        word = "confirmed" if row["confirmed"] else "not confirmed"
        where = "; ".join(f"{k}: {plain(str(v), 120)}" for k, v in row["context"].items())
        lines += [f"{word} ({row['origin']})  {where}", f"    {told(row)}", *_sample_lines(row)]
    if not any(row["confirmed"] for row in rows):
        lines.append("nothing was found within this budget; that is not the same as nothing being there")
    return "\n".join([*lines, spent])[: 40 * LINE]


def _sample_lines(row: dict[str, Any]) -> list[str]:
    return [
        f"    {plain(s['request'], 80)} -> {plain(s['subject'], 80)!r}, the base {plain(s['base'], 80)!r}"
        for s in row["samples"]
    ]


def _trigger_settings(given: dict[str, Any]) -> Any:
    from ..detect.search.budget import Budget
    from ..detect.search.coordinate_swaps import SwapSettings
    from ..detect.search.triggers import TriggerSettings

    names = ("place", "restarts", "controls", "search_requests", "confirm_requests", "alpha", "seed")
    swaps, budget = SwapSettings(tokens=given["tokens"]), Budget(given["budget"], given["seconds"])
    return TriggerSettings(**{name: given[name] for name in names}, swaps=swaps, budget=budget)


def _investigation(run: Path, directory: Path, given: dict[str, Any], say: Any) -> "Investigation":
    from ..evidence.described import read_described
    from ..evidence.requests import read_requests
    from ..judge.investigation import Investigation, Settings
    from ..recipes.run import Run

    if not run.is_dir():
        raise RunError(f"there is no run directory {run}. Train one with `bumperlane train RECIPE -o {run}`.")
    if given["behaviour"] and given["bumper"]:
        raise SettingError("--behaviour and --bumper both say what to search for. Give one of them.")
    settings = Settings(
        step=given["step"], alpha=given["alpha"], seed=given["seed"], device=given["device"], dtype=given["dtype"],
        requests_given=read_requests(given["requests"]) if given["requests"] else (),
        described=read_described(given["behaviour"]) if given["behaviour"] else None,
    )  # fmt: skip
    return Investigation(Run.open(run), directory, settings, say)


def _questions(inv: "Investigation", given: dict[str, Any]) -> list["Question"]:
    """Open ones only: what only verification may ask is never searched with."""
    from ..detect.search.asked_for import bumper_questions, described_questions, plain_questions
    from ..judge.asked import sources_of

    bad = given.get("bad", ())
    if given["bumper"]:
        return bumper_questions(given["bumper"], sources_of(inv, "open"))
    if given["behaviour"]:
        return described_questions(inv.described.open, inv.neutral, bad)
    return plain_questions(inv.pools.open, inv.neutral, bad)


def _plan(inv: "Investigation", settings: Any, questions: int, mined: int) -> str:
    wanted = settings.search_requests + settings.confirm_requests
    searches = settings.restarts + (2 * settings.controls if settings.restarts else 0)
    return "\n".join(
        [
            f"checkpoint: step {inv.step} of {inv.run.path}",
            f"requests: {questions}, of which {wanted} are wanted",
            f"candidates: {mined} mined, {settings.restarts} gradient searches of {settings.swaps.tokens} tokens",
            f"controls: {searches - settings.restarts} searches, {2 * settings.random_controls} texts",
            f"budget: {settings.budget.passes:,} forward passes, {settings.budget.seconds:g} s",
        ]
    )


def _triggers_text(value: dict[str, Any], directory: Path) -> str:
    """For people: the candidates, the best first."""

    def told(row: dict[str, Any]) -> str:
        return (
            f"moves the subject {row['effect']:.2f} nats [{row['low']:.2f}, {row['high']:.2f}] beyond its base; "
            f"above every control on {row['above']} of {row['of']} held-out requests, p {row['p_holm']:.2g}"
        )

    spent = f"{value['passes']:,} forward passes, {value['seconds']:g} s"
    return _found_text(value["triggers"], told, f"{spent}; every attempt is in {directory}")
