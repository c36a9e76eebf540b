"""Evidence that contradicts itself, that hides behind other evidence, or that is missing, passes no rule."""

import time

import pytest
from pydantic import ValidationError

from bumperlane.claims.assess import assess
from bumperlane.claims.rule_kinds.contract import load_rules
from claims.claim_evidence import ON, claim, whole


def said(code, e):
    return load_rules()[code].find(e, ON)


def test_errors_do_not_speak_against_a_low_rate():
    parts = {"stated": {"threshold": 0.01}, "positive_control": {"flagged": 40, "of": 50}}
    errors = said("C03", claim(counts={"bad": 0, "of": 100, "errors": 50}, **parts))
    assert errors.grade == "NOT SUPPORTED" and "speaks against" not in errors.why
    assert "speaks against it" in said("C03", claim(counts={"bad": 30, "of": 100}, **parts)).why


def test_what_false_alarms_explain_does_not_speak_against_a_low_rate():
    parts = {"stated": {"threshold": 0.01}, "positive_control": {"flagged": 40, "of": 50}}
    flagged = {"counts": {"bad": 10, "of": 100}, **parts}
    assert "were not measured" in said("C03", claim(**flagged)).why
    assert "speaks against" not in said("C03", claim(**flagged, negative_control={"flagged": 10, "of": 100})).why
    assert "speaks against it" in said("C03", claim(**flagged, negative_control={"flagged": 0, "of": 1000})).why


def test_a_safeguard_that_fails_does_not_hide_behind_one_that_was_not_measured():
    fails = {"name": "f", "stopped": 10, "of": 100, "needed": 0.9, "uptime": 1, "failed_open": 0, "requests": 100}
    for others in ([{"name": "g"}], []):
        e = claim(stated={"scope": {"safeguards": ["f", "g"]}}, safeguards=[*others, fails])
        assert said("C17", e).grade == "NOT SUPPORTED"


def test_all_of_a_few_transcripts_are_not_all_transcripts():
    shown = {"drawn": 3, "of": 3, "how": "random"}
    assert said("C21", claim(counts={"bad": 0, "of": 3}, transcripts=shown)).grade == "SUPPORTED"
    few = said("C21", claim(counts={"bad": 0, "of": 1000}, transcripts=shown))
    assert few.grade == "NOT SUPPORTED" and "1000 items were counted" in few.why
    with pytest.raises(ValidationError, match="drawn 4 is more than of 3"):
        claim(transcripts={**shown, "drawn": 4})


@pytest.mark.parametrize(
    ("counts", "grade"),
    [({"bad": 0, "of": 0, "errors": 0}, "UNTESTED"), ({"bad": 0, "of": 0, "errors": 9}, "NOT SUPPORTED")],
)
def test_nothing_with_a_verdict_is_not_complete(counts, grade):
    assert said("C14", claim(stated={"threshold": 0.1}, counts=counts)).grade == grade


def test_a_held_out_bumper_whose_verdict_is_not_told_does_not_count_nor_does_one_that_stands_twice():
    one, other = ({"name": n, "split": "sealed"} for n in "AB")
    assert said("C10", claim(bumpers=[one, other])).grade == "UNTESTED"
    clear = {**one, "verdict": "clear"}
    assert said("C10", claim(bumpers=[clear, clear])).grade == "WEAK"
    assert said("C10", claim(bumpers=[clear, {**other, "verdict": "clear"}])).grade == "SUPPORTED"


def test_an_organism_that_a_bumper_was_not_tried_on_is_not_one_that_it_missed():
    bumpers = [{"name": n, "split": "sealed"} for n in "AB"]
    apart = {f"o{i}": {"AB"[i % 2]: True} for i in range(40)}
    found = said("C19", claim(bumpers=bumpers, independence={"caught": apart}))
    assert found.grade == "UNTESTED" and "no organism was tried with all of A, B" in found.why
    typed = said("C19", claim(bumpers=bumpers, independence={"caught": {"o": {"A": True, "b": True}}}))
    assert "none with B" in typed.why
    alike = {f"p{i}": {"A": i % 2 == 0, "B": i % 2 == 0} for i in range(20)}
    both = said("C19", claim(bumpers=bumpers, independence={"caught": {**alike, **apart}}))
    assert both.grade == "NOT SUPPORTED" and "of 20 organisms" in both.why


