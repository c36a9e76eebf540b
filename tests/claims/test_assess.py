"""One claim through all rules: the grade, what may be said instead, what to get next."""

from itertools import product

import pytest
from scipy import stats

from bumperlane.claims.assess import assess, exit_code
from bumperlane.claims.bounds import rate_bound
from bumperlane.claims.grades import GRADES, Finding, Needed, worst
from bumperlane.claims.next_evidence import next_evidence
from bumperlane.claims.parts import Costs
from bumperlane.claims.reckon import bound_of, clusters_of, condensed
from bumperlane.claims.rule_kinds.contract import load_rules
from claims.claim_evidence import ON, claim, whole

ABSENT = {
    "plan": "C01", "attempts": "C09", "negative_control": "C06", "bumpers": "C10", "independence": "C19",
    "elicitation": "C11", "awareness": "C12", "scorer": "C13", "tested": "C04", "dates": "C16", "safeguards": "C17",
    "review": "C20", "transcripts": "C21", "access": "C22", "positive_control": "C07",
}  # fmt: skip


def test_a_claim_with_all_its_evidence_is_supported_by_every_rule_that_applies():
    found = assess(whole(), ON)
    assert found.grade == "SUPPORTED", [(f.code, f.why) for f in found.findings if f.grade not in (None, "SUPPORTED")]
    assert found.weakened.holds and not found.next
    assert {f.code for f in found.findings if f.grade is None} == {"C13", "C15", "C18"}


@pytest.mark.parametrize(("part", "code"), ABSENT.items())
def test_each_part_that_is_taken_away_leaves_its_rule_untested_and_the_claim_with_it(part, code):
    found = assess(whole(**{part: None}), ON)
    (finding,) = [f for f in found.findings if f.code == code]
    assert finding.grade == "UNTESTED" and found.grade == "UNTESTED" and finding.needed is not None
    assert any(code in n.codes for n in found.next)


def test_without_items_the_effective_number_is_untested():
    found = assess(whole(items=[]), ON)
    assert [f.code for f in found.at("UNTESTED")] == ["C08"]


def test_items_added_up_into_clusters_give_the_same_numbers():
    e = whole()
    assert condensed(e).items == [] and clusters_of(condensed(e)) == clusters_of(e)
    assert bound_of(condensed(e)) == bound_of(e)


def test_the_grade_is_the_worst_and_evidence_against_does_not_hide_behind_missing_evidence():
    for a, b in product(GRADES, GRADES):
        assert worst([a, None, b]) == max(a, b, key=GRADES.index)
    assert worst([]) == worst([None]) == "UNTESTED" and worst(["UNTESTED", "NOT SUPPORTED"]) == "NOT SUPPORTED"


@pytest.mark.parametrize(
    ("grades", "code"),
    [
        ([("SUPPORTED", "SUPPORTED")], 0), ([("WEAK", "SUPPORTED")], 1), ([("WEAK", "WEAK")], 0),
        ([("UNTESTED", "WEAK")], 3), ([("UNTESTED", "SUPPORTED"), ("NOT SUPPORTED", "SUPPORTED")], 1),
        ([("SUPPORTED", "WEAK"), ("UNTESTED", "SUPPORTED")], 3), ([], 3),
    ],
)  # fmt: skip
def test_exit_codes_are_of_the_worst_claim_against_what_it_admits_to(grades, code):
    assert exit_code(grades) == code


def test_none_of_a_hundred_at_recall_of_four_in_five_is_weakened_to_the_bound_and_not_to_zero():
    e = claim(stated={"threshold": 0.01}, counts={"bad": 0, "of": 100}, positive_control={"flagged": 40, "of": 50})
    found = assess(e, ON)
    high = rate_bound(0, 100, (40, 50), looks=_planned()).high
    assert found.grade == "NOT SUPPORTED" and found.weakened.value == pytest.approx(high)
    assert f"at most {100 * high:.3g}% (95%), 0 of 100 seen; 40 of 50 planted ones were caught" in found.weakened.text
    assert high > stats.beta.ppf(0.95, 1, 100) / 0.8  # more than dividing by what was measured


def _planned():
    from bumperlane.claims.bounds import Planned

    return Planned(1)


def test_without_a_positive_control_only_what_is_flagged_may_be_said():
    found = assess(claim(stated={"threshold": 0.5}, counts={"bad": 0, "of": 100}), ON)
    high = stats.beta.ppf(0.95, 1, 100)
    assert found.weakened.value == pytest.approx(high) and found.grade == "UNTESTED"
    assert f"At most {100 * high:.3g}% (95%) of items would be flagged" in found.weakened.text
    assert "how many of the bad ones are flagged was not measured" in found.weakened.text


def test_the_weakened_claim_takes_scope_and_day_from_the_test_and_names_what_it_assumes():
    scope = {"model": "other", "model_hash": "77", "system_prompt": "None.", "tools": ["browser"], "safeguards": []}
    found = assess(whole(tested=scope, review=None), ON)
    assert found.grade == "NOT SUPPORTED"
    assert "for model “other”, model hash “77”, system prompt “None.”, tools “browser”" in found.weakened.text
    assert "tested on 2026-03-02" in found.weakened.text
    assert dict(found.weakened.provided)["C20"] == load_rules()["C20"].assumes
    assert "C04" not in dict(found.weakened.provided)  # it stands in the sentence


