"""Every rule has a page, and what the page shows as passing or failing does so."""

import re
from datetime import date

import pytest
import yaml

from bumperlane.claims.evidence import Evidence
from bumperlane.claims.rule_kinds.contract import load_rules

RULES = load_rules()
TODAY = date(2026, 11, 22)
PARTS = ("## Why", "## How it is checked", "## Passes", "Source: ")


def examples(code):
    """(heading, evidence) of each YAML block."""
    found = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", RULES[code].page, re.M | re.S)
    return [
        (title, Evidence.model_validate(yaml.safe_load(block)))
        for title, text in found
        for block in re.findall(r"```yaml\n(.*?)```", text, re.S)
    ]


def test_there_are_22_rules_in_one_unbroken_row():
    assert list(RULES) == [f"C{i:02d}" for i in range(1, 23)]


@pytest.mark.parametrize("code", RULES)
def test_a_page_has_its_parts_and_begins_with_the_title_of_its_rule(code):
    page = RULES[code].page
    assert page.startswith(f"# {code}: {RULES[code].title}\n") and all(part in page for part in PARTS)
    assert max(map(len, page.splitlines())) <= 130


@pytest.mark.parametrize("code", RULES)
def test_the_example_that_passes_passes_and_the_one_that_fails_fails_as_the_page_says(code):
    shown = examples(code)
    assert len(shown) >= 2 and shown[0][0] == "Passes"
    for title, evidence in shown:
        finding = RULES[code].find(evidence, TODAY)
        assert finding.grade == ("SUPPORTED" if title == "Passes" else title), finding.why
        assert finding.why.endswith(".") and (finding.grade == "SUPPORTED" or finding.needed is not None)


@pytest.mark.parametrize("code", RULES)
@pytest.mark.parametrize("kind", ["rate_below", "rate_above", "difference", "equivalent", "treated", "cause"])
def test_without_evidence_a_rule_is_untested_and_says_what_to_get_or_does_not_apply(code, kind):
    bare = Evidence.model_validate({"claim": {"kind": kind, "behaviour": "threats"}})
    finding = RULES[code].find(bare, TODAY)
    assert finding.grade in (None, "UNTESTED") and finding.why
    assert (finding.grade is None) == (kind not in RULES[code].kinds)
    assert finding.grade is None or finding.needed is not None
