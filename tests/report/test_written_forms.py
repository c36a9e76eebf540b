"""JUnit and SARIF as the standards want them, for every kind of case and with hostile text in every field."""

import copy
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from bumperlane.report.junit import to_junit
from bumperlane.report.sarif import to_sarif
from report.cases import ALL, HOSTILE
from report.written_forms import SARIF, junit_faults

OFFICIAL = os.environ.get("BUMPERLANE_OFFICIAL_SCHEMAS", "")
official = pytest.mark.skipif(not OFFICIAL, reason="BUMPERLANE_OFFICIAL_SCHEMAS names no directory with the schemas")
CHECKER = jsonschema.Draft7Validator(SARIF, format_checker=jsonschema.FormatChecker())


def hostile(name):
    """The case with hostile text in every string of its bumpers, run, causes and bounce."""

    def soil(value, key=""):
        if isinstance(value, dict):
            return {k: soil(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [soil(v, key) for v in value]
        fixed = ("verdict", "kind", "status", "split", "family", "stages")
        return f"{value} {HOSTILE}" if isinstance(value, str) and key not in fixed else value

    case = ALL[name]()
    return type(case).model_validate(soil(case.model_dump(mode="json")))


CASES = {**ALL, **{f"hostile {name}": lambda n=name: hostile(n) for name in ALL}}


@pytest.mark.parametrize("name", CASES)
def test_sarif_keeps_the_standard(name):
    CHECKER.validate(json.loads(to_sarif(CASES[name]())))


@pytest.mark.parametrize("name", CASES)
def test_junit_has_the_elements_attributes_and_counts_that_jenkins_reads(name):
    text = to_junit(CASES[name]())
    assert junit_faults(ET.fromstring(text.encode())) == []


def test_sarif_gives_each_rule_the_texts_that_code_review_shows():
    rules = json.loads(to_sarif(ALL["treated"]()))["runs"][0]["tool"]["driver"]["rules"]
    assert {r["id"]: r["help"]["text"] for r in rules}["ContextDeparture"].endswith("which is not installed here.")
    hit = ALL["treated"]().bumpers[0].model_copy(update={"bumper": "PairedContexts"})
    case = ALL["treated"]().model_copy(update={"bumpers": [hit]})
    (rule,) = [r for r in json.loads(to_sarif(case))["runs"][0]["tool"]["driver"]["rules"] if r["id"] == hit.bumper]
    assert rule["shortDescription"]["text"].startswith("Flags ") and "Blind to:" in rule["help"]["text"]


def broken(value, path=()):
    """Every way to break a document in one place: a key gone, an unknown one, a value of another type."""
    if isinstance(value, dict):
        for key in value:
            yield path, lambda parent, k=key: parent.pop(k)
            yield path, lambda parent, k=key: parent.update({k: [{"no": 1}] if not isinstance(parent[k], list) else 7})
            yield from broken(value[key], (*path, key))
        yield path, lambda parent: parent.update({"notInTheStandard": 1})
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from broken(item, (*path, i))


def changed(document):
    for path, change in broken(document):
        copied = copy.deepcopy(document)
        place = copied
        for key in path:
            place = place[key]
        change(place)
        yield path, copied


def test_the_rules_for_sarif_see_what_is_broken():
    document = json.loads(to_sarif(ALL["treated"]()))
    seen = [not CHECKER.is_valid(other) for _, other in changed(document)]
    assert len(seen) > 100 and sum(seen) / len(seen) > 0.7  # the rest leaves out or opens what is optional


@official
def test_sarif_is_valid_by_the_official_schema_and_the_rules_here_are_no_laxer():
    schema = json.loads((Path(OFFICIAL) / "sarif-schema-2.1.0.json").read_text("utf-8"))
    judge = jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())
    for make in CASES.values():
        judge.validate(json.loads(to_sarif(make())))
    laxer = [p for p, other in changed(json.loads(to_sarif(ALL["treated"]()))) if not judge.is_valid(other)
             and CHECKER.is_valid(other)]  # fmt: skip
    assert laxer == []


@official
def test_junit_is_valid_by_the_official_schema():
    schema = pytest.importorskip("xmlschema").XMLSchema(str(Path(OFFICIAL) / "junit-10.xsd"))
    for make in CASES.values():
        schema.validate(to_junit(make()))


def test_the_rules_for_junit_see_what_is_broken():
    good = to_junit(ALL["treated"]())
    for old, new, said in (
        ("<failure ", "<failed ", "unknown element failed"),
        (' name="ContextDeparture"', "", "testcase lacks name"),
        ('skipped="0"', 'skip="0"', "testsuite has skip"),
        ('failures="1"', 'failures="2"', "says failures=2, there are 1"),
    ):
        text = good.replace(old, new).replace("</failure>", "</failed>" if "failed" in new else "</failure>")
        assert any(said in fault for fault in junit_faults(ET.fromstring(text.encode()))), (old, text[:300])
