"""The page of every bumper, read from the source without importing it: names and docstrings need no torch."""

import inspect

from .catalogue import catalogue
from .contract import REGISTRY, about


def pages() -> dict[str, str]:
    """Bumper name -> its docstring, of all that are installed or were registered by this process."""
    found = {name: listed.page for name, listed in catalogue().items()} | {n: about(c) for n, c in REGISTRY.items()}
    return {name: page for name, page in found.items() if page}


def section(page: str, title: str) -> str:
    """What stands under a title such as "Blind to:" of a page, on one line; empty when there is no such title."""
    lines, inside = [], False
    for line in inspect.cleandoc(page).splitlines():
        if line.startswith(f"{title}:"):
            inside, line = True, line.partition(":")[2]
        elif line[:1].strip() and line.partition(":")[0].replace(" ", "").isalpha() and ":" in line:
            inside = False
        if inside:
            lines.append(line)
    return " ".join(" ".join(lines).split())
