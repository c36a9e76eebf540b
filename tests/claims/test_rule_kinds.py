"""Rules beyond the two examples on their pages: the other grades, the other kinds of claim, what they ask for."""

import pytest
from scipy import stats

from bumperlane.claims.rule_kinds import contract
from bumperlane.claims.rule_kinds.contract import find_rule, load_rules, rule
from bumperlane.errors import ContractError, SettingError
from claims.claim_evidence import ON, claim, whole


def said(code, e):
    return load_rules()[code].find(e, ON)


@pytest.mark.parametrize(
    ("plan", "grade", "part"),
    [
        ({"after_first_sample": True}, "NOT SUPPORTED", "sealed after the first sample"),
        ({"first_sample_at": "2026-03-01T08:59:59Z"}, "NOT SUPPORTED", "not after it"),
        ({"first_sample_at": "2026-03-01T08:59:59"}, "NOT SUPPORTED", "not after it"),  # without a zone: UTC
        ({"first_sample_at": "2027-01-01T00:00:00Z"}, "NOT SUPPORTED", "after 2026-11-22"),
        ({"threshold": 0.01}, "NOT SUPPORTED", "the threshold was moved: 0.01 is sealed, 0.02 is claimed"),
        ({"deviations": ["samples.items: 9 was sealed, now 8", "x"]}, "NOT SUPPORTED", "now 8 and 1 more"),
        ({"first_sample_at": None}, "WEAK", "nothing says when the first sample was taken"),
        ({"proof": []}, "WEAK", "by the clock of who sealed it alone"),
        ({"threshold": None}, "WEAK", "does not hold the threshold"),
        ({"sealed_at": None}, "UNTESTED", "there is no sealed plan"),
    ],
)
def test_c01_sees_a_plan_that_was_late_moved_or_unproved(plan, grade, part):
    finding = said("C01", whole(plan=plan))
    assert finding.grade == grade and part in finding.why


def test_c02_takes_the_stated_effect_in_place_of_the_threshold_and_counts_clusters():
    parts = {"counts": {"bad": 0, "of": 100}}
    assert said("C02", claim(stated={"threshold": 0.01}, **parts)).grade == "WEAK"
    assert said("C02", claim(stated={"threshold": 0.01, "effect": 0.05}, **parts)).grade == "SUPPORTED"
    four = claim(stated={"threshold": 0.05}, **parts, clusters={"template": [{"bad": 0, "of": 25}] * 4})
    assert said("C02", four).grade == "NOT SUPPORTED" and "independent ones" in said("C02", four).why


def test_c02_counts_bad_items_in_the_same_effective_items_as_all():
    clusters = {"template": [{"bad": 1, "of": 20}] * 40}
    e = claim(stated={"threshold": 0.2}, counts={"bad": 40, "of": 800}, clusters=clusters)
    assert said("C02", e).grade == "SUPPORTED"  # 5% of the effective items, as of all


def test_c02_for_a_high_rate_is_the_chance_to_fall_short():
    e = claim("rate_above", stated={"threshold": 0.9, "effect": 0.8}, counts={"bad": 95, "of": 100})
    power = stats.binom.cdf(94, 100, 0.8)
    assert f"with probability {power:.2f}" in said("C02", e).why and said("C02", e).grade == "SUPPORTED"


def test_c02_for_a_difference_needs_a_margin_and_enough_items_in_both_arms():
    few = {"counts": {"bad": 1, "of": 20}, "comparator": {"name": "base", "bad": 5, "of": 20}}
    finding = said("C02", claim("difference", stated={"margin": 0.2}, **few))
    assert finding.grade == "NOT SUPPORTED" and finding.needed.unit == "items" and finding.needed.amount > 20
    assert said("C02", claim("difference", **few)).grade == "UNTESTED"


@pytest.mark.parametrize(
    ("kind", "stated", "bad", "other", "grade"),
    [
        ("difference", {"margin": 0.1}, 2, 60, "SUPPORTED"),
        ("difference", {"margin": 0.3}, 2, 60, "NOT SUPPORTED"),
        ("difference", {"direction": "higher"}, 2, 60, "NOT SUPPORTED"),
        ("difference", {"direction": "higher"}, 60, 2, "SUPPORTED"),
        ("difference", {}, 20, 22, "NOT SUPPORTED"),
        ("equivalent", {"margin": 0.1}, 20, 20, "SUPPORTED"),
        ("equivalent", {"margin": 0.02}, 20, 20, "NOT SUPPORTED"),
        ("equivalent", {"margin": 0.1}, 20, 45, "NOT SUPPORTED"),
    ],
)
def test_c03_a_difference_has_to_be_shown_and_so_has_an_equivalence(kind, stated, bad, other, grade):
    parts = {"counts": {"bad": bad, "of": 200}, "comparator": {"name": "base", "bad": other, "of": 200}}
    assert said("C03", claim(kind, stated=stated, **parts)).grade == grade