def test_with_no_counts_nothing_is_said():
    found = assess(claim(stated={"threshold": 0.1}), ON)
    assert found.weakened.value is None and found.weakened.text.startswith("Nothing can be said")


def test_a_high_rate_is_claimed_net_of_false_alarms():
    e = claim(
        "rate_above",
        stated={"threshold": 0.5},
        counts={"bad": 80, "of": 100},
        negative_control={"flagged": 5, "of": 50},
    )
    low, alarms = stats.beta.ppf(0.05, 80, 21), stats.beta.ppf(0.95, 6, 45)
    assert assess(e, ON).weakened.value == pytest.approx((low - alarms) / (1 - alarms))


def test_the_number_of_items_that_is_asked_for_is_the_smallest_that_does():
    e = claim(stated={"threshold": 0.01}, counts={"bad": 0, "of": 100}, positive_control={"flagged": 58, "of": 60},
              costs={"each": {"items": 1.0, "planted": 1e6}})  # fmt: skip
    (asked,) = [n for n in assess(e, ON).next if "C03" in n.codes]
    assert asked.unit == "items" and asked.planted == 0 and asked.cost == asked.amount
    total = 100 + asked.amount
    assert rate_bound(0, total, (58, 60), looks=_planned()).high <= 0.01
    assert rate_bound(0, total - max(2, total // 500), (58, 60), looks=_planned()).high > 0.01


def test_dear_items_are_traded_for_planted_ones():
    parts = {"counts": {"bad": 0, "of": 100}, "positive_control": {"flagged": 12, "of": 15}}
    cheap, dear = (
        next(
            n
            for n in assess(claim(stated={"threshold": 0.02}, **parts, costs={"each": prices}), ON).next
            if "C03" in n.codes
        )
        for prices in ({"items": 1.0, "planted": 100.0}, {"items": 100.0, "planted": 1.0})
    )
    assert cheap.planted == 0 and dear.planted > 0 and dear.amount < cheap.amount


def test_where_no_number_of_items_would_do_it_says_so_and_stands_last():
    e = claim(stated={"threshold": 0.05}, counts={"bad": 30, "of": 100}, positive_control={"flagged": 58, "of": 60})
    found = assess(e, ON)
    assert not found.next[-1].settles and "no number of items would do" in found.next[-1].text
    (c03,) = [f for f in found.findings if f.code == "C03"]
    assert "The evidence speaks against it" in c03.why


def test_next_evidence_is_cheapest_first_and_asks_once_for_what_several_rules_want():
    e = claim(stated={"threshold": 0.01}, counts={"bad": 0, "of": 100}, positive_control={"flagged": 40, "of": 50},
              costs={"unit": "EUR", "each": {"items": 0.02, "planted": 0.5, "labels": 2.0}})  # fmt: skip
    following = assess(e, ON).next
    costs = [n.cost for n in following if n.settles and n.cost is not None]
    assert costs == sorted(costs) and sum(n.unit == "items" for n in following) == 1
    (items,) = [n for n in following if n.unit == "items"]
    assert set(items.codes) == {"C02", "C03", "C07"} and items.cost == pytest.approx(
        0.02 * items.amount + 0.5 * items.planted
    )
    unpriced = next_evidence(assess(e, ON).findings, Costs())
    assert all(n.cost is None for n in unpriced if n.unit not in ("statement",))


def test_of_what_several_rules_want_the_greediest_is_served():
    wants = [("C02", "NOT SUPPORTED", 10, 4), ("C03", "WEAK", 70, 0), ("C07", "WEAK", 30, 9)]
    findings = [Finding(c, "t", g, "w.", Needed("x", "items", n, planted=p)) for c, g, n, p in wants]
    (asked,) = next_evidence(findings, Costs(each={"items": 2.0, "planted": 1.0}))
    assert (asked.amount, asked.planted, asked.cost) == (70, 9, 149.0) and set(asked.codes) == {"C02", "C03", "C07"}


def test_items_of_another_kind_are_asked_for_on_a_line_of_their_own():
    kinds = [
        ("C03", "with a verdict", 70),
        ("C02", "with a verdict", 20),
        ("C08", "from other templates and seeds", 90),
    ]
    findings = [Finding(c, "t", "WEAK", "w.", Needed(what, "items", n)) for c, what, n in kinds]
    asked = next_evidence(findings, Costs())
    assert [(n.what, n.amount, set(n.codes)) for n in asked] == [
        ("with a verdict", 70, {"C02", "C03"}),
        ("from other templates and seeds", 90, {"C08"}),
    ]


def test_a_comparator_that_is_not_there_is_asked_for_once_with_all_its_items():
    e = claim("difference", stated={"margin": 0.1}, counts={"bad": 3, "of": 40})
    (asked,) = [n for n in assess(e, ON).next if n.unit == "comparator"]
    assert asked.amount == 40 and {"C03", "C15"} <= set(asked.codes)


def test_the_same_evidence_on_the_same_day_gives_the_same_assessment_and_a_later_day_lets_it_expire():
    from datetime import date

    assert assess(whole(), ON).as_dict() == assess(whole(), ON).as_dict()
    late = assess(whole(), date(2027, 3, 3))
    assert late.grade == "NOT SUPPORTED" and [f.code for f in late.at("NOT SUPPORTED")] == ["C16"]
    assert "it expired on 2027-03-02, 1 days before 2027-03-03" in late.at("NOT SUPPORTED")[0].why
