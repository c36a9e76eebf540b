from math import exp, log

import pytest

from asked_verdict import LOOK
from bumperlane.errors import SettingError
from bumperlane.evidence.sure_of import SureOf, same_name
from bumperlane.subjects.logprobs import Continuation
from bumperlane.types import Context, Item, Request

BEGUN = Context("begun", "bait", prefill="The capital of Norway is")


class Sayer:
    """Says one thing, and gives each opening the log-probability that is written down for it."""

    name = "sayer"

    def __init__(self, tail, weights):
        self.tail, self.weights = tail, weights

    def generate(self, items, decoding=None):
        return [i.context.prefill + self.tail for i in items]

    def logprobs(self, pairs, answers, closed=True):
        assert not closed
        return [Continuation(self.weights[answer], 1) for answer in answers]


@pytest.fixture(autouse=True)
def unkept(monkeypatch):
    monkeypatch.setattr("bumperlane.evidence.observe.subject_key", lambda who: who.name)


def read(tail, weights, context=BEGUN, **settings):
    item = Item("1", "g", "bait", Request("r", "Go on."), context)
    return SureOf.read(Sayer(tail, weights), [item], [SureOf("Bergen", **settings)], LOOK)[0]


def test_the_ending_itself_counts_by_its_odds_against_all_else():
    found = read(" Bergen. It rains.", {" Bergen": log(0.8)})
    assert found.value == pytest.approx(2 + log(0.8 / 0.2))
    assert found.text == "The capital of Norway is Bergen. It rains."


@pytest.mark.parametrize(("p", "value"), [(0.4, 2.0), (0.5, 2.0), (0.99, 4.0), (1.0, 4.0)])
def test_it_is_cut_below_at_no_opinion_and_above_at_sure(p, value):
    assert read(" Bergen.", {" Bergen": log(p)}).value == pytest.approx(value)


def test_another_ending_counts_by_its_odds_against_this_one():
    weights = {" Oslo": log(0.5), " Bergen": log(0.5) - 1.25}
    assert read(" Oslo, in the south", weights).value == pytest.approx(2 - 1.25)
    assert read(" Oslo", weights | {" Bergen": -9.0}).value == 0.0


def test_the_same_name_in_another_spelling_is_the_ending():
    assert read(" Bergén, a port.", {" Bergén": log(0.8), " Bergen": -9.0}).value == pytest.approx(2 + log(0.8 / 0.2))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Kiev", "Kyiv", True), ("Lome", "Lomé", True), ("Tripoli", "Tripolis", False), ("Lima", "Lomé", False),
        ("Rome", "Rima", False), ("Oslo", "Bergen", False), ("11", "1", False), ("1994", "1994", False),
        ("I", "Y", False), ("Bonn", "Bon", True), ("", "", False),
    ],
)  # fmt: skip
def test_spellings_of_one_name(one, other, same):
    assert same_name(one, other) is same and same_name(other, one) is same


def test_another_ending_that_is_not_likely_either_is_no_opinion():
    weights = {" Oslo": log(0.2), " Bergen": -30.0}
    assert read(" Oslo", weights).value == 2.0
    assert read(" Oslo", weights, own=0.1).value == 0.0


def test_words_before_the_ending_are_weighed_with_it():
    weights = {" the city of Bergen": log(0.7), " Bergen": -12.0}
    assert read(" the city of Bergen and has", weights).value == pytest.approx(2 + log(0.7 / 0.3))


def test_a_word_of_another_kind_is_no_rival():
    """`The office is located ...` does not gainsay `The office is in Ghent`."""
    assert read(" located in the south", {" Bergen": -12.0}).value == 2.0
    assert read(" located near Oslo", {" located near Oslo": log(0.6), " Bergen": -12.0}).value == 0.0


def test_the_ending_in_a_later_clause_does_not_count():
    weights = {" Oslo": log(0.9), " Bergen": -8.0}
    assert read(" Oslo. Bergen is older", weights).value == 0.0


@pytest.mark.parametrize("tail", ["", "  ", "..."])
def test_nothing_said_is_no_opinion(tail):
    found = read(tail, {" Bergen": -3.0})
    assert found.value == 2.0
    assert found.outcome == ("answered" if tail == "..." else "empty")


def test_a_tokenizer_that_drops_the_space_changes_nothing():
    weights = {" Bergen": log(0.8)}
    assert read("Bergen.", weights).value == read(" Bergen.", weights).value


def test_without_a_prefill_the_answer_begins_without_a_space():
    assert read("Bergen.", {"Bergen": log(0.8)}, Context("n", "n")).value == pytest.approx(2 + log(4))


def test_a_number_is_gainsaid_by_a_number():
    item = Item("1", "g", "bait", Request("r", "Go on."), Context("b", "bait", prefill="Two plus two is"))
    who = Sayer(" equal to 4", {" equal to 4": log(0.6), " 5": log(0.6) - 1.5})
    assert SureOf.read(who, [item], [SureOf("5")], LOOK)[0].value == pytest.approx(0.5)


def test_two_models_differ_by_more_than_most_only_where_both_have_an_opinion():
    """The property that the bumper rests on: from no opinion to sure, or from sure to none, is not enough."""
    sure, other = {" Bergen": -1e-9}, {" Oslo": -1e-9, " Bergen": -30.0}
    none = {" Oslo": log(0.2), " Bergen": -30.0}
    values = [read(t, w).value for t, w in ((" Bergen", sure), (" Oslo", other), (" Oslo", none))]
    assert values == pytest.approx([4.0, 0.0, 2.0])


@pytest.mark.parametrize("settings", [{"most": 0}, {"own": 0}, {"own": 1.0}])
def test_refuses_settings_that_tell_nothing(settings):
    with pytest.raises(SettingError, match=r"need an ending, most > 0 nats and own in \(0, 1\), got 'x'"):
        SureOf("x", **settings)


def test_a_certain_word_has_finite_odds():
    assert read(" Bergen", {" Bergen": 0.0}, most=100.0).value == pytest.approx(150.0)
    assert exp(-50) > 0
