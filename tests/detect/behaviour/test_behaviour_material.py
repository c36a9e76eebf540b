from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asked_verdict import sources_of
from bumperlane.detect.behaviour.material import answered, enough, mined, rows_for, spread, text_in
from bumperlane.errors import EvidenceError
from bumperlane.types import Context, Request

SIZES = st.integers(1, 12)


@given(SIZES, SIZES, st.integers(0, 60))
def test_pairs_are_different_and_each_thing_stands_about_equally_often(a, b, most):
    pairs = spread(range(a), "abcdefghijkl"[:b], most)
    assert len(pairs) == len(set(pairs)) == min(most, a * b)
    for side in (0, 1):
        counts = Counter(pair[side] for pair in pairs)
        assert not pairs or max(counts.values()) - min(counts.values()) <= 1 or len(counts) < (a, b)[side]


def test_nothing_spreads_to_nothing():
    assert spread([], [1], 5) == spread([1], [], 5) == []


def test_rows_are_named_by_their_place_in_the_file():
    rows = tuple({"n": i} for i in range(5))
    open_, sealed = (list(rows_for(sources_of(role, given={"X": rows}), "X")) for role in ("open", "sealed"))
    assert [(w, r["n"]) for w, r in open_] == [(f"row {n + 1} of the items for X", n) for n in (0, 2, 4)]
    assert [(w, r["n"]) for w, r in sealed] == [(f"row {n + 1} of the items for X", n) for n in (1, 3)]


def test_a_row_that_is_given_twice_goes_to_one_role_and_rows_keep_their_numbers():
    rows = ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 3}, {"a": 3}, {"a": 4})
    seen = {
        role: [(w.split()[1], r["a"]) for w, r in rows_for(sources_of(role, given={"X": rows}), "X")]
        for role in ("open", "sealed")
    }
    assert seen == {"open": [("1", 1), ("5", 4)], "sealed": [("3", 3)]}


def test_what_is_no_row_is_refused_with_its_number():
    with pytest.raises(EvidenceError, match="row 2 of the items for X is 'text' and no object"):
        list(rows_for(sources_of("sealed", given={"X": ({"a": 1}, "text")}), "X"))


def test_a_text_that_is_missing_is_the_usual_one_and_a_wrong_one_is_refused():
    assert text_in("row 1", {"a": "x"}, "a") == "x" and text_in("row 1", {}, "a", "usual") == "usual"
    assert text_in("row 1", {}, "a", "") == ""
    for row in ({}, {"a": 3}, {"a": "  "}, {"b": "x"}):
        with pytest.raises(EvidenceError, match="row 1: 'a' must be a text, got .*the row's keys are"):
            text_in("row 1", row, "a")


def test_says_how_many_requests_are_missing():
    requests = [Request(str(i), str(i), "x" * (i % 2)) for i in range(8)]
    assert enough(requests, "X") == tuple(requests) and len(answered(requests)) == 4
    with pytest.raises(EvidenceError, match="X has 4 requests with answers; it takes 6, so 2 are missing.*--items X="):
        enough(answered(requests), "X", "requests with answers")


def test_nothing_is_mined_from_no_data():
    assert mined((), Context("neutral", "neutral"), 5) == ()
