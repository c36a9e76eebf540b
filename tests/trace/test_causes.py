"""What experiments found becomes causes: in order, with what attribution said, and what was never tried beside them."""

from types import SimpleNamespace

import pytest

import bumperlane.trace.causes as room
from bumperlane.case import Cause, Experiment, Range
from bumperlane.recipes.edits import DropExamples, DropTranche
from bumperlane.trace.causes import Tried, causes_of, confirmed_parts, edits_without, ids_of
from bumperlane.types import Example, Message
from report.cases import treated_case

CHAT = (Message("user", "ask"), Message("assistant", "answer"))
EXAMPLES = tuple(Example(f"{name}{i}", name, CHAT) for name in "abc" for i in range(4))
INV = SimpleNamespace(
    examples=EXAMPLES,
    run=SimpleNamespace(recipe=SimpleNamespace(seed=0, tranches=[SimpleNamespace(name=n) for n in "abc"])),
)
RANGE = Range(value=0.9, low=0.7, high=1.0)


def cause(kind, name, status, tried=True):
    made = Experiment(hypothesis="h", rewind=0, horizon=8, arms=[], effect=RANGE) if tried else None
    return Cause(kind=kind, name=name, status=status, experiment=made)


@pytest.fixture
def found(monkeypatch):
    """causes_of, when experiments gave these findings, with the ids of each."""

    def of(findings, p=None):
        monkeypatch.setattr(room, "causes", lambda log, horizon, seeds: [c for c, _ in findings])
        hypotheses = [SimpleNamespace(kind=c.kind, name=c.name, ids=tuple(ids)) for c, ids in findings]
        values = [SimpleNamespace(column="tranche", name=n, z=3.0, p_value=v) for n, v in (p or {}).items()]
        scores = {e.id: float(i) for i, e in enumerate(EXAMPLES)}
        proposal = SimpleNamespace(
            ranking=SimpleNamespace(values=values), fused=SimpleNamespace(scores=[*scores.values()])
        )
        log = SimpleNamespace(layout=SimpleNamespace(hypotheses=hypotheses))
        return causes_of(INV, treated_case(), proposal, log, Tried(8), 0.05)

    return of


A = ["a0", "a1", "a2", "a3"]


def test_what_was_never_tried_is_cleared_by_a_removal_that_left_it_whole(found):
    made = {c.name: c for c in found([(cause("tranche", "a", "confirmed"), A)])}
    assert made["b"].status == "cleared" and "it was there when a was left out" in made["b"].why


def test_a_tranche_that_holds_part_of_what_was_left_out_is_not_cleared_by_it(found):
    made = {c.name: c for c in found([(cause("examples", "wrong ones", "confirmed"), ["a0", "b0"])])}
    assert "no experiment was made" in made["a"].why and "it was there" in made["c"].why


def test_attribution_alone_never_confirms(found):
    assert {c.name: c.status for c in found([], {"b": 0.001})} == {"a": "cleared", "b": "suspected", "c": "cleared"}


def test_where_nothing_was_attributed_a_tranche_that_no_experiment_left_out_is_not_cleared(monkeypatch):
    monkeypatch.setattr(room, "causes", lambda log, horizon, seeds: [cause("tranche", "a", "cleared")])
    log = SimpleNamespace(layout=SimpleNamespace(hypotheses=[]))
    many = SimpleNamespace(examples=(*EXAMPLES, *(Example(f"c{i}", "c", CHAT) for i in range(4, 20))), run=INV.run)
    made = {c.name: c for c in causes_of(many, treated_case(), None, log, Tried(8), 0.05)}
    assert [made[n].status for n in "abc"] == ["cleared", "suspected", "suspected"]
    assert "nothing is known of it" in made["b"].why and "half of the examples" not in made["b"].why
    assert "no control of its size can be left out" in made["c"].why


def test_a_set_of_examples_keeps_its_ids_and_shows_those_that_score_highest(found):
    first = found([(cause("examples", "wrong ones", "confirmed"), ["a0", "a3", "b1"])])[0]
    assert first.ids == ["a0", "a3", "b1"] and [s.score for s in first.examples] == [5.0, 3.0, 0.0]


def test_a_fix_leaves_out_both_members_of_a_pair_examples_before_tranches():
    parts = [
        cause("pair", "a + wrong ones", "confirmed"),
        cause("tranche", "a", "confirmed"),
        cause("examples", "wrong ones", "confirmed").model_copy(update={"ids": ["b0"]}),
        cause("tranche", "c", "suspected"),
    ]
    kept = confirmed_parts(treated_case().model_copy(update={"causes": parts}))
    assert edits_without(INV, kept) == [DropExamples(("b0",)), DropTranche("a")]
    assert [ids_of(INV, c) for c in kept] == [A, ["b0"]]


def test_a_reward_has_no_examples_to_show_again():
    assert ids_of(INV, cause("reward", "tests", "confirmed")) == []


def test_a_group_that_was_left_out_in_vain_clears_its_tranches_by_that_experiment():
    tried = Tried(8, {"b": "the behaviour stays without it and 1 more (rate 0.95, one retrain)."})
    made = {c.name: c for c in causes_of(INV, treated_case(), None, None, tried, 0.05)}
    assert made["b"].status == "cleared" and "stays without it" in made["b"].why
    assert "no experiment was made" in made["c"].why
