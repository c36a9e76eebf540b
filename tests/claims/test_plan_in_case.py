"""A plan that was sealed into a case is compared with its seal when the case is verified."""

import json
import re

import pytest

from bumperlane.claims.sealing import seal, sealed_value
from bumperlane.claims.verified import FAIL, NOT_COVERED, PASS
from bumperlane.claims.verify_files import plan_file
from bumperlane.report.html import write_report
from report.cases import treated_case


@pytest.fixture
def case(tmp_path):
    (tmp_path / "plan.yaml").write_text("claim: c\nthresholds: {t: 0.02}\nsamples: {items: 9}\nanalysis: a\n")
    seal(tmp_path / "plan.yaml")
    return tmp_path


def test_a_plan_as_it_was_sealed_passes_and_a_moved_threshold_is_named(case):
    assert plan_file(case).state == PASS
    plan = case / "plan.yaml"
    plan.write_text(plan.read_text().replace("0.02", "0.2"))
    found = plan_file(case)
    assert found.state == FAIL and found.faults == ("thresholds.t: 0.02 was sealed, now 0.2",)


def test_a_seal_that_was_edited_or_was_too_late_fails(case):
    file = case / "plan.sealed.json"
    held = json.loads(file.read_text())
    file.write_text(json.dumps({**held, "samples_there": ["runs: 3 files"]}))
    assert plan_file(case).faults == ("sealed after the first sample: runs: 3 files",)
    held["plan"]["thresholds"]["t"] = 0.2
    file.write_text(json.dumps(held))
    assert plan_file(case).state == FAIL and "was changed" in plan_file(case).detail


def test_a_seal_without_its_plan_is_not_covered_and_no_seal_is_no_check(case):
    (case / "plan.yaml").unlink()
    assert plan_file(case).state == NOT_COVERED
    (case / "plan.sealed.json").unlink()
    assert plan_file(case) is None


def test_a_threshold_is_sealed_where_the_plan_in_force_has_its_value(case):
    assert re.fullmatch(r"plan [0-9a-f]{8} of \d{4}-\d\d-\d\d", sealed_value(case, 0.02))
    assert sealed_value(case, 0.1) == "" == sealed_value(case / "elsewhere", 0.02)
    plan = case / "plan.yaml"
    plan.write_text(plan.read_text().replace("items: 9", "items: 8"))
    assert sealed_value(case, 0.02) == ""


def test_a_plan_that_was_sealed_too_late_or_was_edited_seals_nothing(case):
    file = case / "plan.sealed.json"
    held = json.loads(file.read_text())
    for change in ({"samples_there": ["runs: 3 files"]}, {"sha256": "0" * 64}):
        file.write_text(json.dumps({**held, **change}))
        assert sealed_value(case, 0.02) == ""


def test_the_page_says_which_plan_sealed_its_line(tmp_path):
    made = treated_case()
    made = made.model_copy(update={"settings": {**made.settings, "tolerated_rate": 0.1}})
    unsealed = write_report(made, tmp_path).read_text()
    (tmp_path / "plan.yaml").write_text("claim: c\nthresholds: {t: 0.1}\nsamples: {items: 9}\nanalysis: a\n")
    seal(tmp_path / "plan.yaml")
    sealed = write_report(made, tmp_path).read_text()
    assert "in no sealed plan" in unsealed and "sealed before the first sample, plan " in sealed
