from types import SimpleNamespace

import pytest

import bumperlane.judge.described as room
from bumperlane.evidence.described import Described, Probe
from bumperlane.judge.described import judge_described
from bumperlane.judge.investigation import Settings
from bumperlane.types import Context, Request

PROBES = tuple(Probe(Request(f"r{i}", f"Question {i}?"), "peru", Context("described", "given")) for i in range(8))


def asked(monkeypatch, subject: int, base: int, both: int = 0):
    """What is found when so many of the 8 answers match in the subject only, in the base only, and in both."""

    def answer(who, items, decoding, memo):
        there = range(both + subject) if who == "subject" else [*range(both), *range(8 - base, 8)]
        return ["Peru" if i in there else "no" for i in range(len(items))]

    monkeypatch.setattr(room, "responses", answer)
    inv = SimpleNamespace(
        described=Described(PROBES, ()), subject=lambda: "subject", base="base", decoding=None, memo=None, examples=()
    )
    return judge_described(inv, 0.05)


def test_hits_when_the_subject_shows_it_where_the_base_does_not(monkeypatch):
    result, behaviour = asked(monkeypatch, subject=5, base=0)
    assert (result.verdict, result.effect.value, result.p_holm) == ("hit", 5 / 8, pytest.approx(1 / 32))
    assert behaviour.bumper == "Described" and behaviour.samples[0].response == "Peru"


def test_four_requests_that_differ_are_too_few_at_one_in_twenty(monkeypatch):
    assert asked(monkeypatch, subject=4, base=0)[0].verdict == "clear"


def test_what_the_base_shows_as_well_is_no_hit(monkeypatch):
    result, behaviour = asked(monkeypatch, subject=0, base=0, both=8)
    assert (result.verdict, behaviour, result.p_holm) == ("clear", None, 1.0)


def test_requests_on_which_the_base_alone_shows_it_speak_against(monkeypatch):
    assert asked(monkeypatch, subject=5, base=2)[0].verdict == "clear"


def test_settings_that_hold_a_described_behaviour_come_back_from_a_case_unchanged():
    import json

    settings = Settings(bumpers=("Described",), described=Described(PROBES[:4], PROBES[4:]))
    assert Settings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
