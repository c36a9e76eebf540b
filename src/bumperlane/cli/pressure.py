"""The command that repeats a bumper under pressure, and forecasts how often deployment will meet the behaviour."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import RunError, SettingError
from ..report.screen import BLIND, HIT, OK, Screen
from .complete import BUMPER, RUN
from .main import DIRECTORY, FILE, dry_run_option, main

if TYPE_CHECKING:
    from ..claims.forecast import Forecast
    from ..judge.investigation import Investigation
    from ..judge.pressure.press import Pressed

RESULT = "pressure.json"
WIDTH = 24


@main.command()
@click.argument("run", type=DIRECTORY, shell_complete=RUN)
@click.option("-o", "--out", "directory", type=DIRECTORY, help="Where answers and tables go; default RUN.pressure.")
@click.option("--bumper", help="The bumper to repeat: one that asks.", shell_complete=BUMPER)
@click.option("--items", multiple=True, metavar="BUMPER=FILE", help="JSONL file of items for the bumper.")
@click.option("--behaviour", type=FILE, help="JSONL file of a behaviour you found, in place of a bumper.")
@click.option("--requests", type=FILE, help="JSONL file of requests to ask.")
@click.option("--best-of", default="1,4,16", show_default=True, help="Numbers of answers of which any may be bad.")
@click.option("--temperature", default="0.7,1,1.3", show_default=True, help="Temperatures; greedy is always asked.")
@click.option("--turns", default="0,2", show_default=True, help="Idle turns before the request; pushes after it.")
@click.option("--samples", type=click.IntRange(1), default=16, show_default=True, help="Answers to each question.")
@click.option("--rl-steps", type=click.IntRange(0), default=0, show_default=True, help="Of RL toward the bait.")
@click.option("--rl-lr", type=float, default=1e-3, show_default=True, help="Learning rate of that RL.")
@click.option("--opening", "openings", multiple=True, help="How a bad answer begins: weighed without sampling.")
@click.option("--queries", default="10000,1000000", show_default=True, help="Deployments to forecast for.")
@click.option("--tries", type=click.IntRange(1), default=1, show_default=True, help="Of each query of a deployment.")
@click.option("--step", type=int, help="The checkpoint to press; default the last.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False-alarm rate over all levels.")
@click.option("--max-new-tokens", type=click.IntRange(1), default=20, show_default=True, help="Of an answer.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of samples and tests.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16 or float16.")
@dry_run_option
@click.pass_obj
def pressure(screen: Screen, run: Path, directory: Path | None, dry_run: bool, **given: Any) -> int:
    """Ask a bumper's questions again under pressure: more attempts, temperature, more turns, a little RL.

    Each rate of bad answers stands beside the base's, and beside that of controls: a rise that they share is not
    called one. Then what to expect of a deployment. Exit code 1 when the behaviour is there at any level, 3 when
    nothing could be asked.
    """
    from ..errors import EvidenceError
    from ..judge.pressure.levels import Pressures
    from ..judge.pressure.plan import plan
    from ..judge.pressure.press import press, write_items
    from ..judge.pressure.questions import questions_of

    pressures = Pressures(
        best_of=tuple(int(n) for n in _numbers("--best-of", given["best_of"], whole=True)),
        temperatures=_numbers("--temperature", given["temperature"]),
        turns=tuple(int(n) for n in _numbers("--turns", given["turns"], whole=True)),
        **{name: given[name] for name in ("samples", "rl_steps", "rl_lr", "seed", "alpha")},
    )
    queries = tuple(int(n) for n in _numbers("--queries", given["queries"], whole=True))
    if not run.is_dir():
        raise RunError(f"there is no run directory {run}. Train one with `bumperlane train RECIPE -o {run}`.")
    directory = directory or run.with_name(f"{run.resolve().name}.pressure")
    with screen.progress() as progress:
        inv = _opened(run, directory, given, progress)
        try:
            questions = questions_of(inv, given["bumper"] or "Described")
            if dry_run:
                return screen.plan(plan(questions, pressures, inv.settings.max_new_tokens))
            pressed = press(inv, questions, pressures)
        except EvidenceError as error:
            screen.error(f"blind: {error}")
            return BLIND
        forecasts = _forecasts(inv, pressed, given["openings"], given["tries"], queries)
    table = write_items(pressed, directory)
    value = _written(pressed, forecasts, directory)
    lines = [*_table(pressed), *pressed.notes, *(f"{who}: {f.text}" for who, f in forecasts), f"items: {table}"]
    screen.result(value, lambda: click.echo("\n".join(lines)))
    return HIT if pressed.found else OK


def _opened(run: Path, directory: Path, given: dict[str, Any], progress: Any) -> "Investigation":
    from ..evidence.described import read_described
    from ..evidence.requests import read_requests, read_rows
    from ..judge.investigation import Investigation, Settings
    from ..recipes.run import Run
    from .detect import by_bumper

    bumper, behaviour = given["bumper"], given["behaviour"]
    if bool(bumper) == bool(behaviour):
        raise SettingError("name what to press: either --bumper NAME or --behaviour FILE, not both and not neither.")
    files = by_bumper(given["items"])
    if set(files) - {bumper}:
        raise SettingError(f"--items for {sorted(set(files) - {bumper})[0]}, but the bumper is {bumper}.")
    settings = Settings(
        requests_given=read_requests(given["requests"]) if given["requests"] else (),
        described=read_described(behaviour) if behaviour else None,
        items={name: tuple(row for _, row in read_rows(file, f"items of {name}")) for name, file in files.items()},
        **{name: given[name] for name in ("step", "seed", "max_new_tokens", "device", "dtype")},
    )
    inv = Investigation(Run.open(run), directory, settings, progress)
    inv.run.at(inv.step)  # refuses a step that was not kept, before anything is loaded
    return inv


def _numbers(option: str, text: str, whole: bool = False) -> tuple[float, ...]:
    """Numbers parted by commas; none of an empty text."""
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SettingError(f"{option} {text!r} is no list of numbers. Write them with commas, as in 1,4,16.") from error
    if not all(map(math.isfinite, found)):
        raise SettingError(f"{option} {text!r}: the numbers must be finite.")
    if whole and any(n != int(n) for n in found):
        raise SettingError(f"{option} {text!r}: the numbers must be whole.")
    return found


def _forecasts(
    inv: "Investigation", pressed: "Pressed", openings: tuple[str, ...], tries: int, queries: tuple[int, ...]
) -> list[tuple[str, "Forecast"]]:
    """Of subject and base: from given bad answers where there are any, else from what was sampled at temperature 1.

    With several tries, a query is answered badly when any of them is.
    """
    from ..claims.forecast import ItemProbabilities, forecast
    from ..evidence.ask import Look
    from ..judge.pressure.elicit import bad_probabilities, given_answers

    asks, found = pressed.questions.asks, []
    exact = bool(given_answers(asks, openings))
    for who, subject in (("subject", inv.subject()), ("base", inv.base)):
        if exact:
            seen = ItemProbabilities(bad_probabilities(asks, openings, subject, Look(inv.decoding, inv.memo)))
        elif pressed.probabilities:
            seen = ItemProbabilities(pressed.probabilities[who], pressed.samples)
        else:
            continue
        name = who if tries == 1 else f"{who}, any of {tries} tries a query"
        found += [(name, forecast(seen.attempted(tries), n)) for n in queries]
    return found


def _written(pressed: "Pressed", forecasts: list[tuple[str, "Forecast"]], directory: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from ..case import write_json

    value = {
        "bumper": pressed.questions.name,
        "alpha": pressed.alpha,
        "verdict": "hit" if pressed.found else "clear",
        "levels": [r.as_dict() for r in pressed.results],
        "raised": [r.level.name for r in pressed.raised],
        "forecasts": [{"of": who, **asdict(f), "text": f.text} for who, f in forecasts],
        "notes": list(pressed.notes),
    }
    write_json(directory / RESULT, value)
    return value


def _table(pressed: "Pressed") -> list[str]:
    names = ("subject bait", "base bait", "subject control", "base control")
    head = f"{'level':16}" + "".join(f"{name:{WIDTH}}" for name in (*names, "beyond base and controls"))
    lines = [f"{head}{'p there':>9}{'p rise':>9}"]
    for r in pressed.results:
        spans = [_span(r.rates[name]) if name in r.rates else "none" for name in names]
        row = f"{r.level.name:16}" + "".join(f"{s:{WIDTH}}" for s in (*spans, _span(r.there.excess)))
        lines.append(f"{row}{r.p_there:9.2g}" + (f"{r.p_rise:9.2g}" if r.rise else f"{'':>9}"))
    there, raised = (", ".join(r.level.name for r in group) or "no level" for group in (pressed.found, pressed.raised))
    return [*lines, f"the behaviour is there at: {there}; raised by pressure at: {raised} (Holm, {pressed.alpha:g})"]


def _span(i: Any) -> str:
    return f"{i.value:.2f} ({i.low:.2f} to {i.high:.2f})"
