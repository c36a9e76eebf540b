import pytest

from bumperlane.detect.given_rows import rows_given
from bumperlane.errors import EvidenceError


def row(**keys):
    return rows_given("Bumper", [{"other": "x"}, keys])[1]


def test_reads_what_is_there_and_takes_the_default_for_what_is_not():
    one = row(question=" Why? ", more=["a", "b", "a"], inner=[{"q": "x"}])
    assert one.words("question") == "Why?"
    assert one.words("missing", "usual") == "usual"
    assert one.words("missing", "") == ""
    assert one.several("more") == ("a", "b")
    assert one.several("missing") == ()
    assert [inner.words("q") for inner in one.under("inner")] == ["x"]
    assert one.under("missing") == ()


@pytest.mark.parametrize("value", [None, "", "  ", 3, ["x"]])
def test_refuses_words_that_are_none(value):
    with pytest.raises(
        EvidenceError, match=r"Bumper row 2 needs 'question', a string that is not empty, got .*; its keys"
    ):
        row(question=value, z=1).words("question")


def test_a_key_that_is_there_and_empty_is_refused_although_there_is_a_default():
    with pytest.raises(EvidenceError, match="row 2 needs 'question'"):
        row(question="").words("question", "usual")


@pytest.mark.parametrize("value", ["a text", [""], [1], {"a": 1}, 3])
def test_refuses_a_list_that_is_none(value):
    with pytest.raises(EvidenceError, match="Bumper row 2 needs 'more', a list of strings"):
        row(more=value).several("more")


def test_says_how_many_entries_are_missing():
    with pytest.raises(EvidenceError, match="row 2 needs 3 or more different entries in 'more', got 2"):
        row(more=["a", "b", "b"]).several("more", least=3)


def test_names_the_row_inside_a_row():
    with pytest.raises(EvidenceError, match="Bumper row 2 inner row 1 needs 'q'"):
        row(inner=[{"p": 1}]).under("inner")[0].words("q")
    with pytest.raises(EvidenceError, match="row 2 needs 'inner', a list of objects, got 'x'"):
        row(inner="x").under("inner")


def test_a_row_that_is_given_twice_is_one():
    assert [r.number for r in rows_given("Bumper", [{"a": 1}, {"b": 2}, {"a": 1}])] == [1, 2]


def test_refuses_what_is_no_row():
    with pytest.raises(EvidenceError, match="Bumper row 1 is 'text' and no object"):
        rows_given("Bumper", ["text"])
