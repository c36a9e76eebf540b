"""docs/bumpers.md, made from the bumpers' own docstrings: `python tests/bumpers_page.py > docs/bumpers.md`."""

import re

from bumperlane.detect.contract import about, brief, load_bumpers

HEAD = """# Bumpers

Made from the docstrings by `python tests/bumpers_page.py > docs/bumpers.md`; `bumperlane explain NAME` shows a page
with settings and springs the trap. Every bumper catches its own trap, stays quiet on the clean twin, and has
the blind spot that it names: `bumperlane selftest` and the contract tests hold that.

An *online* bumper uses no statistics of what it scores and can stand in a gate. An *offline* one needs the untrusted
batch: it has no `score`, only `score_batch`. In a check, detectors of a single model are read against the base.

A check that names none runs those *by default*, and those that *join* where the run holds what they need: a piece of a
prompt to leave out, a statement that is repeated, a log of rollouts. One that stays away is named, with the reason.
"""


def section(cls: type, title: str) -> str:
    """One section of the docstring as a line."""
    found = re.search(rf"^{title}:\s+(.*?)(?=^\S|\Z)", about(cls), re.M | re.S)
    return " ".join(found.group(1).split()) if found else ""


def page() -> str:
    found = load_bumpers().values()
    parts = [HEAD]
    for family in ("behaviour", "internals", "logs"):
        rows = [cls for cls in found if brief(cls)["family"] == family]
        if not rows:
            continue
        parts.append(
            f"## {family.capitalize()}\n\n| bumper | kind | flags | blind to | source |\n|---|---|---|---|---|"
        )
        for cls in rows:
            b = brief(cls)
            kind = b["kind"] + (", by default" if b["by_default"] else ", joins" if b["joins"] else "")
            cells = (
                f"`{b['bumper']}`",
                kind,
                b["flags"].removeprefix("Flags "),
                section(cls, "Blind to"),
                section(cls, "Source"),
            )
            parts.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
