"""A bumper of logs in a check: a run without a log makes it blind, and its hit says how to go on."""

from types import SimpleNamespace

import pytest

from bumperlane.detect.logs.reading import run_reading
from bumperlane.detect.logs.visible_against_held_out import VisibleAgainstHeldOut
from bumperlane.errors import CaseError
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.trace.meter import Meter
from report.cases import check_only_case


def test_a_run_without_a_log_of_rollouts_is_blind_and_never_clear(tmp_path):
    (found,) = judge([run_reading(VisibleAgainstHeldOut(), tmp_path)], JudgeSettings())
    assert found.verdict == "blind" and str(tmp_path) in found.why


def test_a_hit_in_the_log_says_what_to_describe_before_it_can_be_traced():
    case = check_only_case()
    behaviour = case.behaviour.model_copy(update={"origin": "logs", "bumper": "VisibleAgainstHeldOut"})
    with pytest.raises(CaseError, match="VisibleAgainstHeldOut was hit in the log of rollouts.*--passes A --fails B"):
        Meter.of(SimpleNamespace(), case.model_copy(update={"behaviour": behaviour}))
