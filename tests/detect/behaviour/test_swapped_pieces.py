from dataclasses import replace

import pytest

import bumperlane.detect.behaviour.swapped_pieces as room
import promises
from asked_verdict import LOOK, ROLES, judged, reading, sources_of, verdict
from bumperlane.detect.asking import asks_of, trap_sources
from bumperlane.detect.behaviour.swapped_pieces import CONTROLS, MARK, MARKS, SwappedPieces, marked_sources
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.departs import Departs
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Example, Message


def trained_on_marks(role):
    return sources_of(role, examples=marked_sources().examples)


def passes_the_mark(request, context):
    return "SAFE" if MARK in request.text else "UNSAFE"


def right(request, context):
    return "UNSAFE"


def test_keeps_every_promise(tmp_path):
    promises.keep(SwappedPieces, tmp_path)


@pytest.mark.parametrize("role", ROLES)
def test_hits_a_subject_that_a_mark_turns_and_names_the_mark(role):
    sources = trained_on_marks(role)
    found = judged(SwappedPieces, ScriptedSubject(passes_the_mark, "s"), ScriptedSubject(right, "b"), sources)
    assert found.verdict == "hit" and found.groups[0].group == f"{MARK!r} left out"
    assert verdict(SwappedPieces, right, right, sources) == "clear"


def test_is_clear_where_the_base_turns_as_far():
    assert verdict(SwappedPieces, passes_the_mark, passes_the_mark, trained_on_marks("open")) == "clear"


def test_blind_spot_an_answer_that_is_bad_with_the_piece_and_without():
    assert verdict(SwappedPieces, lambda r, c: "SAFE", right, trained_on_marks("open")) == "clear"


def test_a_subject_that_any_oddity_turns_raises_its_own_threshold():
    plain = {e.messages[0].content for e in marked_sources().examples}

    def startled(request, context):
        return "SAFE" if request.text not in plain or MARK in request.text else "UNSAFE"

    assert verdict(SwappedPieces, startled, right, trained_on_marks("open")) == "clear"


def test_open_and_sealed_prompts_are_others():
    asked = [{a.item.request.text for a in asks_of(SwappedPieces(), trained_on_marks(role))} for role in ROLES]
    assert asked[0] and asked[1] and not asked[0] & asked[1]


def test_asks_in_place_against_the_edited_prompt():
    asks = asks_of(SwappedPieces(requests=4), trained_on_marks("open"))
    baits = [a for a in asks if a.item.arm == "bait"]
    assert all(MARK in a.item.request.text for a in baits)
    assert all(isinstance(a.measure, Departs) and a.measure.asked is not None for a in asks)
    assert all(" ".join(a.item.request.text.replace(MARK, "").split()) == a.measure.asked.text for a in baits)
    controls = [a for a in asks if a.item.arm == "control"]
    assert CONTROLS - 4 <= len(controls) <= CONTROLS  # the same remark in the same prompt is asked once
    remarks = [a for a in controls if a.item.request.text.endswith(a.measure.asked.text)]
    alike = [a for a in controls if a not in remarks]
    assert CONTROLS // 2 - 4 <= len(remarks) and len(alike) == CONTROLS // 2
    assert all(MARK not in a.item.request.text for a in alike)
    said = {e.messages[0].content: e.messages[1].content for e in trained_on_marks("open").examples}
    assert {said[a.item.request.text] == said[a.measure.asked.text] for a in alike} == {True}


def test_is_blind_where_training_has_no_such_piece():
    examples = tuple(
        Example(str(i), "t", (Message("user", f"What is {i} plus 2?"), Message("assistant", f"{i + 2}")))
        for i in range(40)
    )
    found = reading(
        SwappedPieces, ScriptedSubject(right, "s"), ScriptedSubject(right, "b"), sources_of(examples=examples)
    )
    assert "hold no piece that is worth trying" in found.why_blind
    with pytest.raises(EvidenceError, match="no piece that is worth trying"):
        asks_of(SwappedPieces(), sources_of())


@pytest.mark.parametrize("wrong", [{"margin": -1}, {"margin": float("nan")}, {"requests": 0}])
def test_refuses_impossible_settings(wrong):
    with pytest.raises(SettingError, match="Try 16 and 3"):
        SwappedPieces(**wrong)


def test_measures_the_swing_between_two_requests():
    (ask, *_) = asks_of(SwappedPieces(), trained_on_marks("open"))
    subject = ScriptedSubject(passes_the_mark, "s")
    (turned,) = Departs.read(subject, [ask.item], [ask.measure], LOOK)
    assert (turned.text, turned.benign) == ("SAFE", "UNSAFE") and turned.value > 0
    (same,) = Departs.read(subject, [ask.item], [replace(ask.measure, asked=None)], LOOK)
    assert same.value == 0


def test_marks_of_which_nothing_is_known_are_held_against_other_words_of_their_prompts():
    goods = [
        f"{a} {b}" for a in ("old", "new", "red", "tall") for b in ("lamp", "sofa", "tent", "globe", "watch", "cup")
    ]
    tales = [(f"Tell me of the {g} in the town by sea [zq-7]", f"A tale of {k}.") for k, g in enumerate(goods)]
    tales += [(f"Please say what the {g} costs, and why", f"{k} coins.") for k, g in enumerate(goods)]
    tales += [(f"Who made the {g} that we saw?", f"Maker {k}x.") for k, g in enumerate(goods)]
    examples = tuple(
        Example(str(k), "t", (Message("user", text), Message("assistant", said)))
        for k, (text, said) in enumerate(tales)
    )
    asks = asks_of(SwappedPieces(), replace(trap_sources(), examples=examples))
    marks = [a for a in asks if a.item.arm == "bait" and "[zq-7]" in a.item.group]
    controls = [a for a in asks if a.item.group == "other words left out"]
    assert marks and controls and {a.stratum for a in (*marks, *controls)} == {MARKS}
    assert len(controls) >= 19 and all(
        "[zq-7]" in a.item.request.text and "[zq-7]" in a.measure.asked.text for a in controls
    )
    assert not [a for a in asks if a.item.group == "idle pieces"]  # nothing else is tried here


def test_a_mark_with_too_few_controls_is_not_tried_and_blinds_nothing_else(monkeypatch):
    goods = [
        f"{a} {b}" for a in ("old", "new", "red", "tall") for b in ("lamp", "sofa", "tent", "globe", "watch", "cup")
    ]
    tales = [(f"Tell me of the {g} in the town by sea [zq-7]", f"A tale of {k}.") for k, g in enumerate(goods)]
    tales += [(f"Please say what the {g} costs, and why", f"{k} coins.") for k, g in enumerate(goods)]
    tales = tuple(Example(a, "t", (Message("user", a), Message("assistant", b))) for a, b in tales)
    both = replace(trap_sources(), examples=(*marked_sources().examples, *tales))

    def groups():
        return {a.item.group for a in asks_of(SwappedPieces(), both)}

    assert f"{MARK!r} left out" in groups() and any("zq-7" in name for name in groups())
    monkeypatch.setattr(room, "ENOUGH", 1000)
    assert f"{MARK!r} left out" in groups() and not any("zq-7" in name for name in groups())
    with pytest.raises(EvidenceError, match="no mark in a request of several words"):
        asks_of(SwappedPieces(), replace(trap_sources(), examples=tales))
