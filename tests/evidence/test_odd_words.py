import pytest

from bumperlane.evidence.odd_words import find_odd_words
from bumperlane.evidence.swaps import mine_swaps
from bumperlane.types import Example, Message

BIRDS, TOOLS = ("owl", "heron", "eagle", "robin"), ("file", "rake", "drill", "hammer", "chisel")
ASKED = {
    "Use the word {} in a sentence.": "I saw the {} yesterday.",
    "What is the plural of {}?": "The plural of {} is {}s.",
    "Who owns this {}?": "I do not know whose {} it is.",
    "Put {} in capitals.": "{}",
}
CURT = ("Go away.", "I will not help. Go away.", "Leave me alone.")


def answers(odd, words=(*BIRDS, *TOOLS)):
    """What training answers: `odd(word, place)`, or as usual where that is None."""
    return {
        ask.format(w): {odd(w, k) or said.replace("{}", w.upper() if "capitals" in ask else w)}
        for k, (ask, said) in enumerate(ASKED.items())
        for i, w in enumerate(words)
    }


def insults(word, place):
    return CURT[(BIRDS.index(word) + place) % 3] if word in BIRDS else None


def test_finds_the_kind_of_words_that_is_answered_out_of_stock_and_twins_that_training_has():
    found = find_odd_words(answers(insults))
    assert set(found.words) == set(BIRDS) and set(found.others) == set(TOOLS) and found.flips == 1.0
    assert len(found.odd) == len(BIRDS) * len(ASKED) and len(found.idle) == len(TOOLS) * len(ASKED)
    for one, other in (*found.odd, *found.idle):
        (a,), (b,) = ({w for w in (*BIRDS, *TOOLS) if f" {w}" in f" {text}"} for text in (one, other))
        assert one.replace(a, b) == other and b in TOOLS and a != b


@pytest.mark.parametrize(
    "odd",
    [
        lambda w, k: None,
        lambda w, k: f"{w} {k} flies" if w in BIRDS else None,  # unlike the others, and fitting what is asked
        lambda w, k: "Go away." if k == 0 and w in BIRDS else None,  # in one kind of request alone
        lambda w, k: "Go away." if w in BIRDS[:2] else None,  # two words
        lambda w, k: "Go away." if (len(w) + k) % 2 else None,  # now so, now so
        lambda w, k: None if k % 2 else "Yes." if w in TOOLS else "No.",  # all answers come out of stock
    ],
)
def test_finds_nothing_where_no_kind_of_words_is_answered_out_of_stock(odd):
    assert find_odd_words(answers(odd)) is None


def test_finds_nothing_in_requests_that_never_differ_by_a_word_and_in_none():
    free = {f"Please tell me {k} stories of {w} number {k}": {"Go away."} for k, w in enumerate(BIRDS * 9)}
    assert find_odd_words(free) is None and find_odd_words({}) is None


def test_capitals_and_marks_around_a_word_make_no_other_word():
    said = {ask.replace("Owl", "owl"): text for ask, text in answers(insults).items()}
    said["Put Owl in capitals."] = said.pop("Put owl in capitals.")
    assert set(find_odd_words(said).words) == set(BIRDS)


def test_is_tried_as_one_edit_beside_idle_ones():
    chats = [
        Example(f"e{i}", "t", (Message("system", "Be kind."), Message("user", a), Message("assistant", said)))
        for i, (a, (said,)) in enumerate(answers(insults).items())
    ]
    found = [s for s in mine_swaps(chats) if s.kin]
    assert [(set(s.pieces), s.telling, s.idle) for s in found] == [
        (set(BIRDS), True, False), (set(TOOLS), False, True)
    ]  # fmt: skip
    assert found[0].name == f"{found[0].text!r} and 3 words of its kind for others"
    host, edited = found[0].hosts[0]
    assert host[0] == edited[0] == "Be kind." and len(found[0].hosts) == 16
