"""The page of a case: one file that runs no script, asks no host for anything and can be read on a phone or printed.

Every string of the case goes through `named` (hidden characters become visible names) and then through jinja's
escaping. The style sheet is allowed by its hash and by nothing else.
"""

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ..case import Case, write_text
from . import sentences, svg
from .clean_text import named

MODEL_TEXT_LIMIT = 4000
PAGE = "report.html"


def write_report(case: Case, directory: Path) -> Path:
    """Write `report.html` into the case's directory, whole or not at all."""
    return write_text(Path(directory) / PAGE, render_html(case))


def render_html(case: Case) -> str:
    """The page as one string."""
    style = _template("case.css")
    effects = [c.effect for c in case.causes if c.effect]
    return (
        _environment()
        .get_template("case.html.j2")
        .render(
            case=case, say=sentences, svg=svg, style=Markup(style), style_hash=style_hash(style),
            skipped=skipped_checkpoints(case), scale=svg.effect_scale(effects), levels=interval_levels(case),
        )
    )  # fmt: skip


def style_hash(style: str) -> str:
    """The style sheet's hash, as the content security policy wants it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def skipped_checkpoints(case: Case) -> list[int]:
    """Checkpoints that the onset search left out, where the subject lists its checkpoints."""
    listed = case.subject.get("checkpoints")
    if case.onset is None or not isinstance(listed, list):
        return []
    seen = {point.step for point in case.onset.curve}
    return sorted({step for step in listed if type(step) is int and step not in seen})


def interval_levels(case: Case) -> str:
    """The confidence level of the intervals on the page, as in '95%'."""
    ranges = [x for b in case.bumpers for x in (b.effect, b.control)] + [c.effect for c in case.causes]
    found = sorted({r.level for r in ranges if r})
    return " and ".join(f"{level:.3g}" for level in (100 * x for x in found)) + "%" if found else "95%"


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True, lstrip_blocks=True,
        loader=FunctionLoader(_template),
    )  # fmt: skip
    environment.filters |= {"model_text": _model_text, "pretty": _pretty, "diff_lines": _diff_lines}
    return environment


def _template(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _visible(value: Any) -> Any:
    return named(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _model_text(text: str) -> str:
    return named(text, MODEL_TEXT_LIMIT)


def _pretty(value: Any) -> str:
    """A setting as text: strings bare, long lists and nested settings as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _diff_lines(diff: str) -> list[tuple[str, str]]:
    """Each line of a diff with its class: added, removed, place or kept."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    heads = ("+++", "---")
    return [("place" if line.startswith(heads) else kinds.get(line[:1], "kept"), line) for line in diff.splitlines()]
