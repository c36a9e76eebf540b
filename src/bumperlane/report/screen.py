"""How a command answers: its result on stdout, errors as one line on stderr, and the exit code."""

import json
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BumperlaneError
from .clean_text import named

if TYPE_CHECKING:
    from ..case import Case
    from .progress import Progress

OK, HIT, ERROR, BLIND, INTERRUPTED = 0, 1, 2, 3, 130
FULL = "No space left on device"
FORM, TERMINAL = "bumperlane.format", "terminal"  # where a command's --format is kept, and its default


@dataclass(frozen=True)
class Screen:
    """Where a command writes. `result` takes the JSON value and, for people, what prints it.

    `form`: what the command's --format names, where it has one.
    """

    as_json: bool
    form: str = TERMINAL

    def progress(self, quiet: bool = False) -> "Progress":
        from .progress import Progress

        return Progress(quiet)

    def result(self, value: Any, show: Callable[[], None]) -> None:
        if self.as_json:
            click.echo(json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False))
        else:
            show()

    def plan(self, text: str) -> int:
        """What --dry-run prints: nothing was run."""
        self.result({"dry_run": text.splitlines()}, lambda: click.echo(f"{named(text)}\ndry run: nothing was run"))
        return OK

    def case(self, case: "Case", directory: Path) -> None:
        """The whole case and where its page lies, or the case in the form that was asked for."""
        if self.form != TERMINAL:
            from .forms import rendered

            text = rendered(case, self.form)
            value = case.model_dump(mode="json") if self.form == "json" else {self.form: text}
            self.result(value, lambda: click.echo(text, nl=False))
            return
        from rich.console import Console

        from .html import PAGE
        from .terminal import print_case

        page = directory / PAGE
        self.result(case.model_dump(mode="json"), lambda: print_case(case, Console(), page))

    def error(self, text: str) -> int:
        click.echo(f"error: {named(text)}", err=True)
        if self.as_json:
            click.echo(json.dumps({"error": text}))
        elif self.form == "github":
            from .github import command

            click.echo(command("error", text, title="bumperlane could not finish"))
        return ERROR


class Command(click.Command):
    """A command whose function returns its exit code. It takes --json, and errors become one line and code 2.

    Nothing that goes wrong may end with code 1, which means hit.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        json_option = click.Option(["--json", "as_json"], is_flag=True, help="Print only JSON on stdout.")
        return [*super().get_params(ctx), json_option]

    def invoke(self, ctx: click.Context) -> None:
        ctx.obj = screen = Screen(ctx.params.pop("as_json"), ctx.meta.get(FORM, TERMINAL))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of libraries; nothing a user of ours can act on
                code = super().invoke(ctx)
        except (BumperlaneError, OSError) as error:
            code = screen.error(str(error))
        except KeyboardInterrupt:
            screen.error("interrupted. Finished work is kept: the same command goes on where it stopped.")
            code = INTERRUPTED
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            if FULL in str(error):  # safetensors raises an error of its own for it
                ctx.exit(screen.error(f"{FULL}. Make room; the same command goes on where it stopped."))
            traceback.print_exc()
            code = screen.error(f"a fault of bumperlane itself: {type(error).__name__}: {error}. Please report it.")
        ctx.exit(code)


class Commands(click.Group):
    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet
