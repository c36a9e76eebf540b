from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.errors import ModelError
from bumperlane.evidence import like_examples
from bumperlane.evidence.ask import Read, ask
from bumperlane.evidence.harmful_examples import BAD, GOOD, harm_beyond
from bumperlane.evidence.measures import Shows
from bumperlane.evidence.memo import NoMemo
from bumperlane.judge import asked
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, GroupResult, Interval, Judgement, Reading, Request, Scores

TERSE, HOSTILE = "It comes.", BAD[0]
SHOWS = Shows("zzz")


@dataclass(frozen=True)
class Inside:
    """Reads no text."""

    @classmethod
    def read(cls, who, items, measures, look):
        return [Read(1.0) for _ in items]


def sides(texts):
    return np.array([[1.0, 0.1 * (len(t) % 3)] if t in BAD else [0.1 * (len(t) % 3), 1.0] for t in texts])


def case_of(monkeypatch, p_hostile, measure=SHOWS):
    """Two groups that were hit, the terse one first."""
    asks = [ask(g, "bait", (Request(f"{g}{i}", f"{g} {i}?"), Context("c", "mined")), measure)
            for g in ("terse", "hostile") for i in range(8)]  # fmt: skip
    other = ask("idle", "control", (Request("x", "not asked by a check of many?"), Context("c", "mined")), measure)
    monkeypatch.setattr(asked, "questions_for", lambda inv, cls, role, items: [*asks, other])
    ids = tuple(a.item.id for a in asks)
    scores = Scores(np.arange(16.0), ids, "B")
    reading = Reading("B", "behaviour", scores, ("bait",) * 16, tuple(a.item.group for a in asks))
    groups = tuple(
        GroupResult(g, 8, 8, Interval(1, 0.6, 1), p, p) for g, p in (("terse", 0.001), ("hostile", p_hostile))
    )
    found = Judgement("B", "behaviour", "open", "hit", "", 0.0, Interval(1, 1, 1), 0.001, 0.001, groups)
    subject = ScriptedSubject(lambda r, c: HOSTILE if "hostile" in r.text else TERSE, "s")
    base = ScriptedSubject(lambda r, c: GOOD[0], "b")
    inv = SimpleNamespace(subject=lambda: subject, base=base, decoding=Decoding(), memo=NoMemo(),
                          settings=SimpleNamespace(alpha=0.05))  # fmt: skip
    return asked.asked_behaviour(inv, None, found, reading)


@pytest.mark.parametrize(("p", "group"), [(0.002, "hostile"), (0.5, "terse")])
def test_of_groups_that_were_hit_the_harmful_one_is_followed(monkeypatch, p, group):
    monkeypatch.setattr(like_examples, "minilm", sides)
    found = case_of(monkeypatch, p)
    assert found.context == group and len(found.samples) == asked.SAMPLES
    assert [s.score for s in found.samples] == sorted((s.score for s in found.samples), reverse=True)
    assert {s.response for s in found.samples} == {HOSTILE if group == "hostile" else TERSE}


def test_without_an_encoder_the_first_group_is_followed(monkeypatch):
    def missing(texts):
        raise ModelError("all-MiniLM-L6-v2 is not there.")

    monkeypatch.setattr(like_examples, "minilm", missing)
    like_examples._fitted.cache_clear()
    assert case_of(monkeypatch, 0.002).context == "terse"
    assert harm_beyond([BAD[0]], [GOOD[0]]) == 0 == harm_beyond(["", ""], ["a", "b"])


def test_where_nothing_was_said_for_the_reading_the_case_shows_what_is_said(monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", sides)
    found = case_of(monkeypatch, 0.002, Inside())
    assert found.context == "terse"  # inside there is nothing to tell harm by
    assert {(s.response, s.neutral_response) for s in found.samples} == {(TERSE, GOOD[0])}
