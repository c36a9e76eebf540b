"""Tells IPython which of our types to show as HTML, by name: nothing of them is loaded before one is shown."""

from typing import Any

TYPES = (
    *(("case", name) for name in ("Case", "BumperResult", "Onset", "Cause", "Experiment", "Bounce")),
    *(("types", name) for name in ("Scores", "Reading", "Judgement")),
)


def register(formatter: Any) -> None:
    """`formatter`: IPython's for text/html, which has `for_type_by_name`."""
    for module, name in TYPES:
        formatter.for_type_by_name(f"bumperlane.{module}", name, _shown)


def _shown(thing: Any) -> str:
    from .notebook import display

    return display(thing).html