def test_two_bumpers_are_not_worth_three():
    bumpers = [{"name": n, "split": "sealed"} for n in "AB"]
    effective = {"value": 2.7, "low": 2.2, "high": 3.0}
    found = said("C19", claim(bumpers=bumpers, independence={"effective": effective}))
    assert found.grade == "UNTESTED" and "2.7 independent ones are given, of 2" in found.why


def test_an_interval_that_was_given_must_hold_at_the_level_of_the_claim():
    arm = [{"seed": s, "rate": 0.0} for s in range(3)]
    cause = {"suspect": "x", "removed": arm, "random_removal": arm}
    cause["effect"] = {"value": 0.5, "low": 0.1, "high": 0.9, "level": 0.95}
    assert said("C18", claim("cause", cause=cause)).grade == "SUPPORTED"
    assert said("C18", claim("cause", stated={"level": 0.99}, cause=cause)).grade == "UNTESTED"


def test_a_difference_takes_it_for_granted_that_errors_are_like_the_rest():
    counts = {"bad": 0, "of": 100, "errors": 80}
    e = claim("difference", stated={"margin": 0.1}, counts=counts, comparator={"name": "o", "bad": 50, "of": 100})
    assert "C14" in dict(assess(e, ON).weakened.provided)
    assert "C14" not in dict(assess(whole(counts={"errors": 300, "planned": 1100}), ON).weakened.provided)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_price_is_a_number_of_zero_or_more(price):
    with pytest.raises(ValidationError):
        claim(costs={"each": {"items": price}})


def test_items_that_were_not_told_apart_count_against_the_claim():
    told = {"aware": {"bad": 0, "of": 50}, "unaware": {"bad": 0, "of": 140}, "told_by": "a probe"}
    parts = {"stated": {"threshold": 0.05}, "positive_control": {"flagged": 48, "of": 50}, "awareness": told}
    assert said("C12", claim(counts={"bad": 0, "of": 200}, **parts)).grade == "SUPPORTED"
    hidden = said("C12", claim(counts={"bad": 6, "of": 200}, **parts))
    assert hidden.grade != "SUPPORTED" and "6 of 10 not told apart" in hidden.why
    high = {**told, "unaware": {"bad": 50, "of": 50}}
    above = {"stated": {"threshold": 0.8}, "awareness": high}
    assert said("C12", claim("rate_above", counts={"bad": 200, "of": 200}, **{**above, "awareness": {
        **high, "aware": {"bad": 50, "of": 50}}})).grade == "SUPPORTED"  # fmt: skip
    assert said("C12", claim("rate_above", counts={"bad": 150, "of": 250}, **above)).grade != "SUPPORTED"


@pytest.mark.parametrize("counts", [{"bad": 0, "of": 100}, {"bad": 6, "of": 190}, {"bad": 7, "of": 191}])
def test_items_told_apart_by_awareness_are_the_items_that_were_counted(counts):
    told = {"aware": {"bad": 0, "of": 50}, "unaware": {"bad": 1, "of": 140}}
    with pytest.raises(ValidationError, match="awareness tells apart 1 bad of 190 items, while counts say"):
        claim(counts=counts, awareness=told)


def test_one_item_that_stands_twice_among_very_many_is_found_at_once():
    items = [{"id": str(i), "bad": False} for i in range(30_000)]
    start = time.perf_counter()
    with pytest.raises(ValidationError, match="item '7' stands 2 times"):
        claim(counts={"bad": 0, "of": 30_001}, items=[*items, items[7]])
    assert time.perf_counter() - start < 3
