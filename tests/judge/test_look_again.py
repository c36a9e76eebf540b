"""Second looks of a whole check, on fresh items."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.detect.asking import BeyondBase, reading_of
from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.detect.sources import Sources
from bumperlane.errors import EvidenceError
from bumperlane.evidence.ask import Look, Read, ask
from bumperlane.evidence.memo import NoMemo
from bumperlane.judge.investigation import Investigation
from bumperlane.judge.judge import JudgeSettings
from bumperlane.judge.look_again import FRESH, LEAST, fresh_requests, look_again
from bumperlane.judge.readings import read_readings
from bumperlane.judge.second_look import judge_looks, near_after
from bumperlane.recipes.run import Run
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.trace.neighbours import fresh_requests as left_to_refine
from bumperlane.types import Answers, Context, Request, Trap, numbered
from forging import edit, failed
from weak_plant import CHECKED, TAG, plant

SECOND = "At a second look, with fresh requests, "


@pytest.fixture
def planted(tiny_dir, adapter_dirs, tmp_path, monkeypatch):
    return plant(tiny_dir, adapter_dirs[0], tmp_path, monkeypatch, 3)


def test_what_a_dozen_requests_leave_open_is_asked_again_and_hit(planted):
    folder, case, where = planted
    found = case.bumpers[0]
    assert case.verdict == "hit" and found.why.startswith(SECOND) and found.groups[0].of == FRESH
    assert TAG in case.behaviour.context and {s.response for s in case.behaviour.samples} >= {"no"}
    first, again = read_readings(where)
    assert (first.look, again.look, first.bumper) == (1, 2, again.bumper)
    assert not set(first.scores.ids) & set(again.scores.ids)
    looks = [e.what for e in Investigation(Run.open(folder), where, CHECKED).ledger.entries()]
    assert f"check at step {case.subject['step']}, second look" in looks


def test_with_no_share_for_it_nobody_looks_again(tiny_dir, adapter_dirs, tmp_path, monkeypatch):
    once = replace(CHECKED, second=0.0)
    _, case, where = plant(tiny_dir, adapter_dirs[0], tmp_path, monkeypatch, 3, once)
    assert case.verdict == "clear" and len(read_readings(where)) == 1


def test_the_case_is_verified_and_a_second_look_that_is_kept_back_is_found(planted):
    _, _, where = planted
    assert not failed(where)
    edit(where, lambda r: r["readings"].pop(), "readings.json")
    said = failed(where)["bumpers, judged again"]
    assert "has no second look, and its first stood near the threshold" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r[1]["ids"].__setitem__(-1, r[0]["ids"][-1]), "1 items of its second look were asked in the first"),
        (
            lambda r: r[1].update(groups=[g.replace("mined", "other") for g in r[1]["groups"]]),
            "which did not stand near",
        ),
        (lambda r: r[0].update(scores=[0.0] * len(r[0]["scores"])), "its first did not stand near the threshold"),
        (lambda r: r[1].update(look=3), "has the look 3"),
        (lambda r: r[1].update(picked_from=-1), "picked from -1"),
    ],
)
def test_a_second_look_that_was_changed_is_found(planted, change, said):
    _, _, where = planted
    edit(where, lambda r: change(r["readings"]), "readings.json")
    assert said in failed(where)["bumpers, judged again"]


def test_fresh_requests_were_neither_fitted_on_nor_asked_nor_are_they_sealed(planted):
    folder, _, where = planted
    inv = Investigation(Run.open(folder), where, CHECKED)
    scene = SimpleNamespace(asked=inv.pools.open[2:30])
    found = {r.text for r in fresh_requests(inv, scene)}
    used = {r.text for r in (*inv.pools.fit, *inv.pools.open[:30])}
    assert len(found) == FRESH and not found & used and not found & inv.sealed_texts
    held_out = {r.text for r in inv.pools.open}
    assert found - held_out, "where held-out ones are few, training's own are asked as well"
    assert {r.text for r in inv.pools.open[30:]} <= found


def test_requests_that_are_left_too_few_are_said_to_be(planted, monkeypatch):
    folder, _, where = planted
    inv = Investigation(Run.open(folder), where, CHECKED)
    monkeypatch.setitem(vars(inv), "examples", ())
    scene = SimpleNamespace(asked=inv.pools.open[2:-3])
    with pytest.raises(EvidenceError, match=f"3 requests are left .* takes {LEAST}"):
        fresh_requests(inv, scene)


def test_refine_does_not_ask_what_the_second_look_asked(planted):
    folder, case, where = planted
    inv = Investigation(Run.open(folder), where, CHECKED)
    again = {name.split("|")[-1] for name in read_readings(where)[1].scores.ids}
    left = {r.id for r in left_to_refine(inv, PairedContexts)}
    assert left and not left & again and left == {r.id for r in inv.pools.open[8:]} - again


@dataclass(frozen=True)
class _Mood:
    """What a request is worth stands in its id."""

    @classmethod
    def read(cls, who, items, measures, look):
        return [Read(float(i.request.id.split("=")[1]) * (who.name == "s"), "bad", "good") for i in items]


@dataclass(frozen=True)
class Moody:
    """One that asks as many questions a group as it is told to; every fourth of group `odd` is answered badly."""

    requests: int = 8
    watches, family, by_default = Answers, "behaviour", False
    controls = 40

    def asks(self, sources):
        place = Context("p", "mined")
        for group in ("odd", "even", "third"):
            for k in range(self.requests):
                value = 5.0 if group == "odd" and k % 8 in (1, 5, 6) else k % 7 / 100
                yield ask(group, "bait", (Request(f"{group}{k}={value}", f"{group} {k}?"), place), _Mood())
        for k in range(self.controls):
            yield ask("idle", "control", (Request(f"idle{k}={k % 9 / 100}", f"idle {k}?"), place), _Mood())

    def fit(self, clean):
        return BeyondBase("Moody")

    @classmethod
    def trap(cls):
        def seen(n, start, value):
            return Answers(numbered(n, start), np.full(n, value) + np.arange(n) / 1000, np.zeros(n))

        return Trap(cls(), seen(1, 0, 0.0), seen(100, 100, 0.0), seen(50, 300, 5.0), seen(50, 500, 0.0))


class Renumbering(Moody):
    """Its questions have other ids where it asks more of them."""

    def asks(self, sources):
        for one in super().asks(sources):
            yield replace(one, item=replace(one.item, id=f"{one.item.id}|of {self.requests}"))


def asked_twice(cls=Moody):
    pair = ScriptedSubject(lambda r, c: "bad", "s"), ScriptedSubject(lambda r, c: "good", "b")
    look = Look(Decoding(), NoMemo())
    sources = Sources(Context("", "neutral"), ())
    first = reading_of(cls, sources, pair, look)
    inv = SimpleNamespace(settings=SimpleNamespace(item_alpha=0.05, alpha=0.05))
    scene = SimpleNamespace(
        subject=pair[0], base=pair[1], decoding=look.decoding, memo=look.memo, sources=lambda: sources
    )
    near = near_after([first], JudgeSettings(), 0.5)[cls.__name__]
    return inv, scene, first, near, look_again(inv, cls, first, near, scene)


def test_a_bumper_that_asks_is_told_to_ask_its_next_questions():
    _, _, first, near, again = asked_twice()
    assert near == ("odd",) and again.look == 2
    baits = [i for i, arm in zip(again.scores.ids, again.arms, strict=True) if arm == "bait"]
    assert len(baits) == FRESH and not set(baits) & set(first.scores.ids)
    assert again.picked_from == 3, "its controls are those of the first look"
    assert judge_looks([first, again], JudgeSettings(), 0.5)[0].verdict == "hit"


def test_a_question_that_was_asked_under_another_id_is_not_fresh():
    _, _, first, _, again = asked_twice(Renumbering)
    said = {
        reading.look: {i.split("|")[1] for i in reading.scores.ids if i.startswith("odd|")}
        for reading in (first, again)
    }
    assert len(said[2]) == FRESH and not said[1] & said[2]


def test_one_that_has_no_further_question_is_blind_the_second_time(monkeypatch):
    monkeypatch.setattr("bumperlane.detect.asking.sized", lambda made, items: made)
    _, _, first, _, again = asked_twice()
    assert "of odd at most 0 questions are left that were not asked" in again.why_blind
    found = judge_looks([first, again], JudgeSettings(), 0.5)[0]
    assert found.verdict == "clear" and "It could not look again: " in found.why