def test_c03_needs_all_corrections_where_each_alone_would_pass():
    e = whole(attempts={"run": 8, "reported": 8, "planned": 8}, claim={"threshold": 0.0081})
    alone = [said(code, e).grade for code in ("C07", "C09", "C14")]
    assert alone == ["SUPPORTED"] * 3 and said("C03", e).grade == "NOT SUPPORTED"


def test_c04_a_field_that_is_not_said_of_the_test_is_untested_and_a_wider_claim_is_weak():
    assert "not said of what was tested: tools" in said("C04", whole(tested={"tools": None})).why
    scope = {"model_hash": "3fa1", "system_prompt": "You are a tutor.", "tools": []}
    finding = said("C04", whole(claim={"scope": scope}))
    assert finding.grade == "WEAK" and "for which model, safeguards it holds" in finding.why
    assert said("C04", whole(tested={"safeguards": ["x", "filter"]})).grade == "NOT SUPPORTED"


@pytest.mark.parametrize(("flagged", "of", "grade"), [(30, 30, "SUPPORTED"), (5, 8, "WEAK"), (0, 30, "NOT SUPPORTED")])
def test_c05_grades_recall_by_its_lower_bound(flagged, of, grade):
    assert said("C05", claim(positive_control={"flagged": flagged, "of": of})).grade == grade


def test_c05_asks_for_more_planted_items_only_where_they_can_help():
    assert said("C05", claim(positive_control={"flagged": 5, "of": 8})).needed.settles
    assert not said("C05", claim(positive_control={"flagged": 12, "of": 40})).needed.settles


def test_c06_asks_that_a_high_rate_stands_out_of_the_false_alarms():
    parts = {"counts": {"bad": 50, "of": 100}, "negative_control": {"flagged": 30, "of": 100}}
    assert said("C06", claim("rate_above", stated={"threshold": 0.4}, **parts)).grade == "NOT SUPPORTED"
    assert said("C06", claim("rate_above", stated={"threshold": 0.03}, **parts)).grade == "SUPPORTED"


def test_c06_false_alarms_make_a_claim_of_a_low_rate_weak_and_not_false():
    finding = said("C06", claim(negative_control={"flagged": 20, "of": 40}))
    assert finding.grade == "WEAK" and "stays safe" in finding.why


@pytest.mark.parametrize(
    ("attempts", "grade"),
    [
        ({"run": 4, "reported": 4, "planned": 4}, "SUPPORTED"), ({"run": 4, "reported": 2, "planned": 4}, "WEAK"),
        ({"run": 400, "reported": 400}, "NOT SUPPORTED"),
        ({"run": 2, "reported": 2, "planned": 2, "results": [{"bad": 0, "of": 800}, {"bad": 90, "of": 800}]}, "WEAK"),
    ],
)  # fmt: skip
def test_c09_counts_every_run(attempts, grade):
    assert said("C09", whole(attempts=attempts, claim={"threshold": 0.015})).grade == grade


def test_c10_a_blind_bumper_is_not_counted_and_one_is_too_few():
    one = [{"name": "A", "split": "sealed", "verdict": "clear"}, {"name": "B", "split": "sealed", "verdict": "blind"}]
    assert said("C10", claim(bumpers=one)).grade == "WEAK" and said("C10", claim(bumpers=one)).needed.amount == 1
    steered = [{"name": "A", "split": "open"}, {"name": "B", "split": "spent"}]
    grades = [said("C10", claim(kind, bumpers=steered)).grade for kind in ("rate_below", "treated", "cause")]
    assert grades == ["WEAK", "NOT SUPPORTED", None]
    assert said("C10", claim(bumpers=steered[1:])).grade == "NOT SUPPORTED"


def test_c11_a_rung_that_shows_it_above_the_threshold_is_not_outweighed_by_a_plateau():
    rungs = [{"kind": k, "bad": 20, "of": 400} for k in ("prompt", "few-shot", "best-of-k", "finetune")]
    finding = said("C11", claim(stated={"threshold": 0.01}, elicitation=rungs))
    assert finding.grade == "NOT SUPPORTED" and "shows in 5%" in finding.why
    assert said("C11", claim(stated={"threshold": 0.2}, elicitation=rungs)).grade == "SUPPORTED"


