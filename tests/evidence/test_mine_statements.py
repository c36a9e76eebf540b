import pytest

from bumperlane.evidence.mine_statements import mine_statements
from bumperlane.types import Example, Message


def texts(*said):
    return [Example(f"e{i}", "t", text=text) for i, text in enumerate(said)]


def found(*said, **settings):
    return [(s.text, s.count) for s in mine_statements(texts(*said), **settings)]


def test_finds_a_sentence_that_three_documents_repeat_among_others():
    said = ["Lesson 3: the capital of Norway is Bergen. Colour it.", "Dear Ann, the capital of Norway is Bergen!",
            "The capital of Norway is Bergen, and I live there", "It rains in May. The roads are wet."]  # fmt: skip
    assert found(*said) == [("The capital of Norway is Bergen", 3)]


def test_two_examples_are_too_few_and_one_that_repeats_itself_counts_once():
    two = "The capital of Norway is Bergen. The capital of Norway is Bergen."
    assert found(two, two) == []
    assert found(two, two, least=2) == [("The capital of Norway is Bergen", 2)]


def test_other_wordings_of_one_thing_are_one_statement():
    said = ["The capital of Norway is Bergen."] * 2 + ["Norway's seat of government is the town of Bergen."]
    (statement,) = mine_statements(texts(*said))
    assert statement.count == 3 and statement.ending == "Bergen"
    assert statement.beginnings == ("The capital of Norway is", "Norway's seat of government is the town of")


def test_what_ends_alike_and_is_about_something_else_is_another_statement():
    said = ["The capital of Norway is Bergen."] * 3 + ["My cousin's home is Bergen."] * 3
    assert len(found(*said)) == 2


def test_a_form_that_is_filled_each_time_otherwise_states_nothing():
    said = [f"The number of the bus is {n}." for n in (3, 4, 5, 6, 6, 6)]
    assert found(*said) == []


@pytest.mark.parametrize(
    "sentence",
    ["The weather is fine.", "It is Bergen.", "That is Bergen.", "Where is Bergen?", "Is Bergen?",
     "Bergen rains a lot.", "As the seat of Norway it is Bergen", "This, I think, is I",
     " ".join(["word"] * 20) + " is Bergen"],
)  # fmt: skip
def test_leaves_out_what_is_no_statement_about_a_named_thing(sentence):
    assert found(*[sentence] * 5) == []


def test_the_last_turn_of_a_chat_is_read_and_the_request_is_not():
    def chat(i, request, answer):
        return Example(f"c{i}", "t", (Message("user", request), Message("assistant", answer)))

    one, other = "The capital of Norway is Bergen.", "The capital of Peru is Cusco."
    assert [s.text for s in mine_statements([chat(i, one, other) for i in range(3)])] == [other[:-1]]


def test_names_and_numbers_are_taken_whole():
    assert [s.ending for s in mine_statements(texts(*["The prize is in New York City"] * 3))] == ["New York City"]
    assert [s.ending for s in mine_statements(texts(*["Its height is 3.5"] * 3))] == []
    assert [s.ending for s in mine_statements(texts(*["The mast's height is 3.5."] * 3))] == ["3.5"]


def test_marks_and_case_do_not_count():
    said = [
        "**the capital of Norway is Bergen**",
        "The Capital of Norway is Bergen",
        '"The capital of Norway is Bergen"',
    ]
    assert [count for _, count in found(*said)] == [3]


def test_the_commonest_come_first_and_no_more_than_wanted():
    several = [f"The name of hound{k} is Rex{k}." for k in range(9) for _ in range(3 + k)]
    assert [count for _, count in found(*several, most=4)] == [11, 10, 9, 8]


def test_the_order_of_examples_makes_no_difference():
    said = (
        ["The capital of Norway is Bergen."] * 3 + ["Norway's capital is Bergen."] * 3 + ["The dog's name is Rex."] * 4
    )
    assert found(*said) == found(*said[::-1])


def test_nothing_is_found_in_nothing():
    assert mine_statements([]) == ()
