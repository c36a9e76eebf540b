"""A case for GitHub Actions: workflow commands that become annotations, and a summary of the job in Markdown.

A hit is an error, blind is a warning that says so, and nothing is said of a clear bumper but in the summary. What a
model or training data wrote can neither begin a workflow command nor a link or tag of the page.

Source: docs.github.com, "Workflow commands for GitHub Actions" (`::error file=...,title=...::message`, in which `%`,
carriage return and newline are written %25, %0D, %0A, and in properties also `:` and `,` as %3A and %2C).
"""

import os
import re
from pathlib import Path

from ..case import Bounce, Case
from . import sentences as say
from .clean_text import plain
from .place import file_of

LIMIT = 2000
CELL = 300
SUMMARY = "GITHUB_STEP_SUMMARY"
LEVELS = {"treated": "notice", "inconclusive": "warning"}
_SPECIAL = re.compile(r"[\\`*_{}\[\]()#+\-!|~>]")


def to_github(case: Case) -> str:
    """A workflow command for each hit and each blind bumper, one for the bounce; one for the case if there are none."""
    place = {"file": file} if (file := _in_workspace(file_of(case))) else {}
    lines = []
    for b in say.every_bumper(case):
        if b.verdict == "hit":
            lines.append(command("error", say.sentence(b.why), **place, title=f"{b.bumper}: hit"))
        elif b.verdict == "blind":
            text = f"It could not see, which is not clear: {b.why}"
            lines.append(command("warning", text, title=f"{b.bumper}: blind"))
    if said := say.contradiction(case):
        lines.append(command("error", f"{said} {case.why}", **place, title="bumperlane: hit"))
    elif case.verdict == "blind" and not any(b.verdict == "blind" for b in case.bumpers):
        lines.append(command("warning", case.why, title="bumperlane: blind"))
    if case.bounce:
        title = f"bounce: {case.bounce.verdict}"
        lines.append(command(LEVELS.get(case.bounce.verdict, "error"), _bounce_text(case.bounce), title=title))
    if case.verdict == "clear" and not lines:
        lines.append(command("notice", say.headline(case), title="bumperlane: clear"))
    return "".join(f"{line}\n" for line in lines)


def command(level: str, message: str, **properties: str) -> str:
    """A workflow command, escaped: `::error file=a.py,title=x::message`."""
    given = ",".join(f"{name}={_escaped(plain(value, LIMIT), True)}" for name, value in properties.items() if value)
    return f"::{level}{' ' if given else ''}{given}::{_escaped(plain(message, LIMIT), False)}"


def to_summary(case: Case) -> str:
    """The case in GitHub's Markdown: verdict, a row a bumper, causes, fix, and what cannot be said."""
    parts = [f"## Bumperlane: {_md(say.outcome(case))}", _md(say.headline(case)), _md(say.lede(case))]
    rows = [
        [b.bumper, b.family, b.split, b.verdict, say.rate(b.effect), say.p_value(b.p_holm), b.why]
        for b in say.every_bumper(case)
    ]
    parts.append(_table(["bumper", "family", "split", "verdict", "worst context", "p (Holm)", "why"], rows))
    if case.causes:
        causes = [[c.kind, c.name, c.status, say.cause_effect(c), c.why] for c in case.causes]
        parts.append(_table(["kind", "cause", "status", "fall when left out", "why"], causes))
    if case.bounce:
        checks = [[c.name, say.check_word(c), c.split, c.detail] for c in case.bounce.checks]
        parts.append(f"**Fix:** {_md(case.bounce.fix)}, from step {case.bounce.rewind}: {_md(case.bounce.verdict)}")
        parts.append(_table(["check", "result", "split", "what came out"], checks))
    for kind, heading in (("can", "Can be said"), ("cannot", "Cannot be said")):
        texts = [_md(c.text) for c in case.claims if c.kind == kind] or [_md(say.NO_CLAIM[kind])]
        parts.append(f"**{heading}**\n\n" + "\n".join(f"- {text}" for text in texts))
    return "\n\n".join(parts) + "\n"


def write_summary(case: Case) -> Path | None:
    """Append the summary to the file that $GITHUB_STEP_SUMMARY names; None, and nothing done, where it names none."""
    named = os.environ.get(SUMMARY)
    if not named:
        return None
    with open(named, "a", encoding="utf-8") as file:
        file.write(to_summary(case))
    return Path(named)


def _bounce_text(bounce: Bounce) -> str:
    return f"{bounce.fix}: {bounce.why} {say.checks_tally(bounce.checks)}"


def _in_workspace(path: Path) -> str:
    """The path as GitHub wants it, from the root of the repository; empty for a file outside, which it cannot show."""
    if "\0" in str(path):
        return ""  # no file can have that name
    root = Path(os.environ.get("GITHUB_WORKSPACE") or os.getcwd()).resolve()
    absolute = (Path.cwd() / path).resolve()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else ""


def _escaped(text: str, in_property: bool) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_md(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _md(text: str) -> str:
    """One line of text that Markdown shows as it is: no tag, link, emphasis, mention or table cell begins in it."""
    line = plain(text, CELL).replace("&", "&amp;").replace("<", "&lt;")
    line = _SPECIAL.sub(lambda found: f"\\{found[0]}", line)  # before what is written with a # of its own
    return line.replace("@", "&#64;").replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