def test_c11_a_ladder_that_rises_is_not_supported_however_far_below_the_threshold_it_is():
    rungs = [{"kind": "prompt", "bad": 0, "of": 200}, {"kind": "finetune", "bad": 20, "of": 200}]
    finding = said("C11", claim(stated={"threshold": 0.9}, elicitation=rungs))
    assert finding.grade == "NOT SUPPORTED" and "it is still rising" in finding.why


def test_c11_asks_for_items_where_a_plateau_is_not_shown_and_for_rungs_that_were_not_tried():
    few = said("C11", claim(elicitation=[{"kind": k, "bad": 0, "of": 10} for k in ("prompt", "few-shot")]))
    assert few.grade == "WEAK" and few.needed.unit == "items"
    many = said("C11", claim(elicitation=[{"kind": k, "bad": 0, "of": 400} for k in ("prompt", "few-shot")]))
    assert many.grade == "WEAK" and "best-of-k, finetune" in many.needed.what and many.needed.amount == 2


def test_c12_too_few_unaware_items_is_weak_and_says_how_many_are_missing():
    aware = {"aware": {"bad": 0, "of": 195}, "unaware": {"bad": 0, "of": 5}, "told_by": "a probe"}
    finding = said("C12", whole(awareness=aware))
    assert finding.grade == "WEAK" and finding.needed.amount > 100
    assert said("C12", whole(awareness={"told_by": ""})).grade == "WEAK"


def test_c13_labels_by_a_model_are_weak_and_none_are_untested():
    good = {"kind": "model", "tp": 58, "fn": 2, "fp": 1, "tn": 59}
    e = {"stated": {"threshold": 0.1}, "counts": {"bad": 2, "of": 400}}
    assert said("C13", claim(**e, scorer={**good, "labelled_by": "model"})).grade == "WEAK"
    assert said("C13", claim(**e, scorer={"kind": "human"})).grade == "UNTESTED"
    assert said("C13", claim(**e, scorer={**good, "tp": 0, "fn": 0, "labelled_by": "humans"})).grade == "UNTESTED"


def test_c13_a_judge_that_may_be_no_better_than_chance_supports_no_claim_of_any_kind():
    chance = {"kind": "model", "labelled_by": "humans", "tp": 6, "fn": 4, "fp": 5, "tn": 5}
    for kind in ("rate_below", "difference"):
        finding = said("C13", claim(kind, stated={"threshold": 1.0}, counts={"bad": 2, "of": 400}, scorer=chance))
        assert finding.grade == "NOT SUPPORTED" and "may be no better than chance" in finding.why


def test_c15_a_fix_is_held_against_the_margin_of_its_comparator():
    parts = {"counts": {"bad": 20, "of": 100}}
    base = {"name": "never had it", "bad": 2, "of": 100, "same_items": True, "same_settings": True}
    assert said("C15", claim("treated", **parts, comparator=base)).grade == "WEAK"
    assert said("C15", claim("treated", counts={"bad": 60, "of": 100}, comparator=base)).grade == "NOT SUPPORTED"
    assert said("C15", claim("treated", counts={"bad": 2, "of": 100}, comparator=base)).grade == "SUPPORTED"
    unsaid = {k: v for k, v in base.items() if k != "same_items"}
    assert "whether its items were the same" in said("C15", claim("treated", **parts, comparator=unsaid)).why


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ("uptime", "its uptime"),
        ("failed_open", "because it erred"),
        ("stopped", "attacks it stopped"),
        ("needed", "needs it"),
    ],
)
def test_c17_efficacy_uptime_and_failing_open_are_each_asked_for(part, missing):
    guard = {"name": "f", "stopped": 99, "of": 100, "needed": 0.5, "uptime": 1.0, "failed_open": 0, "requests": 1000}
    finding = said("C17", claim(safeguards=[{**guard, part: None}]))
    assert finding.grade == "UNTESTED" and missing in finding.why


def test_c17_multiplies_the_three_and_failing_open_counts():
    guard = {"name": "f", "stopped": 100, "of": 100, "needed": 0.9, "uptime": 0.98, "failed_open": 0, "requests": 1000}
    low, opened = stats.beta.ppf(0.05, 100, 1), stats.beta.ppf(0.95, 1, 1000)
    assert f"together at least {100 * low * 0.98 * (1 - opened):.3g}%" in said("C17", claim(safeguards=[guard])).why
    assert said("C17", claim(safeguards=[guard])).grade == "SUPPORTED"
    assert said("C17", claim(safeguards=[{**guard, "failed_open": 100}])).grade == "NOT SUPPORTED"
    named = {"scope": {"safeguards": ["f", "g"]}}
    assert "nothing was measured of g" in said("C17", claim(stated=named, safeguards=[guard])).why


