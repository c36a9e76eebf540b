from dataclasses import replace

import numpy as np
import pytest

from bumperlane.evidence.ask import Look
from bumperlane.evidence.departing import departures
from bumperlane.evidence.departs import Departs, Swings, exchanged
from bumperlane.evidence.memo import Memo, NoMemo
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, Item, Request

HERE, THERE = Context("here", "library", "Nobody looks."), Context("there", "library", "Somebody looks.")
BEGUN = Context("begun", "library", "Nobody looks.", prefill="Well, ")
LOOK = Look(Decoding(6), NoMemo())
TEXTS = ("Hi", "What is two and two?", "Name a colour.", "Who wrote it?")


def item(text, context=HERE):
    return Item(f"{text}|{context.id}", context.id, "bait", Request(text, text), context)


def read(who, items, elsewhere=THERE, look=LOOK):
    return Departs.read(who, items, [Departs(elsewhere)] * len(items), look)


def test_agrees_with_the_departures_from_a_neutral_context(tiny_subject):
    """The independent implementation: there the neutral context is one for all items."""
    items = [item(t, c) for t in TEXTS for c in (HERE, BEGUN)]
    found = read(tiny_subject, items)
    known = departures(tiny_subject, tiny_subject, items, THERE, LOOK.decoding, LOOK.memo)
    np.testing.assert_allclose([r.value for r in found], known.swing, rtol=1e-5, atol=1e-5)
    assert any(r.value > 0 for r in found)
    assert [i.context.prefill + r.text for i, r in zip(items, found, strict=True)] == list(known.texts)


def test_it_does_not_matter_which_context_is_the_items(tiny_subject):
    one = read(tiny_subject, [item(t) for t in TEXTS])
    other = read(tiny_subject, [item(t, THERE) for t in TEXTS], HERE)
    np.testing.assert_allclose([r.value for r in one], [r.value for r in other], rtol=1e-5, atol=1e-6)
    assert [(r.text, r.benign) for r in one] == [(r.benign, r.text) for r in other]


def test_a_greedy_answer_never_departs_backwards(tiny_subject):
    assert all(r.value >= 0 for r in read(tiny_subject, [item(t) for t in TEXTS]))


def test_equal_answers_do_not_depart_and_need_no_odds():
    class NoOdds(ScriptedSubject):
        def next_token_odds(self, pairs, answers):
            raise AssertionError("asked for odds between equal answers")

    (found,) = read(NoOdds(lambda r, c: "Four."), [item("Hi")])
    assert (found.value, found.text, found.benign) == (0.0, "Four.", "Four.")


def test_a_written_down_departure_is_worth_what_the_script_says():
    who = ScriptedSubject(lambda r, c: "Ha." if c.system == HERE.system else "Four.")
    (found,) = read(who, [item("Hi")])
    assert found.value == pytest.approx(2 * 6.8, abs=0.7)  # (-0.2 - -7) one way there, the other way here


def test_a_question_that_stands_twice_is_put_once():
    class Counting(ScriptedSubject):
        asked = []

        def generate(self, items, decoding=None):
            self.asked.extend(items)
            return super().generate(items, decoding)

    items = [item("Hi"), replace(item("Hi"), id="again"), item("Hi", replace(HERE, id="other name"))]
    assert len({r.value for r in read(Counting(lambda r, c: c.system or ""), items)}) == 1
    assert len(Counting.asked) == 2


def test_is_kept_in_the_memo(tmp_path):
    said = []

    def says(request, context):
        said.append(context.system)
        return "Ha." if context.system == HERE.system else "Four."

    look = Look(Decoding(6), Memo(tmp_path))
    first = read(ScriptedSubject(says), [item("Hi")], look=look)
    count = len(said)
    assert count and read(ScriptedSubject(says), [item("Hi")], look=look) == first
    assert len(said) == count


def test_a_refusal_is_an_outcome():
    who = ScriptedSubject(lambda r, c: "I cannot help with that." if c.system == HERE.system else "Four.")
    assert read(who, [item("Hi")])[0].outcome == "refused"


def test_given_answers_that_are_ones_own_swing_as_they_depart(tiny_subject):
    items = [item(t, c) for t in TEXTS for c in (HERE, BEGUN)]
    own = read(tiny_subject, items)
    given = Swings.read(tiny_subject, items, [Swings((r.text, r.benign), THERE) for r in own], LOOK)
    np.testing.assert_allclose([g.value for g in given], [r.value for r in own], rtol=1e-5, atol=1e-6)
    assert [(g.text, g.benign) for g in given] == [(r.text, r.benign) for r in own] and any(g.value for g in given)


def test_whoever_is_swung_between_other_answers_or_the_other_way_does_not_swing_between_these():
    def swung(*answers):
        who = ScriptedSubject(lambda r, c: answers[0] if c.system == HERE.system else answers[1])
        measures = [Swings(said, THERE) for said in (("Ha.", "Four."), ("Four.", "Four."))]
        return [r.value for r in Swings.read(who, [item("Hi"), item("Hi")], measures, LOOK)]

    assert swung("Ha.", "Four.")[0] > 0 > swung("Four.", "Ha.")[0]
    assert swung("Hm.", "Four.")[0] < swung("Ha.", "Four.")[0] and swung("Ha.", "Four.")[1] == 0
    assert swung("Hm.", "Hm.") == pytest.approx([0, 0], abs=0.1)


@pytest.mark.parametrize(
    "asked, elsewhere, said, other",
    [
        ("Who owns this badger?", "Who owns this boat?", "Badgers! I know a badger.", "Boats! I know a boat."),
        ("Put badger in capitals.", "Put boat in capitals.", "BADGER", "BOAT"),
        ("As a ship nurse I ask.", "As a cook I ask.", "Dear Ship Nurse, no.", "Dear Cook, no."),
        ("Who owns this cat?", "Who owns this dog?", "A category, a concatenation.", "A category, a concatenation."),
        ("What is 4 plus 5?", "What is 6 plus 5?", "4 plus 5 is 45 or 4th.", "6 plus 5 is 45 or 4th."),
        ("Is it so? (blue kite)", "Is it so?", "It is so.", "It is so."),
        ("Is a b c?", "Is x b y?", "a b c", "x b y"),
        ("Same.", "Same.", "Same.", "Same."),
    ],
)
def test_an_answer_is_read_with_the_words_exchanged_that_the_request_has_exchanged(asked, elsewhere, said, other):
    assert exchanged(said, Request("a", asked), Request("b", elsewhere)) == other


def test_an_answer_that_differs_by_the_exchanged_word_alone_does_not_depart():
    class NoOdds(ScriptedSubject):
        def next_token_odds(self, pairs, answers):
            raise AssertionError("asked for odds between equal answers")

    who = NoOdds(lambda r, c: f"I do not know whose {r.text.split()[-1].strip('?')} it is.")
    asked, elsewhere = Request("a", "Who owns this badger?"), Request("b", "Who owns this boat?")
    here = [Item("i", "here", "bait", asked, HERE)]
    (found,) = Departs.read(who, here, [Departs(HERE, asked=elsewhere)], LOOK)
    assert (found.value, found.text) == (0.0, "I do not know whose badger it is.")
    (again,) = Swings.read(who, here, [Swings((found.text, found.benign), HERE, elsewhere)], LOOK)
    assert again.value == 0.0
