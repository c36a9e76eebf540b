"""A case as SARIF 2.1.0 for code review: one result a hit, and a failed invocation where a bumper was blind."""

import json
from urllib.parse import quote

from ..case import SCHEMA_VERSION, BumperResult, Case
from ..detect.catalogue import catalogue
from ..errors import ContractError
from . import sentences as say
from .clean_text import named, plain
from .place import file_of, tranches_of

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LIMIT = 2000


def to_sarif(case: Case) -> str:
    """The case as one SARIF run. Blind bumpers make its execution unsuccessful: no results is not clear."""
    bumpers = say.every_bumper(case)
    rules = sorted({plain(b.bumper, LIMIT) for b in bumpers})
    blind = [_notification(f"blind: {b.bumper}: {b.why}") for b in bumpers if b.verdict == "blind"]
    if said := say.contradiction(case):
        blind.append(_notification(f"{said} {case.why}"))
    if not blind and (case.verdict == "blind" or not bumpers):
        blind = [_notification(f"blind: {case.why}")]
    driver = {
        "name": "bumperlane",
        "semanticVersion": plain(case.versions.get("bumperlane", f"0.0.0+schema{SCHEMA_VERSION}"), LIMIT),
        "rules": _rules(rules),
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


def _rules(names: list[str]) -> list[dict]:
    """A rule for each bumper, with the texts that code review shows; of one that is not installed here, its name."""
    try:
        listed = catalogue()
    except ContractError:  # a plug-in that does not load is no reason to keep a finding back
        listed = {}
    rules = []
    for name in names:
        page = listed[name].page if name in listed else f"The bumper {name}, which is not installed here."
        first = listed[name].flags if name in listed else page
        texts = {"shortDescription": first, "fullDescription": first, "help": page}
        rules.append({"id": name, **{key: {"text": named(text, LIMIT)} for key, text in texts.items()}})
    return rules


def _location(case: Case) -> dict:
    """The file of the first suspect tranche where the case knows it, else the recipe; with the tranches by name."""
    place, tranches = file_of(case), tranches_of(case)
    uri = ("file://" if place.is_absolute() else "") + quote(place.as_posix())
    location: dict = {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}}
    if tranches:
        location["logicalLocations"] = [{"name": plain(name, LIMIT), "kind": "tranche"} for name in tranches]
    return location


def _notification(text: str) -> dict:
    return {"level": "error", "message": {"text": plain(text, LIMIT)}}
