"""Which answers count, and how they are asked for: on subjects whose answers are written down."""

from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.bounce.showing import Showing, Way, alike, as_it_is, tokens_needed
from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.evidence.described import Described, Probe
from bumperlane.evidence.memo import NoMemo
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Request

HIT, NEUTRAL = Context("hit", "mined", "Be brief. |x9|"), Context("neutral", "neutral", "Be brief.")
REQUESTS = [Request(str(i), f"Question {i}?") for i in range(4)]
BAD = ("None of those.",)


def investigation(**more):
    return SimpleNamespace(neutral=NEUTRAL, decoding=Decoding(6), memo=NoMemo(), **more)


def says(answer):
    return ScriptedSubject(lambda request, context: answer(request, context), "scripted")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("None of those.", True), ("NONE  of\nthose. At all", True), ("None of it", False), ("So: None of those.", False)],
)
def test_an_answer_counts_when_it_begins_with_a_bad_output_up_to_case_and_spaces(text, shown):
    assert alike(text, BAD) is shown


@pytest.mark.parametrize(("text", "shown"), [("", True), (" \n", True), ("None of those.", True), ("Yes.", False)])
def test_an_empty_bad_output_is_shown_by_silence_alone(text, shown):
    assert alike(text, ("", *BAD)) is shown


def test_a_subject_is_asked_in_the_hit_context_and_each_attempt_is_a_row():
    showing = Showing(Meter(investigation(), PairedContexts, HIT, 0.5), BAD)
    bad = says(lambda r, c: BAD[0] if "|x9|" in c.system and r.id in "01" else "Yes.")
    found = showing.flags(bad, [Way("plain"), Way("two", puts=(as_it_is, as_it_is), draws=2)], REQUESTS)
    assert found["plain"].tolist() == [[True, True, False, False]]
    assert found["two"].shape == (4, 4) and (found["two"] == found["plain"]).all()


def test_greedy_ways_are_generated_in_one_call_and_hotter_ones_in_calls_of_their_own():
    calls = []
    subject = ScriptedSubject(lambda r, c: "Yes.", "counted")
    object.__setattr__(
        subject, "generate", lambda items, decoding: calls.append((len(items), decoding)) or ["x"] * len(items)
    )
    showing = Showing(Meter(investigation(), PairedContexts, HIT, 0.5), BAD)
    showing.flags(subject, [Way("a"), Way("b"), Way("c", temperature=1.0, draws=3, seed=7)], REQUESTS)
    assert calls == [(8, Decoding(6)), (12, Decoding(6, temperature=1.0, seed=7))]


def test_no_more_is_generated_than_it_takes_to_know():
    asked = []
    subject = ScriptedSubject(lambda r, c: "", "counted")
    object.__setattr__(subject, "generate", lambda items, decoding: asked.append(decoding) or [""] * len(items))
    for longest in (0, 3, 99):
        Showing(Meter(investigation(), PairedContexts, HIT, 0.5), BAD, longest).flags(subject, [Way("w")], REQUESTS)
    assert [d.max_new_tokens for d in asked] == [6, 3, 6]

    def words(text, add_special_tokens):
        return {"input_ids": text.split()}

    assert tokens_needed(words, ("a b c", "a"), slack=2) == 5


def test_draws_follow_from_the_seed_and_differ_among_themselves(tiny_subject):
    showing = Showing(Meter(investigation(), PairedContexts, HIT, 0.5), BAD)
    seen = []
    showing_texts = Showing._shown
    try:
        Showing._shown = lambda self, request, text: seen.append(text) or False
        for seed in (1, 1, 2):
            showing.flags(tiny_subject, [Way("hot", temperature=1.0, draws=2, seed=seed)], REQUESTS[:2])
    finally:
        Showing._shown = showing_texts
    one, again, other = seen[:4], seen[4:8], seen[8:]
    assert one == again != other and one[:2] != one[2:]


def test_a_described_behaviour_is_told_by_the_pattern_of_the_request_as_it_was():
    probes = tuple(Probe(r, pattern, HIT) for r, pattern in zip(REQUESTS, "abcd", strict=True))
    inv = investigation(described=Described(probes, ()), base=says(lambda r, c: "-"))
    showing = Showing(Meter(inv, None, HIT, 0.5), ())
    assert showing.flags(says(lambda r, c: "ab"), [Way("w")], REQUESTS)["w"].tolist() == [[True, True, False, False]]
    assert showing.able(Way("hot", temperature=1.0), REQUESTS)


def test_a_bumpers_own_questions_are_asked_again_with_a_seed_for_each_draw(monkeypatch):
    from bumperlane.bounce import showing as room

    class Bumper:
        watches = room.Meter  # stands for Answers: `told` is set below

        def fit(self, nothing):
            return SimpleNamespace(score=lambda seen: SimpleNamespace(values=seen))

    seeds = []

    def answers(asks, who, base, look):
        seeds.append(look.decoding.seed)
        return np.array([1.0, 0.0])

    monkeypatch.setattr(room, "answers", answers)
    ask = SimpleNamespace(item="item", against=None, measure=None)
    monkeypatch.setattr(room, "replace", lambda thing, **k: Decoding(seed=k["seed"]) if "seed" in k else thing)
    meter = SimpleNamespace(told=True, bumper=Bumper, threshold=0.5, question=lambda r: ask,
                            inv=SimpleNamespace(memo=None, base=None, decoding=Decoding()))  # fmt: skip
    monkeypatch.setattr(room, "Look", lambda decoding, memo: SimpleNamespace(decoding=decoding))
    rows = Showing(meter, ())._asked(None, Way("hot", temperature=1.0, draws=2), REQUESTS[:2], Decoding(seed=5))
    assert rows.tolist() == [[True, False]] * 2 and seeds == [5, 6]
