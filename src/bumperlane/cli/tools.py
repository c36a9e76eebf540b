"""Commands about the installation: what is there and works, and the tab key."""

from dataclasses import asdict

import click

from ..report.clean_text import named
from ..report.screen import HIT, OK, Screen
from .main import main

VARIABLE = "_BUMPERLANE_COMPLETE"
INSTALL = {
    "bash": "bumperlane completion bash > ~/.local/share/bash-completion/completions/bumperlane",
    "zsh": "bumperlane completion zsh > ~/.zfunc/_bumperlane, a directory of your $fpath, before compinit",
    "fish": "bumperlane completion fish > ~/.config/fish/completions/bumperlane.fish",
}


STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@main.command()
@click.option("--deep", is_flag=True, help="Also import torch and every bumper, and spring all traps: a minute.")
@click.pass_obj
def doctor(screen: Screen, deep: bool) -> int:
    """Say what this machine and installation can do, and what to do where something lacks.

    Exit code 1 when something fails that bumperlane needs.
    """
    from ..report.doctor import examine

    lines = examine(deep)
    counts = {state: sum(line.state == state for line in lines) for state in STYLES}

    def show() -> None:
        width = max(len(line.what) for line in lines)
        for line in lines:
            do = f"\n{'':{width + 7}}do: {named(line.do)}" if line.do else ""
            click.echo(
                f"{click.style(f'{line.state:4}', fg=STYLES[line.state])}  {line.what:{width}} {named(line.found)}{do}"
            )
        click.echo(", ".join(f"{n} {state}" for state, n in counts.items()))

    screen.result({"lines": [asdict(line) for line in lines], **counts}, show)
    return HIT if counts["fail"] else OK


@main.command()
@click.argument("shell", type=click.Choice(list(INSTALL)))
@click.pass_obj
def completion(screen: Screen, shell: str) -> int:
    """Print the script that completes commands, bumpers, cases and runs in SHELL.

    Try it in this shell: bash and zsh, `eval "$(bumperlane completion bash)"`; fish, `bumperlane completion fish |
    source`. Where it goes for good is in its last line.
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click {click.__version__} completes no {shell}. Update it: pip install -U click.")
    script = made(main, {}, "bumperlane", VARIABLE).source().rstrip()
    text = f"{script}\n# For good: {INSTALL[shell]}"
    screen.result({"shell": shell, "script": text, "install": INSTALL[shell]}, lambda: click.echo(text))
    return OK
