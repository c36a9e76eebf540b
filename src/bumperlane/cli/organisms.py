"""Commands about organisms: which there are, and how to make one."""

from pathlib import Path
from typing import Any

import click

from ..errors import SettingError
from ..report.screen import OK, Commands, Screen
from .complete import ORGANISM
from .main import DIRECTORY, FILE, main


@main.group(cls=Commands)
def organisms() -> None:
    """Models with a planted cause, to try bumpers and the whole loop on."""


@organisms.command("list")
@click.pass_obj
def list_organisms(screen: Screen) -> int:
    """What can be planted."""
    from ..organisms.registry import KINDS

    rows = [
        {"organism": name, "plants": k.plants, "dose": getattr(k.settings(), k.dose[0]), "dose_counts": k.dose[1]}
        for name, k in KINDS.items()
    ]
    width = max(map(len, KINDS))
    lines = [f"{r['organism']:{width}}  {r['plants']} (dose {r['dose']:g}: {r['dose_counts']})" for r in rows]
    screen.result(rows, lambda: click.echo("\n".join(lines)))
    return OK


@organisms.command()
@click.argument("name", shell_complete=ORGANISM)
@click.option("-o", "--out", type=DIRECTORY, required=True, help="The directory for recipe, data and sealed key.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--dose", type=float, help="How much is planted; `organisms list` says what it counts.")
@click.option("--clean", is_flag=True, help="The clean twin: everything but the planted part.")
@click.option("--masked", is_flag=True, help="With a naive patch on top: right answers on every second probe.")
@click.option("--model", "base", default="smollm2-135m", show_default=True, help="A known model, or a directory.")
@click.pass_obj
def make(screen: Screen, name: str, out: Path, base: str, dose: float | None, **given: Any) -> int:
    """Write the recipe of organism NAME.

    The key stays sealed in key.sealed.json: do not read it while you look for the cause.
    """
    from ..organisms.registry import make_organism

    if (out / "recipe.yaml").exists():
        raise SettingError(f"{out} holds a recipe already. Choose another directory with -o.")
    recipe = make_organism(name, out, base, dose, **given)
    text = f"{recipe}\nnext: bumperlane train {recipe} -o {out / 'run'}"
    screen.result({"recipe": str(recipe)}, lambda: click.echo(text))
    return OK


@organisms.command()
@click.argument("directories", nargs=-1, required=True, type=DIRECTORY)
@click.option("-o", "--out", type=FILE, help="Write the table there too, as Markdown, and as JSON beside it.")
@click.option("--onset/--no-onset", default=True, show_default=True, help="Also ask 12 probes at every checkpoint.")
@click.pass_obj
def measure(screen: Screen, directories: tuple[Path, ...], out: Path | None, onset: bool) -> int:
    """Train the organisms in DIRECTORIES and say what they do.

    Opens the sealed keys: for measuring, not while you look for a cause. Each is trained into DIRECTORY/run where that
    is not done, and asked the probes of its key and its controls; the clean twin is that in DIRECTORY-clean.
    """
    from ..case import write_json, write_text
    from ..organisms.measured import measure_organism
    from ..organisms.measured_table import table

    with screen.progress() as progress:
        rows = [measure_organism(directory, onset, progress.training) for directory in directories]
    value, text = [row.as_dict() for row in rows], table(rows)
    if out:
        write_text(out, text)
        write_json(out.with_suffix(".json"), value)
    screen.result(value, lambda: click.echo(text, nl=False))
    return OK
