"""A case as SARIF 2.1.0 for code review: one result a hit, and a failed invocation where a bumper was blind."""

import json
from pathlib import Path
from urllib.parse import quote

from ..case import SCHEMA_VERSION, BumperResult, Case
from . import sentences as say
from .clean_text import plain

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LIMIT = 2000


def to_sarif(case: Case) -> str:
    """The case as one SARIF run. Blind bumpers make its execution unsuccessful: no results is not clear."""
    bumpers = say.every_bumper(case)
    rules = sorted({plain(b.bumper, LIMIT) for b in bumpers})
    blind = [_notification(f"{b.bumper}: {b.why}") for b in bumpers if b.verdict == "blind"]
    if not blind and (case.verdict == "blind" or not bumpers):
        blind = [_notification(case.why)]
    driver = {
        "name": "bumperlane",
        "semanticVersion": case.versions.get("bumperlane", f"0.0.0+schema{SCHEMA_VERSION}"),
        "rules": [{"id": rule} for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": not blind, "toolExecutionNotifications": blind}],
        "results": [_result(case, b, rules) for b in bumpers if b.verdict == "hit"],
        "properties": {"verdict": say.outcome(case), "headline": plain(say.headline(case), LIMIT)},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False) + "\n"


def _result(case: Case, hit: BumperResult, rules: list[str]) -> dict:
    rule = plain(hit.bumper, LIMIT)
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
        "level": "error",
        "kind": "fail",
        "message": {"text": plain(say.sentence(hit.why), LIMIT)},
        "locations": [_location(case)],
        "partialFingerprints": {"bumperAndRun/v1": plain(f"{hit.bumper} {case.run}", LIMIT)},
    }


def _location(case: Case) -> dict:
    """The file of the first suspect tranche where the case knows it, else the recipe; with the tranches by name."""
    tranches = [c.name for c in case.causes if c.kind == "tranche" and c.status == "confirmed"]
    tranches = tranches or (case.behaviour.tranches if case.behaviour else [])
    files = [Path(name) for name in case.hashes if "." in name and Path(name).stem in tranches]
    path = files[0] if files else Path("recipe.yaml")
    place = path if path.is_absolute() else Path(case.run) / path
    uri = ("file://" if place.is_absolute() else "") + quote(place.as_posix())
    location: dict = {"physicalLocation": {"artifactLocation": {"uri": uri}}}
    if tranches:
        location["logicalLocations"] = [{"name": plain(name, LIMIT), "kind": "tranche"} for name in tranches]
    return location


def _notification(text: str) -> dict:
    return {"level": "error", "message": {"text": plain(f"blind: {text}", LIMIT)}}
