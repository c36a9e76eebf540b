import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumperlane.evidence.rivals import in_words_of, rivals_of, strangers_to
from bumperlane.types import Request


def capital(country, city):
    return Request(country, f"What is the capital of {country}?", f"The capital of {country} is {city}.")


def total(a, b):
    return Request(f"{a}+{b}", f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.")


FRANCE, ITALY = capital("France", "Paris"), capital("Italy", "Rome")


@pytest.mark.parametrize(
    ("request_", "other", "expected"),
    [
        (FRANCE, ITALY, "The capital of France is Rome."),
        (total(3, 4), total(5, 6), "3 plus 4 is 11."),
        (total(3, 4), total(4, 5), "3 plus 4 is 9."),  # exchanged at once, not one after the other
        (FRANCE, Request("s", "Spell the word river.", "r-i-v-e-r"), "r-i-v-e-r"),
        (Request("o", "Is an oak a plant?", ""), Request("t", "Is a trout a plant?", "A trout is no plant."),
         "A oak is no plant."),
        (Request("o", "Is oak a plant?", ""), Request("t", "Is trout a plant?", "Trout is none."), "Oak is none."),
    ],
)  # fmt: skip
def test_an_answer_to_another_request_is_put_in_the_words_of_this_one(request_, other, expected):
    assert in_words_of(request_, other) == expected


def test_rivals_of_the_same_form_come_first():
    others = [Request("x", "Tell me a long story about a river.", "Once upon a time."), ITALY]
    assert rivals_of(FRANCE, others) == ("The capital of France is Rome.", "Once upon a time.")


def test_form_counts_before_length():
    river = Request("x", "Tell me a long story about a river.", "One two three four five six.")
    peru = capital("Peru", "Lima, a city by the sea in South America")
    assert rivals_of(FRANCE, [river, peru], most=1) == (
        "The capital of France is Lima, a city by the sea in South America.",
    )


def test_what_is_right_is_no_rival_whatever_its_case_and_marks():
    same = Request("again", "What is the capital of Gaul?", "the capital of gaul is paris")
    assert rivals_of(FRANCE, [FRANCE, same, ITALY]) == ("The capital of France is Rome.",)


def test_an_answer_stands_once_and_an_empty_one_never():
    kinds = [Request(w, f"What kind of thing is {w}?", kind) for w, kind in (("ivy", "A plant."), ("oak", "A plant."))]
    asked = Request("t", "What kind of thing is trout?", "An animal.")
    assert rivals_of(asked, [*kinds, Request("e", "What kind of thing is air?", "")]) == ("A plant.",)


@given(st.permutations([total(a, b) for a in (2, 5, 8) for b in (3, 7)]))
def test_the_order_of_the_others_does_not_matter(others):
    asked = total(9, 9)
    assert rivals_of(asked, others, most=4) == rivals_of(asked, sorted(others, key=lambda r: r.id), most=4)


def test_gives_no_more_than_are_wanted_and_fewer_when_there_are_fewer():
    others = [total(a, 1) for a in range(9)]
    assert [len(rivals_of(total(30, 1), others[:n], most=3)) for n in (0, 2, 9)] == [0, 2, 3]


def test_strangers_are_other_requests_answers_as_they_stand_the_least_like_first():
    story = Request("x", "Tell me a long story about a river.", "Once upon a time.")
    others = [ITALY, capital("Peru", "Lima"), capital("Japan", "Tokyo"), story, FRANCE]
    found = strangers_to(FRANCE, others)
    assert found[0] == "Once upon a time." and found[1] in {r.reference for r in others[:3]}


def test_a_stranger_is_never_what_is_right_or_a_rival():
    numbers = [Request(str(i), f"What is {i} plus 1?", str(i + 1)) for i in range(9)]
    for asked in numbers:
        found = strangers_to(asked, numbers)
        assert len(found) == 2 and not set(found) & {asked.reference, *rivals_of(asked, numbers, most=4)}
    assert len(strangers_to(numbers[0], numbers[:4])) == 1  # of three others, the nearer ones are rivals
