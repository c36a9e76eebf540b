import json
import xml.etree.ElementTree as ET

import pytest

from bumperlane.report.github import to_github
from bumperlane.report.junit import to_junit
from bumperlane.report.sarif import to_sarif
from report.cases import ALL, DEPARTURE, HOSTILE, blind_case, check_only_case, clear_case, masked_case, treated_case


def junit(case):
    return ET.fromstring(to_junit(case).encode())


def sarif(case):
    return json.loads(to_sarif(case))["runs"][0]


def outcomes(case):
    return {t.get("name"): [child.tag for child in t] for t in junit(case).iter("testcase")}


def test_junit_makes_a_hit_a_failure_and_blind_an_error():
    assert outcomes(check_only_case()) == {
        "ContextDeparture": ["failure"],
        "RewardHackShape": ["error"],
        "MahalanobisShift": [],
    }


def test_junit_counts_what_it_holds():
    root = junit(check_only_case())
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")


@pytest.mark.parametrize("bumpers", [[], blind_case().bumpers])
def test_junit_of_a_blind_case_is_never_green(bumpers):
    root = junit(blind_case().model_copy(update={"bumpers": bumpers}))
    assert int(root.get("errors")) >= 1 and root.find(".//skipped") is None


def test_junit_of_a_case_without_bumpers_is_not_green():
    assert outcomes(clear_case().model_copy(update={"bumpers": []})) == {"case": ["error"]}


def test_junit_holds_the_verdict_of_the_bounce():
    assert outcomes(treated_case())["bounce"] == []
    assert outcomes(masked_case())["bounce"] == ["failure"]
    unsure = treated_case().bounce.model_copy(update={"verdict": "inconclusive"})
    assert outcomes(treated_case().model_copy(update={"bounce": unsure}))["bounce"] == ["error"]


@pytest.mark.parametrize("name", ALL)
def test_both_survive_hostile_text(name):
    hit = DEPARTURE.model_copy(update={"why": HOSTILE, "bumper": HOSTILE})
    case = ALL[name]().model_copy(update={"bumpers": [hit], "hits": [hit], "run": HOSTILE})
    assert "script" in junit(case).find(".//failure").get("message")
    assert "\x1b" not in sarif(case)["results"][0]["message"]["text"]


def test_sarif_has_the_required_fields_and_one_result_a_hit():
    text = json.loads(to_sarif(treated_case()))
    assert text["version"] == "2.1.0" and text["$schema"].endswith("sarif-2.1.0.json")
    run = text["runs"][0]
    assert run["tool"]["driver"]["name"] == "bumperlane"
    (result,) = run["results"]
    assert result["message"]["text"].startswith("41 of 64 answers")
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "ContextDeparture"


def test_sarif_points_at_the_tranche_file_or_else_at_the_recipe():
    def place(case):
        return sarif(case)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]

    assert place(treated_case()) == "runs/letters-360m/data/old-letters.jsonl"
    bare = treated_case().model_copy(update={"hashes": {}, "run": "/runs/my run"})
    assert place(bare) == "file:///runs/my%20run/recipe.yaml"


def test_sarif_of_a_blind_bumper_is_an_unsuccessful_execution():
    for case in (blind_case(), clear_case(), blind_case().model_copy(update={"bumpers": []})):
        run = sarif(case)
        assert run["results"] == []
        assert run["invocations"][0]["executionSuccessful"] is False
        assert run["invocations"][0]["toolExecutionNotifications"]


def test_a_hit_that_is_missing_from_the_bumpers_is_still_reported():
    case = check_only_case().model_copy(
        update={"bumpers": [b for b in check_only_case().bumpers if b.verdict != "hit"]}
    )
    assert len(sarif(case)["results"]) == 1 and outcomes(case)["ContextDeparture"] == ["failure"]


def test_a_hit_over_bumpers_of_which_none_was_hit_is_red_in_every_form():
    odd = check_only_case()
    quiet = [b.model_copy(update={"verdict": "clear"}) for b in odd.bumpers]
    odd = odd.model_copy(update={"bumpers": quiet, "hits": []})
    assert outcomes(odd)["case"] == ["failure"] and junit(odd).get("failures") == "1"
    assert sarif(odd)["invocations"][0]["executionSuccessful"] is False
    assert to_github(odd).startswith("::error ") and "title=bumperlane%3A hit" in to_github(odd)
