"""How a command answers: its result on stdout, errors as one line on stderr, and the exit code."""

import contextlib
import errno
import json
import sys
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
MAKE_ROOM = f"{FULL}. Make room; the same command goes on where it stopped."
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

            text = rendered(case, self.form, directory)
            value = case.model_dump(mode="json") if self.form == "json" else {self.form: text}
            self.result(value, lambda: click.echo(text, nl=False))
            return
        from rich.console import Console

        from .html import PAGE
        from .terminal import print_case

        page = directory / PAGE
        self.result(case.model_dump(mode="json"), lambda: print_case(case, Console(), page))

    def error(self, text: str) -> int:
        with contextlib.suppress(OSError):  # nobody reads or no room: the code must be that of an error all the same
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
        _show_what_it_cannot_encode()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of libraries; nothing a user of ours can act on
                code = super().invoke(ctx)
        except BumperlaneError as error:
            code = screen.error(str(error))
        except OSError as error:
            code = screen.error(_of_system(error))
        except KeyboardInterrupt:
            screen.error("interrupted. Finished work is kept: the same command goes on where it stopped.")
            code = INTERRUPTED
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            if FULL in str(error):  # safetensors raises an error of its own for it
                ctx.exit(screen.error(MAKE_ROOM))
            traceback.print_exc()
            code = screen.error(f"a fault of bumperlane itself: {type(error).__name__}: {error}. Please report it.")
        ctx.exit(code)


def _of_system(error: OSError) -> str:
    """What the system refused, at which file, and what to do."""
    if error.errno == errno.ENOSPC:
        return MAKE_ROOM
    if error.errno == errno.EPIPE:
        return "what reads the output ended early, so not all of it was written. Write it to a file."
    if not error.filename or not error.strerror:
        return str(error)  # raised by a library with a text of its own
    return f"the system refused {error.filename}: {error.strerror}. Correct the path, or what may be done there."


def _show_what_it_cannot_encode() -> None:
    """A terminal or a pipe that is not UTF-8 gets an escape for a letter that it lacks: a hit must be shown."""
    for stream in (sys.stdout, sys.stderr):
        if (stream.encoding or "utf-8").lower().replace("-", "") != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class Commands(click.Group):
    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no such command {named(args[0])!r}. Known: {', '.join(self.commands)}.")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet
