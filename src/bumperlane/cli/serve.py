"""The command that shows cases in a browser."""

from pathlib import Path

import click

from ..errors import SettingError
from ..report.screen import OK, Screen
from .main import DIRECTORY, main


@main.command()
@click.argument("directory", type=DIRECTORY, default=Path("runs"))
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0: one that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on: of this machine only.")
@click.option("--expose", is_flag=True, help="Allow a --host that other machines can reach. There is no password.")
@click.option("--name", "names", multiple=True, help="With --expose: a name under which browsers may call it.")
@click.pass_obj
def serve(screen: Screen, directory: Path, port: int, host: str, expose: bool, names: tuple[str, ...]) -> int:
    """Show the cases under DIRECTORY (default: runs) in a browser, to read only.

    Lists every case with its verdict; of each its page, hits, trace, bounces, samples, ledger and JSON. Stop it with
    Ctrl-C.
    """
    from ..report.sentences import plural
    from ..report.serve.app import listen, make_app
    from ..report.serve.app import serve as answer
    from ..report.serve.find import catalogue

    if names and not expose:
        raise SettingError(f"--name {names[0]} says how other machines call it, and none can. State --expose as well.")
    app = make_app(directory, (host, *names))  # `listen` refuses a host that others reach
    bound = listen(host, port, expose)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{bound.getsockname()[1]}/"
    found = catalogue(directory)
    unread = sum(bool(c.fault) for c in found.cases)
    value = {"url": url, "cases": len(found.cases), "unreadable": unread}
    text = f"{plural(len(found.cases), 'case')} under {found.root}" + (f", {unread} unreadable" if unread else "")
    screen.result(value, lambda: click.echo(f"{text}\n{url}  (Ctrl-C stops it)"))
    try:
        answer(app, bound)
    except KeyboardInterrupt:
        pass  # this is how it is stopped
    finally:
        bound.close()
    return OK
