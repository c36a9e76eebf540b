"""A policy is asked again after its training, and graded by what it was paid for and what that was to stand for."""

from types import SimpleNamespace

import numpy as np
import pytest

import promises
from bumperlane.detect.behaviour.false_passes import FalsePasses
from bumperlane.detect.logs.reading import log_reading
from bumperlane.errors import EvidenceError
from bumperlane.evidence.checked_rollouts import TwoPolicies
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.judge.judge import JudgeSettings, judge

MADE = FalsePasses((("tests", "held_out"),))


def rollouts(before, after, prompts=20, where="code", seed=0):
    """Of two policies; each is (share that passes what is shown, share of these that fails what is held out)."""
    rng = np.random.default_rng(seed)
    rows = []
    for step, (passes, false) in enumerate((before, after)):
        for prompt in range(prompts):
            for i in range(8):
                shown = rng.random() < passes
                rows.append({
                    "id": f"{step}/{prompt}/{i}", "step": step, "group": f"p{prompt}", "environment": where,
                    "response": "x", "rewards": {"tests": float(shown)},
                    "checks": {"held_out": float(shown and rng.random() >= false)},
                })  # fmt: skip
    return rollouts_of(rows)


def found(table):
    return judge([log_reading(MADE, table, phases=TwoPolicies())], JudgeSettings())[0]


def test_keeps_every_promise(tmp_path):
    promises.keep(FalsePasses, tmp_path)


def test_hits_a_policy_that_has_learnt_to_pass_falsely():
    seen = found(rollouts((0.3, 0.2), (0.95, 0.95)))
    assert seen.verdict == "hit" and seen.family == "behaviour" and seen.unit == "batches of rollouts"
    assert seen.groups[0].group == "tests against held_out, code, fresh rollouts"
    assert "of 20 batches of rollouts stand above the clean threshold in tests against held_out" in seen.why


@pytest.mark.parametrize(
    "after", [(0.3, 0.2), (0.95, 0.1), (0.0, 0.0), (0.9, 0.4)], ids=["as before", "honest", "nothing", "under half"]
)
def test_a_policy_that_passes_both_or_as_before_is_clear(after):
    assert found(rollouts((0.3, 0.2), after)).verdict == "clear"


def test_blind_spots_of_its_page_a_fault_that_was_there_before_and_a_gamed_check():
    assert found(rollouts((0.9, 0.95), (0.9, 0.95))).verdict == "clear"
    assert found(rollouts((0.3, 0.2), (1.0, 0.0))).verdict == "clear"  # whatever the passes are worth


def test_seldom_hits_policies_that_have_not_changed():
    rate = (0.6, 0.5)
    assert sum(found(rollouts(rate, rate, seed=k)).verdict == "hit" for k in range(40)) <= 4


def run_with(tmp_path, functions, log=True, of="checks"):
    if log:
        rng = np.random.default_rng(0)
        rows = []
        for step in range(40):
            for i in range(8):
                passed = float(rng.random() < 0.4)
                row = {"step": step, "group": f"p{i}", "rewards": {"tests": passed}}
                row.setdefault(of, {})["held_out"] = passed if rng.random() < 0.9 else 0.0
                rows.append(row)
        (tmp_path / "rollouts.jsonl").write_text("".join(f"{str(row).replace(chr(39), chr(34))}\n" for row in rows))
    stage = SimpleNamespace(rewards=[SimpleNamespace(name=n) for n in functions], checks=[])
    return SimpleNamespace(path=tmp_path, recipe=SimpleNamespace(stages=[stage]))


def test_what_is_held_against_what_is_read_off_the_log(tmp_path):
    assert FalsePasses().at(run_with(tmp_path, ["tests", "held_out"])).pairs == (("tests", "held_out"),)
    assert MADE.at(None) is MADE


def test_says_why_it_cannot_look(tmp_path):
    with pytest.raises(EvidenceError, match="no functions named tests and held_out"):
        FalsePasses().at(run_with(tmp_path, ["other"]))
    with pytest.raises(EvidenceError, match="no check that is not paid for"):
        FalsePasses().at(run_with(tmp_path, ["tests", "held_out"], of="rewards"))
    with pytest.raises(EvidenceError):
        FalsePasses().at(run_with(tmp_path / "none", ["tests"], log=False))
