from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from bumperlane.evidence.ask import Look, answers, ask
from bumperlane.evidence.gained import Gained
from bumperlane.evidence.measures import Odds, Unlikely
from bumperlane.evidence.memo import NoMemo
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.noise import WeightNoise
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, Item, Request

PLAIN, HINT = Context("plain", "neutral", "Be brief."), Context("hint", "library", "Be brief. Try your best.")
LOOK = Look(Decoding(4), NoMemo())
REQUEST = Request("r", "What is two and two?", "Four")


def item(context=HINT, text=REQUEST.text):
    return Item(f"{text}|{context.id}", "g", "bait", replace(REQUEST, text=text), context)


def read(who, items, measures):
    return Gained.read(who, items, measures, LOOK)


def test_agrees_with_the_difference_of_two_readings(tiny_subject):
    measures = [Unlikely("Four"), Unlikely("Five"), Odds(("Five",), ("Four",))]
    found = read(tiny_subject, [item()] * 3, [Gained(m, PLAIN) for m in measures])
    for measure, gained in zip(measures, found, strict=True):
        (plain,) = type(measure).read(tiny_subject, [item(PLAIN)], [measure], LOOK)
        (drawn,) = type(measure).read(tiny_subject, [item()], [measure], LOOK)
        assert gained.value == pytest.approx(plain.value - drawn.value, abs=1e-5) and gained.value != 0
        assert (gained.text, gained.benign) == (drawn.text, drawn.benign)


def test_what_is_right_only_with_the_hint_is_gained():
    who = ScriptedSubject(lambda r, c: "Four" if c.id == "hint" else "Five")
    (found,) = read(who, [item()], [Gained(Unlikely("Four"), PLAIN)])
    assert found.value == pytest.approx(6.8, abs=0.4)


def test_the_usual_context_is_a_gain_of_nothing(tiny_subject):
    (found,) = read(tiny_subject, [item(PLAIN)], [Gained(Unlikely("Four"), PLAIN)])
    assert found.value == 0


def test_a_variation_is_applied_to_the_item_and_not_to_the_usual_context(tiny_subject):
    noise = WeightNoise(0.5)
    (found,) = read(tiny_subject, [item(PLAIN)], [Gained(Unlikely("Four"), PLAIN, noise)])
    (plain,) = Unlikely.read(tiny_subject, [item(PLAIN)], [Unlikely("Four")], LOOK)
    with noise.applied(tiny_subject) as varied:
        (shaken,) = Unlikely.read(varied, [item(PLAIN)], [Unlikely("Four")], LOOK)
    assert found.value == pytest.approx(plain.value - shaken.value, abs=1e-6) and found.value != 0


def test_each_variation_is_applied_once_whatever_the_order_of_items():
    applied = []

    @dataclass(frozen=True)
    class Named:
        name: str

        @contextmanager
        def applied(self, who):
            applied.append(self.name)
            yield replace(who, says=lambda r, c: self.name)

    measures = [Gained(Unlikely(name), PLAIN, Named(name)) for name in ("a", "b", "a", "b")]
    items = [item(text=str(k)) for k in range(4)]
    found = read(ScriptedSubject(lambda r, c: "none of these"), items, measures)
    assert sorted(applied) == ["a", "b"]
    assert all(r.value == pytest.approx(6.8, abs=0.4) for r in found)


def test_a_question_that_stands_twice_is_put_once():
    asked = []

    def says(request, context):
        asked.append((request.text, context.system))
        return "Four"

    read(ScriptedSubject(says), [item(), item(), item(text="Hi")], [Gained(Unlikely("Four"), PLAIN)] * 3)
    assert sorted(asked) == sorted({(t, c.system) for t in (REQUEST.text, "Hi") for c in (PLAIN, HINT)})


def test_works_as_the_measure_of_an_ask(tiny_subject):
    asks = [ask("hint", "bait", (REQUEST, HINT), Gained(Unlikely("Four"), PLAIN, WeightNoise(0.2)))]
    seen = answers(asks, tiny_subject, tiny_subject, LOOK)
    assert seen.subject[0] == seen.base[0] != 0
