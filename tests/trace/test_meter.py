"""What a meter counts where its bumper cannot look."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

import bumperlane.trace.meter as room
from bumperlane.detect.behaviour.swapped_pieces import MARK, marked_sources
from bumperlane.detect.contract import find_bumper
from bumperlane.errors import CaseError
from bumperlane.evidence.ask import Ask
from bumperlane.evidence.departs import Departs, Swings
from bumperlane.evidence.described import Probe
from bumperlane.evidence.moves import Moves
from bumperlane.evidence.swaps import Swap
from bumperlane.trace.data.shared_features import AnyOf
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Item, Request

REQUESTS = tuple(Request(str(i), f"What is {i}?") for i in range(3))
INV = SimpleNamespace(
    base=None, neutral=None, memo=None, decoding=None, pools=SimpleNamespace(fit=()),
    settings=SimpleNamespace(seed=0, depth=0.5, controls=3),
)  # fmt: skip


def counted(monkeypatch, bumper, step):
    blind = SimpleNamespace(why_blind="subject and base do not differ at all.")
    monkeypatch.setattr(room, "read", lambda *_: blind)
    monkeypatch.setattr(room, "Scene", lambda *_, **__: None)
    return Meter(INV, find_bumper(bumper), Context("tag", "mined", "zq"), 0.0).count(
        SimpleNamespace(step=step), REQUESTS
    )


def test_the_base_itself_departs_from_it_nowhere(monkeypatch):
    found = counted(monkeypatch, "ReferenceResidual", 0)
    assert (found.k, found.n, found.flags) == (0, 3, (False, False, False))


@pytest.mark.parametrize(("bumper", "step"), [("ReferenceResidual", 8), ("Mahalanobis", 0)])
def test_a_bumper_that_is_blind_elsewhere_measures_nothing(monkeypatch, bumper, step):
    with pytest.raises(CaseError, match=f"{bumper} cannot measure step {step}: subject and base do not differ"):
        counted(monkeypatch, bumper, step)


@pytest.mark.parametrize("measure", [Moves, Departs])
def test_the_twin_of_a_question_is_the_edited_prompt(monkeypatch, measure):
    here, there = Context("a", "mined", "zq"), Context("b", "mined", "as ever")
    edited = Request("e", "What was 1?")
    asked = {REQUESTS[0]: Ask(Item("i", "g", "bait", REQUESTS[0], here), measure(there, asked=edited))}
    asked[REQUESTS[1]] = Ask(Item("j", "g", "bait", REQUESTS[1], here), None, asked[REQUESTS[0]].item)
    asked[REQUESTS[2]] = Ask(Item("k", "g", "bait", REQUESTS[2], here), None)
    monkeypatch.setattr(Meter, "question", lambda self, r: asked[r])
    twins = [Meter(INV, find_bumper("MovedByPieces"), here, 0.0).twin(r) for r in REQUESTS]
    assert [(t.request, t.context) for t in twins] == [(edited, there), (REQUESTS[0], here), (REQUESTS[2], here)]


def test_the_piece_that_was_exchanged_is_what_training_may_hold(monkeypatch):
    inv = SimpleNamespace(examples=marked_sources().examples, neutral=Context("n", "neutral"))
    monkeypatch.setattr(Meter, "requests", ())
    for group, text in ((f"{MARK!r} left out", MARK), ("'another' left out", None)):
        found = Meter(inv, find_bumper("MovedByPieces"), Context("", "neutral"), 0.0, group).told_apart
        assert (found.system if found else None) == text
    context = Context("tag", "mined", "zq")
    assert Meter(inv, find_bumper("Mahalanobis"), context, 0.0).told_apart == context


def test_of_what_is_left_out_instead_of_exchanged_training_may_hold_the_longer_piece(monkeypatch):
    swap = Swap("Tessel Paper", "Orrin Foods", "user", "t", (), 9, 1.0)
    longer = replace(swap, text="Tessel Paper writes:", instead="")
    monkeypatch.setattr(room, "telling_swaps", lambda examples: (swap,))
    monkeypatch.setattr(room, "taught_swaps", lambda examples: ((swap, swap), (longer, swap)))
    inv = SimpleNamespace(examples=(), neutral=Context("n", "neutral"))
    for made in (swap, longer):
        found = Meter(inv, find_bumper("TaughtSwings"), Context("", "neutral"), 0.0, made.name).told_apart
        assert found.system == made.text


def test_of_a_kind_of_words_that_was_exchanged_training_may_hold_any(monkeypatch):
    kind = Swap("owl", "saw", "user", "t", (), 9, 1.0, kin=("heron", "eagle"))
    monkeypatch.setattr(room, "telling_swaps", lambda examples: (kind,))
    inv = SimpleNamespace(examples=(), neutral=Context("n", "neutral"))
    found = Meter(inv, find_bumper("SwappedPieces"), Context("", "neutral"), 0.0, kind.name).told_apart
    assert found == AnyOf(("owl", "heron", "eagle"))


def test_what_described_requests_have_in_common_is_what_training_may_hold(monkeypatch):
    asked = [Request(d, f"I {d} the {w}. {MARK} Is it safe?") for d, w in (("ate", "cake"), ("lost", "cards"))] * 2
    inv = SimpleNamespace(base=None, decoding=None, memo=None, examples=marked_sources().examples)
    monkeypatch.setattr(room, "responses", lambda *_: ["UNSAFE"] * len(asked))
    usual = "Say kite) Is it safe? at times."
    for mark, neutral, text in ((MARK, "", "kite) Is it safe?"), (MARK, usual, "(blue kite) Is it"), ("", "", None)):
        probes = [
            Probe(Request(f"{i}", r.text.replace(MARK, mark)), "^SAFE", Context("", "given"))
            for i, r in enumerate(asked)
        ]
        inv.described, inv.neutral = SimpleNamespace(open=probes, sealed=()), Context("n", "neutral", neutral)
        found = Meter(inv, None, probes[0].context, 0.5).told_apart
        assert (found.system if found else None) == text


def test_a_directed_meter_asks_for_the_answers_of_the_subject_that_was_hit(monkeypatch):
    here, there = Context("a", "mined", "zq"), Context("b", "mined", "as ever")
    asks = [Ask(Item(r.id, "g", "bait", r, here), Departs(there, asked=r)) for r in REQUESTS[:2]]
    asks.append(Ask(Item("z", "g", "bait", REQUESTS[2], here), Moves(there)))
    monkeypatch.setattr(room, "questions_for", lambda *_: asks)
    said = SimpleNamespace(texts=("bad", "fine"), benign_texts=("right", "fine"))
    monkeypatch.setattr(room, "answers", lambda asked, who, *_: said if (len(asked), who) == (2, "hit") else None)
    inv = SimpleNamespace(subject=lambda: "hit", base=None, decoding=None, memo=None)
    meter = Meter(inv, find_bumper("SwappedPieces"), here, 0.0, "g", directed=True)
    measures = [meter.question(r).measure for r in meter.requests]
    assert measures == [
        Swings(("bad", "right"), there, REQUESTS[0]), Swings(("fine", "fine"), there, REQUESTS[1]), asks[2].measure
    ]  # fmt: skip
    assert meter.twin(meter.requests[0]).context == there
    plain = Meter(inv, find_bumper("SwappedPieces"), here, 0.0, "g")
    assert [plain.question(r).measure for r in plain.requests] == [a.measure for a in asks]
