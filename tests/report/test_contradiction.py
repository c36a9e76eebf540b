"""A case whose verdict its bumpers do not make, as a hand that edits `case.json` leaves it: never green, and told."""

import io
import json
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner
from rich.console import Console

from bumperlane.case import save_case
from bumperlane.cli import main
from bumperlane.report import sentences as say
from bumperlane.report.github import to_github, to_summary
from bumperlane.report.html import render_html
from bumperlane.report.junit import to_junit
from bumperlane.report.sarif import to_sarif
from bumperlane.report.serve.find import catalogue
from bumperlane.report.serve.pages import list_page
from bumperlane.report.terminal import print_case
from report.cases import ALL, DEPARTURE, check_only_case, clear_case, treated_case

SAID = "Case and verdict contradict each other: the verdict is {}, and {} hit"


def edited(verdict):
    """What a hand left: the verdict that is named, over the hits of a check."""
    return check_only_case().model_copy(update={"verdict": verdict, "why": "all is well.", "hits": []})


def without_hits():
    return clear_case().model_copy(update={"verdict": "hit"})


@pytest.mark.parametrize("name", ALL)
def test_a_case_that_a_check_wrote_contradicts_nothing(name):
    assert say.contradiction(ALL[name]()) == ""


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (edited("clear"), SAID.format("clear", "ContextDeparture was")),
        (edited("blind"), SAID.format("blind", "ContextDeparture was")),
        (without_hits(), SAID.format("hit", "no bumper was")),
        (treated_case().model_copy(update={"verdict": "clear"}), SAID.format("clear", "ContextDeparture was")),
        (clear_case().model_copy(update={"hits": [DEPARTURE]}), SAID.format("clear", "ContextDeparture was")),
    ],
)
def test_every_form_says_so_and_none_is_green(case, said, tmp_path):
    out = io.StringIO()
    print_case(case, Console(file=out, width=400))
    save_case(tmp_path / "case", case)
    (listed,) = catalogue(tmp_path).cases
    assert said in listed.note and said in list_page(catalogue(tmp_path), {"verdict": "", "bumper": ""}, 1)
    assert say.outcome(case) == listed.word == "hit" and out.getvalue().startswith("HIT  ")
    junit, sarif = ET.fromstring(to_junit(case)), json.loads(to_sarif(case))["runs"][0]
    for text in (out.getvalue(), render_html(case), to_junit(case), to_sarif(case), to_github(case), to_summary(case)):
        assert said in text
    assert int(junit.get("failures")) >= 1 and not sarif["invocations"][0]["executionSuccessful"]
    assert "::error" in to_github(case) and "::notice title=bumperlane" not in to_github(case)
    done = CliRunner().invoke(main, ["report", str(tmp_path / "case")])
    assert done.exit_code == 0 and "contradict each other" in done.stdout
    assert say.CLEAR_IS_NOT_SAFE not in render_html(case)
