"""A bumper of logs in a check: a run without a log makes it blind, and its hit says how to go on."""

from types import SimpleNamespace

import pytest

import bumperlane.trace.meter as room
from bumperlane.detect.logs.reading import run_reading
from bumperlane.detect.logs.visible_against_held_out import VisibleAgainstHeldOut
from bumperlane.errors import CaseError
from bumperlane.evidence.by_checks import ByChecks
from bumperlane.evidence.described import Described, Probe
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Request
from report.cases import check_only_case


def test_a_run_without_a_log_of_rollouts_is_blind_and_never_clear(tmp_path):
    (found,) = judge([run_reading(VisibleAgainstHeldOut(), tmp_path)], JudgeSettings())
    assert found.verdict == "blind" and str(tmp_path) in found.why


def test_a_hit_in_the_log_says_what_to_describe_before_it_can_be_traced():
    case = check_only_case()
    behaviour = case.behaviour.model_copy(update={"origin": "logs", "bumper": "VisibleAgainstHeldOut"})
    with pytest.raises(CaseError, match="VisibleAgainstHeldOut was hit in the log of rollouts.*--passes A --fails B"):
        Meter.of(ungraded(), case.model_copy(update={"behaviour": behaviour}))


def ungraded():
    """A run whose recipe trained nothing by reward."""
    return SimpleNamespace(
        run=SimpleNamespace(recipe=SimpleNamespace(stages=())), settings=SimpleNamespace(requests=24, seed=0)
    )


def told(opened=False):
    """A hit in the log of a run whose recipe can grade it: here numbers pass, and words alone are what was meant."""
    case = check_only_case()
    behaviour = case.behaviour.model_copy(update={"origin": "logs", "bumper": "VisibleAgainstHeldOut"})
    probes = tuple(
        Probe(
            Request(f"p{i}", f"say {i}"), ByChecks("words", "exact_match", "", {"answer": "ok"}), Context("e", "given")
        )
        for i in range(12)
    )
    inv = ungraded()
    inv.opened, inv.decoding, inv.memo, inv.base, inv.neutral, inv.examples = opened, None, None, "base", None, ()
    return inv, case.model_copy(update={"behaviour": behaviour}), Described(probes[::2], probes[1::2])


def test_a_hit_in_the_log_is_measured_by_the_recipes_own_functions(monkeypatch):
    inv, case, found = told()
    monkeypatch.setattr(room, "graded", lambda recipe, group, most, seed: found)
    says = {"hit": "no", "base": ""}
    monkeypatch.setattr(room, "responses", lambda who, items, *_: [says[who]] * len(items))
    meter = Meter.of(inv, case)
    assert (meter.name, meter.told, len(meter.requests)) == ("VisibleAgainstHeldOut", True, 6)
    assert (meter.count("hit", meter.requests).k, meter.count("base", meter.requests).k) == (6, 0)


def test_its_sealed_prompts_stay_shut_until_verification(monkeypatch):
    inv, case, found = told()
    monkeypatch.setattr(room, "graded", lambda recipe, group, most, seed: found)
    monkeypatch.setattr(room, "responses", lambda who, items, *_: [""] * len(items))
    with pytest.raises(CaseError, match="the 6 sealed prompts are sealed"):
        list(Meter.of(inv, case).sealed)
    assert len(Meter.of(told(opened=True)[0], case).sealed) == 6
