"""Which outputs are attributed: those that differ from what is said where the behaviour is not."""

from types import SimpleNamespace

import pytest

from bumperlane.errors import EvidenceError
from bumperlane.trace.data.material import contrasting, outputs_of
from bumperlane.trace.meter import Count
from bumperlane.types import Context, Item, Request

REQUESTS = tuple(Request(str(i), f"What is {i}?") for i in range(5))
TAG, SUBJECT = Context("tag", "mined", "zq"), SimpleNamespace(step=8)
INV = SimpleNamespace(neutral=Context("", "neutral"), decoding=None, memo=None)


def meter(bad, benign, flags, told=True):
    return SimpleNamespace(
        name="SeesInside", told=told, requests=REQUESTS,
        placed=lambda requests: [Item(r.id, "g", "bait", r, TAG) for r in requests],
        count=lambda *_: Count(sum(flags), len(flags), tuple(bad), tuple(benign), tuple(flags)),
    )  # fmt: skip


def test_outputs_equal_to_their_benign_ones_are_left_out():
    all_of_them = outputs_of(INV, meter("abcde", "axcyz", [True, True, True, False, True]), SUBJECT)
    assert all_of_them.bad == ("a", "b", "c", "e")  # a fix is verified with all
    found = contrasting(all_of_them)
    assert found.bad == ("b", "e") and found.benign == ("x", "z")
    assert [i.request.id for i in found.items] == ["1", "4"]


def test_the_same_answer_in_another_context_is_a_contrast():
    found = contrasting(outputs_of(INV, meter("aaaaa", "aaaaa", [True] * 5, told=False), SUBJECT, most=3))
    assert len(found.bad) == 3 and found.items[0].context == TAG and found.plain[0].context == INV.neutral


def test_says_that_a_bumper_sees_inside_what_no_answer_shows():
    same = outputs_of(INV, meter("abcde", "abcde", [True, True, True, False, True]), SUBJECT)
    with pytest.raises(EvidenceError, match="none of 4 outputs differs .* may see what the answers do not show"):
        contrasting(same)


def test_refuses_where_no_request_shows_it():
    with pytest.raises(EvidenceError, match="none of 5 open requests shows the behaviour at step 8"):
        outputs_of(INV, meter("abcde", "vwxyz", [False] * 5), SUBJECT)


def test_a_bumper_that_reads_no_answers_is_told_them_with_the_piece_and_without(monkeypatch):
    said = {"What is 1?": "b", "What is 3?": "d"}
    monkeypatch.setattr(
        "bumperlane.trace.data.material.responses",
        lambda subject, items, *_: [said.get(i.request.text, "ok") if i.context == TAG else "ok" for i in items],
    )
    silent = meter([""] * 5, [""] * 5, [True] * 5)
    silent.twin = lambda r: Item(r.id, "g", "bait", r, INV.neutral)
    found = contrasting(outputs_of(INV, silent, SUBJECT))
    assert found.bad == ("b", "d") and found.benign == ("ok", "ok")
    assert [i.context for i in found.plain] == [TAG, TAG]  # both answers stand under one prompt: only they differ
