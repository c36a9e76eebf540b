"""The group that every command hangs on, and the options that several share."""

from pathlib import Path

import click

from .. import __version__
from ..report.screen import FORM, Commands

DIRECTORY = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)
LINE = 400  # characters of a sentence that came out of a case


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
FORMS = ("terminal", "html", "junit", "sarif", "github", "json")


def _remember(ctx: click.Context, option: click.Parameter, value: str) -> None:
    ctx.meta[FORM] = value


# Kept where the screen finds it: a command need not know in which form its case is printed.
form_option = click.option(
    "--format", type=click.Choice(FORMS), default="terminal", show_default=True, callback=_remember, expose_value=False,
    help="Form of the case on stdout. github: annotations, and the summary of the job.",
)  # fmt: skip
