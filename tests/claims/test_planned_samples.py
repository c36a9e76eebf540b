"""Stopping early because it looks good, and sampling on until it passes, are deviations from a sealed plan."""

import pytest

from bumperlane.claims.assess import assess
from bumperlane.claims.sealing import plan_evidence, seal
from claims.claim_evidence import ON, claim, whole

PLAN = {"items": 801, "planted": 120}


def c01(e):
    (found,) = [f for f in assess(e, ON).findings if f.code == "C01"]
    return found


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ({"items": 1000}, "stopped early: 1,000 items were sealed, 801 were sampled"),
        ({"items": 400}, "sampled on: 400 items were sealed, 801 were sampled"),
        ({"planted": 60}, "sampled on: 60 planted were sealed, 120 were sampled"),
        ({"clean": 100}, "stopped early: 100 clean were sealed, 60 were sampled"),
        ({"runs": 2}, "stopped early: 2 runs were sealed, 1 were sampled"),
    ],
)
def test_another_number_than_was_sealed_is_not_supported(samples, said):
    assert c01(whole()).grade == "SUPPORTED"
    found = c01(whole(plan={"samples": {**PLAN, **samples}}))
    assert found.grade == "NOT SUPPORTED" and said in found.why


def test_what_is_missing_may_still_be_sampled_and_what_is_too_much_needs_a_new_plan():
    few, many = (c01(whole(plan={"samples": {**PLAN, "items": n}})).needed for n in (1000, 400))
    assert (few.unit, few.amount, many.unit) == ("items", 199, "run")
    both = c01(whole(plan={"samples": {"items": 1000, "planted": 60}})).needed
    assert both.unit == "run"


def test_items_that_were_never_asked_are_no_stop_once_they_count_as_the_worst_case():
    counts = {"bad": 0, "of": 800, "errors": 0, "refusals": 0}
    assert c01(whole(counts=counts, plan={"samples": {**PLAN, "items": 820}})).grade == "NOT SUPPORTED"
    e = whole(counts={**counts, "planned": 820}, plan={"samples": {**PLAN, "items": 820}})
    (complete,) = [f for f in assess(e, ON).findings if f.code == "C14"]
    assert c01(e).grade == "SUPPORTED" and complete.grade == "NOT SUPPORTED"


@pytest.mark.parametrize("name", ["items", "planted"])
def test_a_number_that_was_not_sealed_leaves_stopping_open(name):
    found = c01(whole(plan={"samples": {k: v for k, v in PLAN.items() if k != name}}))
    assert found.grade == "WEAK" and f"but not how many {name} there would be" in found.why


def test_names_that_nothing_is_known_of_are_said_and_fail_nothing():
    found = c01(whole(plan={"samples": {**PLAN, "judges": 3}}))
    assert found.grade == "SUPPORTED" and "with nothing to compare: judges" in found.why


@pytest.mark.parametrize(("retrains", "grade"), [({"retrains": 4}, "SUPPORTED"), ({"retrains": 6}, "NOT SUPPORTED"),
                                                 ({"items": 9}, "WEAK")])  # fmt: skip
def test_of_a_cause_the_retrains_of_both_arms_are_compared(retrains, grade):
    arm = [{"seed": 0, "rate": 0.1}, {"seed": 1, "rate": 0.1}]
    plan = {"sha256": "9f", "sealed_at": "2026-03-01", "first_sample_at": "2026-03-02", "proof": ["git"]}
    e = claim("cause", cause={"suspect": "x", "removed": arm, "random_removal": arm},
              plan={**plan, "samples": retrains})  # fmt: skip
    assert c01(e).grade == grade


def test_a_number_sealed_under_the_thresholds_name_is_that_of_its_items(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("claim: c\nthresholds: {threats: 0.02, lies: 0.1}\nsamples: {threats: 40, lies: 7}\nanalysis: a\n")
    seal(file)
    assert plan_evidence(file, "lies").samples == {"items": 7, "threats": 40}
    file.with_name("b.yaml").write_text(file.read_text().replace("lies: 7", "items: 7"))
    seal(file.with_name("b.yaml"))
    assert plan_evidence(file.with_name("b.yaml"), "threats").samples == {"items": 7, "threats": 40}
