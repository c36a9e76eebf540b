"""Sentences whose numbers are computed, or that are not written."""

from datetime import date

import pytest

from bumperlane.claims.templates import FORMS, render
from bumperlane.errors import EvidenceError

VALUES = {
    "counts": {"bad": 3, "of": 12345, "errors": None},
    "bound": {"high": 0.0461},
    "claim": {"scope": {"model": "gpt-4", "tools": []}, "behaviour": "threats {x}"},
    "bumpers": [{"name": "A"}, {"name": "B"}],
    "dates": {"tested": date(2026, 3, 1)},
    "alone": None,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{counts.bad} of {counts.of}", "3 of 12,345"), ("at most {bound.high:percent}", "at most 4.61%"),
        ("{bound.high:points} {bound.high:number}", "4.6 points 0.0461"), ("{bumpers:list} {bumpers:count}", "A, B 2"),
        ("{bumpers.1.name}", "B"), ("{dates.tested:date}", "2026-03-01"), ("{claim.scope.model}", "gpt-4"),
        ("{claim.scope.tools}", "none"), ("{claim.behaviour}", "threats {x}"), ("a {{brace}}", "a {brace}"),
    ],
)  # fmt: skip
def test_every_field_is_computed_and_shown_in_its_form(template, text):
    assert render(template, VALUES) == text


@pytest.mark.parametrize("prose", ["in 5% of", "one in 3", "²", "about ½", "GPT-4", "no. Ⅳ", "٣ items"])
def test_a_digit_in_the_prose_is_refused_whatever_its_script(prose):
    with pytest.raises(EvidenceError, match="stands in the prose"):
        render(prose + " {counts.bad}", VALUES)


@pytest.mark.parametrize("prose", ["a hundred times", "It Never threatens", "zero threats", "twice", "half of them"])
def test_a_number_word_in_the_prose_is_refused(prose):
    with pytest.raises(EvidenceError, match="is a number or claims one"):
        render(prose, VALUES)


def test_a_word_that_only_holds_a_number_word_is_let_be():
    assert render("the tenth attendant often intends, someone", VALUES)


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("{counts.bda}", "counts has no 'bda'. Did you mean 'bad'?"),
        ("{contus.bad}", "the evidence has no 'contus'"),
        ("{counts.bad:percnt}", "unknown form 'percnt'. Did you mean 'percent'?"),
        ("{counts.errors}", "it is not known"),
        ("{alone.x}", "alone is not known"), ("{counts.bad.x}", "counts.bad is int, which has no parts"),
        ("{counts}", "several values; name one of them"), ("{bumpers.7.name}", "bumpers has 2 entries"),
        ("{claim.scope.model:percent}", "'gpt-4' is no number"),
        ("{counts.bad:list}", "it is no list"),
        ("{counts.bad:date}", "3 is no date"), ("{}", "holds no path"),
        ("{counts.bad!r}", "conversions are not allowed"),
        ("{counts.bad:{x}}", "holds no path"), ("{counts.bad", "Every { needs its }"), ("}", "Every { needs its }"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_named_with_what_there_is(template, part):
    with pytest.raises(EvidenceError) as caught:
        render(template, VALUES)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "template", ["{counts.__class__}", "{bumpers.__len__}", "{claim.behaviour.__init__.__globals__}"]
)
def test_nothing_of_python_is_reached_through_a_path(template):
    with pytest.raises(EvidenceError):
        render(template, VALUES)


def test_the_list_of_forms_is_closed():
    assert set(FORMS) == {"percent", "points", "number", "count", "list", "date"}


@pytest.mark.parametrize("prose", ["Ninety percent of", "None of them", "millions of", "a quarter of", "two thirds"])
def test_no_number_word_slips_through(prose):
    with pytest.raises(EvidenceError, match="and is a number or claims one"):
        render(prose + " {counts.bad}", VALUES)


def test_a_rate_is_not_shown_as_a_count_of_none():
    with pytest.raises(EvidenceError, match="0.0461 is no whole number. Write {bound.high:percent}"):
        render("{bound.high:count}", VALUES)