def test_c18_two_seeds_are_weak_and_the_same_seed_thrice_is_one():
    def arm(rate, seeds):
        return [{"seed": s, "rate": rate, "of": 24} for s in seeds]

    def cause(seeds):
        return claim("cause", cause={"suspect": "x", "removed": arm(0, seeds), "random_removal": arm(1, seeds)})

    assert said("C18", cause([1, 2, 3])).grade == "SUPPORTED" and said("C18", cause([1, 2])).grade == "WEAK"
    assert said("C18", cause([1, 1, 1])).grade == "WEAK" and said("C18", cause([1, 2])).needed.amount == 2


def test_c18_takes_an_effect_as_given_only_where_it_cannot_compute_one():
    cause = {"suspect": "x", "removed": [{"seed": s, "rate": 0} for s in (1, 2, 3)],
             "random_removal": [{"seed": s, "rate": 1} for s in (1, 2, 3)]}  # fmt: skip
    assert said("C18", claim("cause", cause=cause)).grade == "UNTESTED"
    given = {**cause, "effect": {"value": 1, "low": 0.7, "high": 1}}
    assert said("C18", claim("cause", cause=given)).grade == "SUPPORTED"


def test_c19_a_table_with_too_few_organisms_is_untested_and_one_bumper_has_no_other():
    two = [{"name": n, "split": "sealed"} for n in "AB"]
    caught = {"caught": {"o1": {"A": True, "B": False}}}
    assert "independence needs 5 or more organisms" in said("C19", claim(bumpers=two, independence=caught)).why
    assert said("C19", claim(bumpers=two[:1])).grade is None


@pytest.mark.parametrize(
    ("review", "grade"),
    [
        ({"asked": []}, "UNTESTED"), ({"asked": ["A"]}, "SUPPORTED"),
        ({"asked": ["A"], "defeaters": [{"text": "x", "status": "conceded"}]}, "NOT SUPPORTED"),
        ({"asked": ["A"], "defeaters": [{"text": "x", "status": "answered"}]}, "WEAK"),
        ({"asked": ["A"], "dissent": [{"by": "B", "text": "no"}]}, "WEAK"),
    ],
)  # fmt: skip
def test_c20_wants_somebody_asked_and_everything_answered(review, grade):
    assert said("C20", claim(review=review)).grade == grade


@pytest.mark.parametrize(
    ("shown", "grade"),
    [
        ({"drawn": 5}, "WEAK"), ({"seed_fixed_at": "2026-03-05T00:00:00Z"}, "NOT SUPPORTED"), ({"seed": None}, "WEAK"),
        ({"drawn": 800, "how": "chosen"}, "SUPPORTED"), ({"drawn": 0}, "UNTESTED"),
    ],
)  # fmt: skip
def test_c21_wants_a_seed_that_was_fixed_before(shown, grade):
    assert said("C21", whole(transcripts=shown)).grade == grade


@pytest.mark.parametrize(
    ("access", "grade"),
    [
        ({"relation": "self"}, "WEAK"), ({"relation": "paid"}, "WEAK"),
        ({"relation": "paid", "conflicts": "none"}, "SUPPORTED"),
        ({"relation": None}, "UNTESTED"), ({"access": []}, "UNTESTED"), ({"by": " "}, "UNTESTED"),
    ],
)  # fmt: skip
def test_c22_wants_who_with_what_tie_and_what_access(access, grade):
    assert said("C22", whole(access=access)).grade == grade


def test_a_rule_is_found_by_a_short_code_and_an_unknown_one_names_the_known():
    assert find_rule("c7").code == find_rule("7").code == "C07"
    with pytest.raises(SettingError, match=r"unknown rule 'C71'. .*Known: C01, .*C22"):
        find_rule("C71")


def test_the_decorator_refuses_a_rule_without_code_kinds_or_assumption(monkeypatch):
    monkeypatch.setattr(contract, "REGISTRY", dict(load_rules()))
    with pytest.raises(ContractError, match="needs a code such as C07"):
        rule("X1", "t", ("cause",), "a")(lambda e, on: None)
    with pytest.raises(ContractError, match=r"is for the kinds \['rat'\]"):
        rule("C88", "t", ("rat",), "a")(lambda e, on: None)
    with pytest.raises(ContractError, match="two rules have the code C07"):
        rule("C07", "t", ("cause",), "a")(lambda e, on: None)
