"""The command that lays two runs or two cases side by side."""

from pathlib import Path
from typing import Any

import click

from ..errors import CaseError
from ..report.screen import BLIND, HIT, OK, Screen
from .complete import CASE_OR_RUN
from .main import DIRECTORY, main


@main.command()
@click.argument("a", type=DIRECTORY, shell_complete=CASE_OR_RUN)
@click.argument("b", type=DIRECTORY, shell_complete=CASE_OR_RUN)
@click.pass_obj
def compare(screen: Screen, a: Path, b: Path) -> int:
    """What differs between two cases, A the one before: recipes, hits that came and went, rates, causes, fixes.

    A run stands for its case, RUN.case. Exit code 0 when B is the same or better, 1 when it is worse, 3 when the two
    cannot be compared: other bumpers, settings, requests or base, or a bumper that is blind in B alone.
    """
    from ..judge.compare import compare as side_by_side

    found = side_by_side(_case(a), _case(b))

    def show() -> None:
        from rich.console import Console

        from ..report.compared import print_compared

        print_compared(found, Console())

    screen.result(found.as_dict(), show)
    return {"worse": HIT, "not comparable": BLIND}.get(found.ending, OK)


def _case(directory: Path) -> tuple[str, Any]:
    """(what it is called, the case) of a case directory, or of a run's own case."""
    from ..case import load_case

    if (directory / "recipe.yaml").is_file() and not (directory / "case.json").is_file():
        beside = directory.with_name(f"{directory.resolve().name}.case")
        if not (beside / "case.json").is_file():
            raise CaseError(
                f"{directory} is a run without a case: there is no {beside / 'case.json'}. Check it with "
                f"`bumperlane check {directory}`, or name its case."
            )
        directory = beside
    return str(directory), load_case(directory)
