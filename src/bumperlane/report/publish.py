"""Publish a case: derive its claims, write case.json and the page."""

from pathlib import Path

from ..case import Case
from ..claims.rules import derive
from ..evidence.manifest import save_with_manifest
from .html import write_report


def publish(case: Case, directory: Path) -> Case:
    """Add the claims that follow from the evidence, write manifest, `case.json` and `report.html`, return the case."""
    case = save_with_manifest(directory, with_claims(case))
    write_report(case, directory)
    return case


def with_claims(case: Case) -> Case:
    """The case with its claims derived anew; nothing is written."""
    return case.model_copy(update={"claims": derive(case)})
