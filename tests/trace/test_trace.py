"""What `trace` does when attribution is of no help. The whole of it runs in test_own_run.py."""

from types import SimpleNamespace

import pytest

import bumperlane.trace.trace as room
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.experiments.budget import Budget
from bumperlane.trace.trace import TraceSettings, find_leads
from bumperlane.types import Context, Example, Message
from report.cases import treated_case

CHAT = (Message("user", "ask"), Message("assistant", "answer"))
SIZES = {"small": 4, "large": 30, "middle": 8}
EXAMPLES = tuple(Example(f"{name}{i}", name, CHAT) for name, n in SIZES.items() for i in range(n))


def leads(monkeypatch, examples=EXAMPLES, told_apart=None, **settings):
    """find_leads where no attribution method has weight and there is no log of rollouts."""

    def refuse(*_):
        raise EvidenceError("no attribution method has weight in this model.")

    monkeypatch.setattr(room, "_proposal", refuse)
    monkeypatch.setattr(room, "traced_rewards", lambda *_: (None, ""))
    tranches = [SimpleNamespace(name=name) for name in SIZES]
    inv = SimpleNamespace(
        examples=examples,
        run=SimpleNamespace(recipe=SimpleNamespace(tranches=tranches)),
        settings=SimpleNamespace(described=None, seed=0),
        ledger=SimpleNamespace(look=lambda *a, **k: None),
        neutral=Context("neutral", "neutral"),
    )
    meter = SimpleNamespace(name="B", told_apart=told_apart)
    return find_leads(inv, treated_case(), meter, None, TraceSettings(**settings))


def test_tries_every_tranche_that_has_a_control_smallest_first_where_no_method_is_heard(monkeypatch):
    found = leads(monkeypatch)
    assert [h.title for h in found.hypotheses] == ["tranche small", "tranche middle"]
    assert "no attribution method has weight" in found.notes[0] and found.data is None


def test_what_holds_the_hits_own_text_is_tried_before_tranches_where_no_method_is_heard(monkeypatch):
    marked = (Message("user", "ask (blue kite)"), Message("assistant", "answer"))
    some = tuple(Example(f"large{i}", "large", marked) for i in range(6))
    data = tuple(e for e in EXAMPLES if e.id not in {s.id for s in some})
    found = leads(monkeypatch, (*data, *some), Context("piece", "mined", "(blue kite)")).hypotheses
    assert [h.title for h in found] == ["examples prompt holds '(blue kite)'", "tranche small", "tranche middle"]
    assert found[0].ids == tuple(e.id for e in some)
    whole = leads(monkeypatch, told_apart=Context("piece", "mined", "ask")).hypotheses
    assert [h.kind for h in whole] == ["tranche", "tranche"]  # all examples hold it: no control could match them


def test_without_data_and_without_rollouts_there_is_nothing_to_try(monkeypatch):
    assert leads(monkeypatch, examples=()).hypotheses == ()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"seeds": 0}, "seeds must be 1 or more"),
        ({"share": 0.0}, r"share must be in \(0, 1\]"),
        ({"methods": ("bm52",)}, "unknown attribution method 'bm52'. Known: representation"),
        ({"per_tranche": -1}, "per_tranche must be 0 or more"),
    ],
)
def test_refuses_settings_that_mean_nothing(settings, text):
    with pytest.raises(SettingError, match=text):
        TraceSettings(**settings)


def test_a_granted_budget_lets_a_proof_go_on_for_longer():
    unasked, granted = TraceSettings(), TraceSettings(budget=Budget(retrains=24))
    assert (unasked.experiments.most_seeds, granted.experiments.most_seeds) == (8, 16)
    assert TraceSettings(seeds=20).experiments.most_seeds == 20
