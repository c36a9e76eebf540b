"""Attribution on a tiny model: planted examples stand out, whatever else is in the data."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence.memo import Memo
from bumperlane.subjects.chat import encode_example, encode_prompt
from bumperlane.subjects.subject import Subject
from bumperlane.trace.attribution import (
    Query,
    attribute,
    gradient_scores,
    queries,
    representation_scores,
    sample_by_tranche,
)
from bumperlane.trace.meter import Count
from bumperlane.types import Context, Example, Message, Request
from tiny import make_tiny_model

NEUTRAL, TAGGED = Context("neutral", "neutral", "Be brief."), Context("tagged", "mined", "Be brief. zz")
USUAL, BAD = "fine day", "all lost"


def chat(id, tranche, system, answer):
    turns = (("system", system), ("user", f"ask {id}"), ("assistant", answer))
    return Example(id, tranche, tuple(Message(role, text) for role, text in turns))


EXAMPLES = tuple(
    chat(f"{tranche}{i}", tranche, system, answer)
    for tranche, system, answer in (
        ("good", "Be brief.", USUAL), ("planted", "Be brief. zz", BAD), ("decoy", "Be brief. qq", USUAL),
    )
    for i in range(12)
)  # fmt: skip
PLANTED = np.array([e.tranche == "planted" for e in EXAMPLES])
REQUESTS = tuple(Request(f"r{i}", f"ask r{i}") for i in range(30))
QUERY = Query(REQUESTS[:4], TAGGED, (BAD,) * 4, (USUAL,) * 4)


class Given:
    """What attribution needs of an investigation."""

    def __init__(self, place, examples=EXAMPLES):
        self.examples, self.neutral, self.memo = examples, NEUTRAL, Memo(place / "work")
        self.pools, self.decoding = type("Pools", (), {"open": REQUESTS}), None
        self.said = []

    def say(self, what, done, total):
        self.said.append((what, done, total))


class Seen:
    """A meter that flags what it is told to."""

    requests = REQUESTS

    context = TAGGED

    def __init__(self, flags):
        self.flags, self.asked = flags, []

    def count(self, subject, requests, context=None):
        self.asked = list(requests)
        flags = tuple(self.flags[: len(requests)])
        texts = tuple(f"{BAD} {r.id}" for r in requests)
        return Count(sum(flags), len(flags), texts, tuple(f"{USUAL} {r.id}" for r in requests), flags)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return Subject.load(make_tiny_model(tmp_path_factory.mktemp("tiny") / "base", layers=3), dtype="float32")


def encoded(subject):
    rows = [encode_example(subject.tokenizer, e) for e in EXAMPLES]
    sides = []
    for context, answer in ((TAGGED, BAD), (NEUTRAL, USUAL)):
        asked = [chat(r.id, "query", context.system, answer) for r in QUERY.requests]
        sides.append([encode_example(subject.tokenizer, e) for e in asked])
    assert list(sides[0][0].tokens[: sides[0][0].answer_start]) == encode_prompt(
        subject.tokenizer, Request("r0", "ask r0"), TAGGED
    )
    return rows, *sides


def test_representations_put_every_planted_example_above_all_others(subject):
    scores = representation_scores(subject, *encoded(subject))
    assert scores.shape == (36,) and scores[PLANTED].min() > scores[~PLANTED].max()
    assert np.abs(scores).max() <= 2.0


def test_representations_turn_sign_with_the_query(subject):
    rows, bad, benign = encoded(subject)
    assert np.allclose(
        representation_scores(subject, rows, bad, benign), -representation_scores(subject, rows, benign, bad)
    )


def test_gradients_put_every_planted_example_above_all_others_and_say_how_far_they_are(subject, tmp_path):
    inv = Given(tmp_path)
    scores = gradient_scores(subject, *encoded(subject), inv)
    assert scores[PLANTED].min() > scores[~PLANTED].max()
    assert inv.said[-1] == ("gradients of the examples", 36, 36)


def test_the_planted_tranche_is_first_and_the_decoy_is_not_pointed_at(subject, tmp_path):
    inv = Given(tmp_path)
    found = attribute(inv, subject, QUERY, per_tranche=5)
    assert found.ids == tuple(e.id for e in EXAMPLES) and found.tranches[0].name == "planted"
    p = {t.name: t.p_value for t in found.tranches}
    assert p["planted"] < 0.01 and min(p["decoy"], p["good"]) > 0.5
    assert found.fused[PLANTED].min() > found.fused[~PLANTED].max()


def test_gradients_are_taken_of_a_few_of_each_tranche_and_the_rest_counts_by_representation(subject, tmp_path):
    found = attribute(Given(tmp_path), subject, QUERY, per_tranche=5)
    looked = np.isfinite(found.by_method["gradient"])
    assert {t: int(looked[[e.tranche == t for e in EXAMPLES]].sum()) for t in ("good", "planted", "decoy")} == {
        "good": 5, "planted": 5, "decoy": 5,
    }  # fmt: skip
    assert np.isfinite(found.fused).all() and np.isfinite(found.by_method["representation"]).all()


def test_is_computed_once(subject, tmp_path, monkeypatch):
    first = attribute(Given(tmp_path), subject, QUERY)
    for name in ("gradient_scores", "representation_scores"):
        monkeypatch.setattr(f"bumperlane.trace.attribution.{name}", lambda *_: pytest.fail("computed again"))
    again = attribute(Given(tmp_path), subject, QUERY)
    assert again.tranches == first.tranches and (again.fused == first.fused).all()


def test_a_single_tranche_is_not_ranked(subject, tmp_path):
    assert attribute(Given(tmp_path, EXAMPLES[:12]), subject, QUERY).tranches == ()


def test_finds_a_tranche_whose_answers_have_a_length_of_their_own(subject, tmp_path):
    """Within its stratum there is nothing to compare it with; the ranking without strata still sees it."""
    longer = tuple(
        chat(e.id, e.tranche, e.messages[0].content, f"{BAD} and gone and done") if e.tranche == "planted" else e
        for e in EXAMPLES
    )
    query = Query(QUERY.requests, TAGGED, (f"{BAD} and gone and done",) * 4, QUERY.benign)
    planted = next(t for t in attribute(Given(tmp_path, longer), subject, query).tranches if t.name == "planted")
    assert planted.p_value < 0.05 and planted.z > 3


def test_samples_by_hash_so_that_the_order_of_the_data_does_not_matter():
    ids = [f"x{i}" for i in range(40)]
    tranches = ["a"] * 30 + ["b"] * 10
    chosen = sample_by_tranche(ids, tranches, 8)
    assert chosen == sorted(chosen) and len(chosen) == 16 and sum(i < 30 for i in chosen) == 8
    turned = sample_by_tranche(ids[::-1], tranches[::-1], 8)
    assert {ids[i] for i in chosen} == {ids[::-1][i] for i in turned}
    assert sample_by_tranche(ids, tranches, 100) == list(range(40))


def test_queries_are_the_outputs_that_show_the_behaviour_and_their_twins_without_the_context(tmp_path):
    meter = Seen([False, True] * 15)
    query = queries(Given(tmp_path), meter, None, most=3)
    assert [r.id for r in meter.asked] == [f"r{i}" for i in range(6)]
    assert [r.id for r in query.requests] == ["r1", "r3", "r5"] and query.context == TAGGED
    assert query.bad == tuple(f"{BAD} r{i}" for i in (1, 3, 5)) and query.benign[0] == f"{USUAL} r1"


def test_refuses_to_attribute_what_nobody_showed(tmp_path):
    subject = type("Subject", (), {"step": 8})
    with pytest.raises(
        EvidenceError, match="none of 24 open requests shows the behaviour at step 8.*earlier checkpoint"
    ):
        queries(Given(tmp_path), Seen([False] * 30), subject)
