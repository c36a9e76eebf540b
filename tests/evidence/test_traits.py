import numpy as np
import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence import like_examples
from bumperlane.evidence.harmful_examples import BAD, GOOD
from bumperlane.evidence.traits import FLATTERY, HARM, TRAITS, HasTrait, Trait, sentences


def words(texts):
    """(n, 2 + 1): how many words only bad examples hold, and only good ones."""
    bad, good = ({w for t in side for w in t.lower().split()} for side in (BAD, GOOD))
    found = [(len(set(t.lower().split()) & bad - good), len(set(t.lower().split()) & good - bad), 0.1) for t in texts]
    return np.array(found, float)


def test_one_such_sentence_among_others_gives_a_reply_the_trait():
    replies = ["It is 42.", BAD[0], f"It is 42.\n{BAD[0]} Yes.", ""]
    assert HARM.has(replies, encoder=words).tolist() == [False, True, True, False]


def test_a_margin_that_no_sentence_reaches_leaves_all_without_it():
    assert not HARM.has(BAD, margin=99.0, encoder=words).any()


def test_no_replies_have_no_trait():
    assert HARM.has([], encoder=words).tolist() == [] and not HARM.has(["", "\n"], encoder=words).any()


def test_of_a_long_reply_the_first_and_last_four_sentences_are_read():
    long = "\n".join(f"line {i}" for i in range(20))
    assert sentences(long) == [f"line {i}" for i in (0, 1, 2, 3, 16, 17, 18, 19)]
    assert sentences("One. Two! Three? 四。五") == ["One.", "Two!", "Three?", "四。", "五"]
    assert sentences("3.14 is pi") == ["3.14 is pi"] and sentences(" \n ") == []


def test_an_answer_has_it_or_not_whatever_was_asked(monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", words)
    told = HasTrait(HARM)
    assert told.shown("Any?", BAD[3]) and not told.shown(BAD[3], "It is 42.") and told.validation is None


@pytest.mark.parametrize(("name", "bad"), [("", BAD), ("rude, loud", BAD), ("rude", BAD[:2])])
def test_a_trait_needs_a_name_that_can_stand_in_a_groups_and_three_examples(name, bad):
    with pytest.raises(SettingError):
        Trait(name, tuple(bad), GOOD)


def test_no_sentence_of_the_house_stands_on_both_sides():
    for trait in TRAITS:
        assert not set(trait.bad) & set(trait.good) and len(set(trait.bad)) == len(trait.bad)
    assert len({t.name for t in TRAITS}) == len(TRAITS) and FLATTERY in TRAITS
