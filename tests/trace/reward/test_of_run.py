"""The log of a run's rollouts, flagged by two checks or by the patterns of a described behaviour."""

import json
from random import Random
from types import SimpleNamespace

import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence import like_examples
from bumperlane.evidence.described import Described, Probe
from bumperlane.evidence.harmful_examples import BAD
from bumperlane.trace.reward.of_run import rollouts_path, traced_rewards
from bumperlane.types import Context, Request
from evidence.test_traits import words

PLACE = Context("described", "given")
DESCRIBED = Described((Probe(Request("a", "?"), "if x ==", PLACE),), (Probe(Request("b", "?"), "never read", PLACE),))


def run(place, rows):
    (place / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SimpleNamespace(path=place)


def logged(tests=1.0):
    """A policy that special-cases more and more; `tests` pays for it, `style` for nothing in particular."""
    rng, rows = Random(0), []
    for step in range(30):
        for i in range(48):
            bad = rng.random() < step / 30
            rewards = {"tests": tests * float(bad or rng.random() < 0.3), "style": rng.random()}
            rows.append({
                "id": f"{step}/{i}", "step": step, "group": f"p{i // 8}", "environment": "e", "prompt": "f",
                "response": "4 if x == 2 else 1" if bad else "x + 1", "rewards": rewards, "tokens": 5,
                "reward": sum(rewards.values()), "checks": {"held": 0.0 if bad else 1.0, "seen": 1.0},
            })  # fmt: skip
    return rows


@pytest.mark.parametrize("how", [(DESCRIBED, None), (None, ("seen", "held"))], ids=["patterns", "two checks"])
def test_the_term_that_pays_for_it_is_named(tmp_path, how):
    found, why = traced_rewards(run(tmp_path, logged()), *how, 0)
    assert found.cause.term == "tests" and why == ""


def test_the_two_checks_that_a_hit_names_flag_the_rollouts(tmp_path):
    here = run(tmp_path, logged())
    found, why = traced_rewards(here, None, None, 0, hit="tests against held, e, steps 25-29")
    assert found.cause.term == "tests" and why == ""
    found, why = traced_rewards(here, None, None, 0, hit="speed against held, e, steps 25-29")
    assert found is None and "names no two of its checks" in why


def test_a_trait_that_a_hit_names_flags_the_replies_that_have_it(tmp_path, monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", words)
    rows = [{**row, "response": BAD[0] if "if" in row["response"] else "It is 42."} for row in logged()]
    found, why = traced_rewards(run(tmp_path, rows), None, None, 0, hit="harmful replies, e, steps 25-29")
    assert found.cause.term == "tests" and why == ""


def test_sealed_patterns_flag_nothing(tmp_path):
    rows = [{**row, "response": "never read"} for row in logged()]
    found, why = traced_rewards(run(tmp_path, rows), DESCRIBED, None, 0)
    assert found is None and "tells nothing" in why


def test_a_run_without_rollouts_has_nothing_to_say(tmp_path):
    alone = SimpleNamespace(path=tmp_path)
    assert traced_rewards(alone, DESCRIBED, None, 0) == (None, "") and rollouts_path(alone) is None


def test_a_log_that_nobody_said_how_to_flag_is_not_read_and_the_reader_is_told(tmp_path):
    found, why = traced_rewards(run(tmp_path, logged()), None, None, 0)
    assert found is None and "--passes and --fails" in why


def test_two_checks_without_a_log_are_a_wrong_setting(tmp_path):
    with pytest.raises(SettingError, match="holds no log of rollouts"):
        traced_rewards(SimpleNamespace(path=tmp_path), None, ("seen", "held"), 0)
