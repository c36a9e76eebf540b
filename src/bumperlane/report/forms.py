"""The forms that a case can be given in, by name."""

import json
from collections.abc import Callable
from pathlib import Path

from ..case import Case
from .github import to_github, write_summary
from .html import page_of, render_html
from .junit import to_junit
from .sarif import to_sarif


def to_json(case: Case) -> str:
    """The whole of `case.json`."""
    return f"{json.dumps(case.model_dump(mode='json'), indent=1)}\n"


FORMS: dict[str, Callable[[Case], str]] = {
    "html": render_html,
    "junit": to_junit,
    "sarif": to_sarif,
    "github": to_github,
    "json": to_json,
}


def rendered(case: Case, form: str, directory: Path | None = None) -> str:
    """The case in a form. `html` also tells of the plan and the spec in the case's directory; `github` also appends to
    the summary of the job, where GitHub asks for one."""
    if form == "github":
        write_summary(case)
    return page_of(case, directory) if form == "html" and directory else FORMS[form](case)
