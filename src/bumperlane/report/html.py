"""The page of a case: one file that runs no script, asks no host for anything and can be read on a phone or printed.

Every string of the case goes through `named` (hidden characters become visible names) and then through jinja's
escaping. The style sheet is allowed by its hash and by nothing else. A page that would be too large is made again with
less of each thing, and says how much was left out and where it stands.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from ..case import Case, write_text
from ..claims.sealing import sealed_value
from ..claims.spec_coverage import unwatched_claims
from . import sentences, svg
from .clean_text import named

PAGE = "report.html"
LIMIT_BYTES = 300_000


@dataclass(frozen=True)
class Most:
    """How much a page shows of each thing: counts, and characters of a text.

    Attributes:
        model_text: of what a model said or was told.
        text: of any other string.
        points: of a curve, a row of ticks, or the dots of one arm.
        shortened: whether this is less than usual.
    """

    model_text: int = 4000
    text: int = 4000
    value: int = 2000
    bumpers: int = 80
    groups: int = 20
    samples: int = 20
    causes: int = 60
    claims: int = 200
    lines: int = 100
    steps: int = 200
    diff: int = 400
    settings: int = 100
    points: int = 400
    shortened: bool = False

    @property
    def size_kb(self) -> int:
        return LIMIT_BYTES // 1000

    def less(self, factor: float) -> "Most":
        """A part of everything, and at least one of each."""
        numbers = {name: max(1, int(n * factor)) for name, n in vars(self).items() if name != "shortened"}
        texts = {name: max(120, numbers[name]) for name in ("model_text", "text", "value")}
        return replace(self, **{**numbers, **texts}, shortened=True)


SIZES = (Most(), *(Most().less(factor) for factor in (0.5, 0.25, 0.12, 0.06, 0.03)))


def write_report(case: Case, directory: Path) -> Path:
    """Write `report.html` into the case's directory, whole or not at all.

    A plan that was sealed there is named. What `spec.yaml` there asks and no bumper watches cannot be said.
    """
    return write_text(Path(directory) / PAGE, page_of(case, Path(directory)))


def page_of(case: Case, directory: Path, around: Markup | None = None) -> str:
    """The page of a case as it lies in a directory: with the plan and the `spec.yaml` there."""
    case = case.model_copy(update={"claims": [*unwatched_claims(directory, case), *case.claims]})
    rate = sentences.tolerated(case)
    sealed = sealed_value(directory, rate) if rate is not None else ""
    return render_html(case, sealed, around)


def render_html(case: Case, sealed: str = "", around: Markup | None = None) -> str:
    """The page as one string of less than 300 kB.

    Args:
        sealed: how the tolerated rate was sealed before the first sample, such as `plan 3f2a… of 2026-03-01`.
        around: markup before the page's own, such as the way back to a list.
    """
    style = template("case.css")
    page = ""
    for most in SIZES:
        given = {**parts_of(case, most), "sealed": sealed, "around": around or Markup("")}
        page = environment(most).get_template("case.html.j2").render(
            given, style=Markup(style), style_hash=style_hash(style)
        )  # fmt: skip
        if len(page.encode()) < LIMIT_BYTES:
            break
    return page


def parts_of(case: Case, most: Most) -> dict[str, Any]:
    """What the sections of a page are made from."""
    return {
        "case": case, "say": sentences, "svg": svg, "most": most, "uid": "", "sealed": "",
        "skipped": skipped_checkpoints(case),
        "scale": svg.effect_scale([c.effect for c in case.causes if c.effect]),
    }  # fmt: skip


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


def environment(most: Most = SIZES[0]) -> Environment:
    """Jinja that escapes everything, shows hidden characters by name, and cuts long texts with the number left out."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=partial(_visible, limit=most.text), trim_blocks=True,
        lstrip_blocks=True, loader=FunctionLoader(template),
    )  # fmt: skip
    made.filters |= {
        "model_text": partial(_model_text, limit=most.model_text), "pretty": partial(_pretty, limit=most.value),
        "diff_lines": _diff_lines,
    }  # fmt: skip
    return made


def template(name: str) -> str:
    """A template or style sheet of this room."""
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _visible(value: Any, limit: int) -> Any:
    return named(value, limit) if isinstance(value, str) and not isinstance(value, Markup) else value


def _model_text(text: str, limit: int) -> Markup:
    return escape(named(text, limit))


def _pretty(value: Any, limit: int) -> Markup:
    """A setting as text: strings bare, long lists and nested settings as JSON."""
    return escape(named(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), limit))


def _diff_lines(diff: str) -> list[tuple[str, str]]:
    """Each line of a diff with its class: added, removed, place or kept."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    heads = ("+++", "---")
    return [("place" if line.startswith(heads) else kinds.get(line[:1], "kept"), line) for line in diff.splitlines()]
