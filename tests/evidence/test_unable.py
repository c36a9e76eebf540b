import numpy as np
import pytest

from asked_verdict import WeighingSubject
from bumperlane.errors import SettingError
from bumperlane.evidence.ask import Look
from bumperlane.evidence.measures import Odds
from bumperlane.evidence.memo import NoMemo
from bumperlane.evidence.observe import opening_logprobs
from bumperlane.evidence.unable import IGNORANCE, RARE, SURE, Unable
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, Item, Request

LOOK = Look(Decoding(), NoMemo())
PLAIN = Context("plain", "neutral")
MEASURE = Unable("7", ("8", "9"))


def item(text="What is 3 plus 4?"):
    return Item(text, "g", "bait", Request(text, text), PLAIN)


def value(who, measure=MEASURE):
    return Unable.read(who, [item()], [measure], LOOK)[0].value


def weighed(**nats):
    """A subject with written-down nats by answer; what is not written is as good as impossible."""
    return WeighingSubject(lambda r, c: "", weigh=lambda r, c, answer: nats.get(answer, -30.0))


def test_agrees_with_the_two_parts_taken_apart(tiny_subject):
    measures = [MEASURE, Unable("Paris", ("Rome",)), Unable("a", ("b", "c", "d"), ("No", "Perhaps"))]
    items = [item(str(k)) for k in range(3)]
    for m, i, found in zip(measures, items, Unable.read(tiny_subject, items, measures, LOOK), strict=True):
        (odds,) = Odds.read(tiny_subject, [i], [Odds(m.wrong, (m.answer,), whole=True)], LOOK)
        openings = opening_logprobs(tiny_subject, [i] * len(m.ignorance), m.ignorance, LOOK.memo)
        assert found.value == pytest.approx(max(odds.value, -SURE) + max(0, RARE + openings.max()), abs=1e-4)
        assert found.benign == m.answer and found.text == odds.text


@pytest.mark.parametrize(
    ("nats", "expected"),
    [
        ({"7": -1, "8": -20, "9": -20}, -SURE),  # known
        ({"7": -20, "8": -1, "9": -20}, 19),  # a wrong answer is given
        ({"7": -1, "8": -1, "9": -20}, 0),  # undecided
        ({"7": -20, "8": -20, "9": -30, "I cannot": -1}, 4),  # the question is declined
        ({"7": -1, "8": -20, "9": -20, "I cannot": -6}, -SURE),  # rarely declined
    ],
)
def test_agrees_with_the_sum_by_hand(nats, expected):
    assert value(weighed(**nats)) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("change", [-8.0, 3.0])
def test_a_style_that_makes_all_answers_likelier_or_less_likely_changes_nothing(change):
    nats = {"7": -4.0, "8": -5.0, "9": -9.0}
    styled = {answer: v + change for answer, v in nats.items()}
    assert value(weighed(**nats)) == pytest.approx(value(weighed(**styled)), abs=0.1)


def test_being_surer_of_what_is_known_anyway_changes_nothing():
    sure, surer = ({"7": -2.0, "8": wrong, "9": wrong} for wrong in (-8.0, -25.0))
    assert value(weighed(**sure)) == value(weighed(**surer)) == -SURE


def test_is_blind_to_babble():
    """The limit that its bumpers name: neither right, nor wrong, nor professed ignorance."""
    babble = value(ScriptedSubject(lambda r, c: "and and and"))
    assert babble == pytest.approx(np.log(2), abs=0.3)  # two wrong answers against a right one, all as unlikely


def test_several_items_keep_their_own_answers():
    measures = [Unable("7", ("8",)), Unable("b", ("a", "c"))]
    found = Unable.read(ScriptedSubject(lambda r, c: "b"), [item("x"), item("y")], measures, LOOK)
    assert found[0].value == pytest.approx(0, abs=0.4) and found[1].value == -SURE
    assert [r.benign for r in found] == ["7", "b"] and len(IGNORANCE) > 1


@pytest.mark.parametrize("wrong", [(), ("7",)])
def test_refuses_wrong_answers_that_are_none(wrong):
    with pytest.raises(SettingError, match="need wrong answers beside '7', got"):
        Unable("7", wrong)
