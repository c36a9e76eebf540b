"""What the tab key offers: names of bumpers and organisms, and directories that hold a case or a run.

It answers at each press, so nothing heavy is imported, and a fault offers nothing rather than print into a prompt.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

MOST_LOOKED_AT = 2000  # entries of a directory
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _quiet(offer: Callable[[str], Iterable[CompletionItem]]) -> Completer:
    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return [item for item in offer(incomplete) if item.value.startswith(incomplete)]
        except Exception:  # a traceback would land in the line that the user types
            return []

    return complete


def _bumpers(incomplete: str) -> Iterator[CompletionItem]:
    from ..detect.catalogue import catalogue

    for name, listed in catalogue().items():
        yield CompletionItem(name, help=listed.flags)


def _organisms(incomplete: str) -> Iterator[CompletionItem]:
    """The keys of the registry, read from its source: to import it is to import every organism, and torch."""
    import ast

    file = Path(__file__).parents[1] / "organisms" / "registry.py"
    for node in ast.parse(file.read_text("utf-8")).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Dict)
            and ast.unparse(node.targets[0]) == "KINDS"
        ):
            yield from (CompletionItem(key.value) for key in node.value.keys if isinstance(key, ast.Constant))


def _models(incomplete: str) -> Iterator[CompletionItem]:
    from ..subjects.smollm2 import KNOWN_MODELS

    yield from map(CompletionItem, sorted(KNOWN_MODELS))


def _holding(*wanted: str) -> Callable[[str], Iterator[CompletionItem]]:
    """Directories that hold one of these files, and those that one may walk through to reach more."""

    def offer(incomplete: str) -> Iterator[CompletionItem]:
        head, _, start = incomplete.rpartition("/")
        typed = f"{head}/" if "/" in incomplete else ""
        folder = Path(os.path.expanduser(typed or "."))
        with os.scandir(folder) as entries:
            found = [e for _, e in zip(range(MOST_LOOKED_AT), entries, strict=False) if e.name.startswith(start)]
        for entry in sorted(found, key=lambda e: e.name):
            if entry.is_dir() and (start.startswith(".") or not entry.name.startswith(".")):
                ready = any(os.path.isfile(os.path.join(entry.path, name)) for name in wanted)
                yield CompletionItem(f"{typed}{entry.name}" + ("" if ready else "/"))

    return offer


BUMPER, ORGANISM, MODEL = _quiet(_bumpers), _quiet(_organisms), _quiet(_models)
CASE, RUN = _quiet(_holding("case.json")), _quiet(_holding("recipe.yaml"))
CASE_OR_RUN = _quiet(_holding("case.json", "recipe.yaml"))
