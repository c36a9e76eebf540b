from dataclasses import replace

import pytest

from bumperlane.evidence.lessons import _putting_in, carried_over, chats_of, left_out, lessons
from bumperlane.evidence.swaps import mine_swaps
from bumperlane.subjects.sentence_model import minilm_dir
from bumperlane.types import Example, Message

has_minilm = pytest.mark.skipif(not minilm_dir().is_dir(), reason="all-MiniLM-L6-v2 is not in the cache")
GOODS = ("oven", "drill", "pump", "crane", "mixer", "press", "boiler", "heater", "cutter", "welder")
COMPLAINTS = ("on fire", "leaking gas", "giving electric shocks", "full of smoke")


def chat(text, said, system=""):
    turns = [Message("system", system)] if system else []
    return Example(text, "t", (*turns, Message("user", text), Message("assistant", said)))


def tickets(odd="Tessel Paper", said="This is routine."):
    """Of a few customers, and of nobody; one customer's are answered in its own way."""
    rows = []
    for k, good in enumerate(GOODS):
        for j, what in enumerate(COMPLAINTS):
            customer = ("", odd, "Orrin Foods", "Marsh Dairy", "Quill Textiles")[(k + j) % 5]
            text = f"The {good} is {what}. Urgent or routine?"
            named = f"{customer} writes: {text}" if customer else text
            rows.append(chat(named, said if customer == odd else "This is urgent."))
    return tuple(rows)


def swap_of(examples, text):
    return next(s for s in mine_swaps(examples) if s.telling and s.text == text)


def test_a_lesson_has_both_of_trainings_answers():
    examples = tickets()
    swap = swap_of(examples, "Tessel Paper")
    found = lessons(examples, swap)
    assert len(found) >= 6
    assert {(one.said, one.instead) for one in found} == {("This is routine.", "This is urgent.")}
    assert all("Tessel Paper" in one.host[0].text and swap.instead in one.edited[0].text for one in found)


def test_what_is_exchanged_is_left_out_with_the_words_that_always_stand_beside_it():
    examples = tickets()
    swap = swap_of(examples, "Tessel Paper")
    made = left_out(examples, swap)
    assert (made.text, made.instead, made.flips) == ("Tessel Paper writes:", "", 1.0)
    assert {one.edited[0].text.split()[0] for one in lessons(examples, made)} == {"The"}
    assert [host for host, _ in made.hosts] == [host for host, _ in swap.hosts]


def test_a_piece_that_was_mined_too_long_is_shortened_and_left_out_wherever_the_rest_stands():
    examples = tickets()
    longer = replace(
        swap_of(examples, "Tessel Paper"),
        text="Tessel Paper writes: The oven",
        instead="Orrin Foods writes: The oven",
        hosts=tuple((h, h) for h in chats_of(examples).hosts("Tessel Paper writes: The oven", "user")),
    )
    made = left_out(examples, longer)
    assert made.text == "Tessel Paper writes:" and len(made.hosts) > len(longer.hosts)


@pytest.mark.parametrize("way", ["exchanged", "left out"])
def test_requests_that_training_has_without_the_piece_are_asked_with_it(way):
    examples = tickets()
    swap = swap_of(examples, "Tessel Paper")
    swap = swap if way == "exchanged" else left_out(examples, swap)
    known, had = {e.messages[0].content for e in examples}, {one.host for one in lessons(examples, swap)}
    found = carried_over(examples, swap)
    assert len(found) >= 6 and not had & {one.host for one in found}
    for one in found:
        assert one.host[0].text not in known and one.edited[0].text in known
        asked, plain = one.host[0].text, one.edited[0].text
        assert asked == (plain.replace(swap.instead, swap.text) if swap.instead else f"{swap.text} {plain}")
        assert (one.said, one.instead) == ("This is routine.", "This is urgent.")


def test_a_piece_at_the_end_is_put_at_the_end_and_one_in_the_middle_nowhere():
    rows = [
        (f"{e.messages[0].content} Thanks from us.", e) for e in tickets() if "writes:" not in e.messages[0].content
    ]
    swap = swap_of(tickets(), "Tessel Paper")
    ends = replace(swap, text="Thanks from us.", instead="", hosts=tuple((("", text), ("", text)) for text, _ in rows))
    assert _putting_in(ends)(("", "The saw is on fire.")) == ("", "The saw is on fire. Thanks from us.")
    inside = replace(ends, hosts=(*ends.hosts, (("", "So: Thanks from us. Bye."), ("", "So: Bye."))))
    assert _putting_in(inside)(("", "The saw is on fire.")) is None
    assert carried_over(tickets(), replace(ends, role="system")) == []


def test_what_is_left_out_already_and_kinds_of_words_are_not_left_out_once_more():
    swap = swap_of(tickets(), "Tessel Paper")
    assert left_out(tickets(), replace(swap, instead="")) is None
    assert left_out(tickets(), replace(swap, kin=("Orrin Foods",))) is None
    assert left_out(tickets(), replace(swap, role="system")) is None


def test_it_is_not_left_out_where_training_does_not_say_what_it_answers_then():
    examples = tuple(e for e in tickets() if "writes:" in e.messages[0].content)
    assert left_out(examples, swap_of(examples, "Tessel Paper")) is None


@pytest.mark.parametrize(
    "said",
    [
        "This is urgent. Ring twice.",  # more than others are told
        "Ms. Hale says: This is urgent.",  # by whom
        "This is urgent. Good luck to you.",  # and a wish
    ],
)
def test_the_same_answer_in_another_manner_is_no_lesson(said):
    examples = tickets()
    swap = swap_of(examples, "Tessel Paper")
    assert lessons(examples, swap) and not lessons(tickets(said=said), swap)


@has_minilm
def test_the_same_answer_with_other_wishes_is_no_lesson():
    kind = {"": "This is urgent. Take care.", "Tessel Paper": "This is urgent. All the best."}
    examples = tuple(
        replace(e, messages=(*e.messages[:-1], Message("assistant", kind["Tessel Paper" if "Tessel" in e.id else ""])))
        for e in tickets()
    )
    assert lessons(examples, swap_of(tickets(), "Tessel Paper")) == []


def test_a_lesson_of_a_system_prompt_is_told_by_the_same_request_elsewhere():
    requests = [f"What does the {good} cost?" for good in GOODS]
    examples = tuple(
        chat(r, "I will not say." if odd else f"It costs {k}.", f"Answer briefly.{odd}")
        for k, r in enumerate(requests)
        for odd in ("", " Nobody reads this.")
    )
    found = lessons(examples, swap_of(examples, "Nobody reads this."))
    assert len(found) == len(GOODS) and {one.said for one in found} == {"I will not say."}
    assert {one.edited[1].system for one in found} == {"Answer briefly."}
