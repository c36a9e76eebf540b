"""The group of commands about claims; each topic hangs its own on it."""

from ..report.screen import Commands
from .main import main


@main.group(cls=Commands)
def claims() -> None:
    """What may be said, how sure it is, and how others can check it."""
