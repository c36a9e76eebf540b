"""The command that scores the whole loop on organisms with planted causes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import BumperlaneError, SettingError
from ..report.clean_text import named
from ..report.screen import ERROR, OK, Screen
from .main import DIRECTORY, jobs_option, main


@main.command()
@click.argument("organisms", nargs=-1, type=DIRECTORY)
@click.option("-o", "--out", type=DIRECTORY, required=True, help="Where organisms are made, and the result is written.")
@click.option("--kinds", default="", help="Organisms by name, separated by commas. Default: five kinds of cause.")
@click.option("--seeds", type=click.IntRange(0), default=2, show_default=True, help="Of each kind and dose.")
@click.option("--nulls", type=click.IntRange(0), default=10, show_default=True, help="With nothing planted.")
@click.option("--budget", default="14", show_default=True, help="Of each trace: a time, or a number of retrains.")
@click.option("--masks", help="Masking fixes to try, separated by commas; '' for none. Default: all.")
@click.option("--no-described", is_flag=True, help="Go on only where the default bumpers are hit.")
@click.option("--no-baselines", is_flag=True, help="Do not ask the baselines.")
@click.option("--model", "base", default="smollm2-135m", show_default=True, help="A known model, or a directory.")
@click.option("--page", is_flag=True, help="Play nothing: only write the tables, of what was played.")
@jobs_option
@click.pass_obj
def game(screen: Screen, organisms: tuple[Path, ...], out: Path, **given: Any) -> int:
    """Play the whole loop on organisms with planted causes, and score it.

    ORGANISMS are directories made elsewhere, each with recipe.yaml (or a finished run/), data and key.sealed.json: see
    docs/game.md. With none, organisms are made in OUT: five kinds of cause at three doses, and clean nulls. The keys
    are opened to score only. A game that is stopped goes on where it was; results stand in OUT/game.md and game.json.
    An organism that cannot be played is told, counted as not detected, and makes the exit code 2.
    """
    from ..case import write_json, write_text
    from ..organisms.game.field import field
    from ..organisms.game.play import GameSettings, played
    from ..organisms.game.scores import scores
    from ..organisms.game.table import table
    from ..trace.experiments.budget import Budget

    masks = None if given["masks"] is None else tuple(filter(None, given["masks"].split(",")))
    settings = GameSettings(
        Budget.parse(given["budget"]), given["jobs"], masks, not given["no_described"], not given["no_baselines"]
    )
    kinds = tuple(filter(None, given["kinds"].split(",")))
    entries = [] if organisms else field(kinds, given["seeds"], given["nulls"])
    places = [*organisms, *(out / e.name for e in entries)]
    if not places:
        raise SettingError(
            "there is nothing to play: --seeds 0 and --nulls 0 make no organism. Raise one, or name some."
        )
    if given["page"]:
        found = [played(at) for at in places]
        rows = [row for row in found if row]
        if not rows:
            raise SettingError(
                f"none of {len(places)} organisms has been played to its end, so there is nothing to put on a page. "
                "Correct the paths, or play without --page."
            )
        if len(rows) < len(places):
            left = f"{len(places) - len(rows)} of {len(places)} organisms have not been played to their end"
            click.echo(f"{left}, and are not on this page.", err=True)
    else:
        rows = _play_all(screen, places, [(e, out, given["base"]) for e in entries], settings)
    value = {"rows": rows, "scores": [s.as_dict() for s in scores(rows)]}
    write_json(out / "game.json", value)
    write_text(out / "game.md", table(rows))
    screen.result(value, lambda: click.echo(table(rows), nl=False))
    return ERROR if any(row["default"] == "error" for row in rows) else OK


def _play_all(screen: Screen, places: Sequence[Path], made: Sequence[Any], settings: Any) -> list[dict[str, Any]]:
    """Every organism's row; those of `made` (entry, home and base) are made first."""
    from ..organisms.game.play import failed, play, refuse_no_organism

    for at in () if made else places:
        refuse_no_organism(at)
    rows = []
    with screen.progress() as progress:
        for n, at in enumerate(places):
            if made:
                entry, home, base = made[n]
                entry.make(home, base)
            progress(f"playing {at.name}", n, len(places))
            try:
                rows.append(play(at, settings, progress))
            except BumperlaneError as error:
                rows.append(failed(at, error))
                click.echo(f"{at.name}: {named(str(error))}", err=True)
    return rows
