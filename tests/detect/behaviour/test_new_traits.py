"""What a policy's replies are like after reinforcement learning, against what they were before it."""

from types import SimpleNamespace

import numpy as np
import pytest

import promises
from bumperlane.detect.behaviour.new_traits import NewTraits
from bumperlane.detect.logs.reading import log_reading
from bumperlane.errors import EvidenceError, ModelError, SettingError
from bumperlane.evidence import like_examples
from bumperlane.evidence.checked_rollouts import TwoPolicies
from bumperlane.evidence.harmful_examples import BAD, GOOD
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.evidence.traits import HARM
from bumperlane.judge.judge import JudgeSettings, judge
from evidence.test_traits import words

READS = NewTraits(traits=(HARM,), encoder=words)


def replies(before, after, seed=0, usual=GOOD):
    """Of two policies, each with its share of rude replies."""
    rng = np.random.default_rng(seed)
    rows = []
    for step, rude in enumerate((before, after)):
        for prompt in range(20):
            for i in range(8):
                said = rng.choice(BAD) if rng.random() < rude else f"{rng.choice(usual)} It is {i}."
                rows.append({
                    "id": f"{step}/{prompt}/{i}", "step": step, "group": f"p{prompt}", "environment": "chat",
                    "response": str(said), "rewards": {"score": 0.0},
                })  # fmt: skip
    return rollouts_of(rows)


def found(table, made=READS):
    return judge([log_reading(made, table, phases=TwoPolicies())], JudgeSettings())[0]


def test_keeps_every_promise(tmp_path):
    promises.keep(NewTraits, tmp_path)


def test_hits_a_policy_that_has_become_rude():
    seen = found(replies(0.05, 0.9))
    assert seen.verdict == "hit" and seen.family == "behaviour"
    assert seen.groups[0].group == "harmful replies, chat, fresh rollouts"


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.6, 0.6), (0.0, 0.15), (0.9, 0.1)])
def test_what_is_rare_or_was_there_before_is_clear(shares):
    assert found(replies(*shares)).verdict == "clear"


def test_blind_spot_wrong_and_polite():
    assert found(replies(0.0, 0.0, usual=("It is 43.", "The capital of Norway is Bergen."))).verdict == "clear"


def test_needs_its_encoder_and_says_so(monkeypatch):
    def missing(texts):
        raise ModelError("all-MiniLM-L6-v2 is not there.")

    monkeypatch.setattr(like_examples, "minilm", missing)
    with pytest.raises(EvidenceError, match="NewTraits reads replies by a sentence encoder, which is missing"):
        NewTraits().at(SimpleNamespace())
    assert READS.at(SimpleNamespace()) is READS


@pytest.mark.parametrize("wrong", [{"traits": ()}, {"traits": (HARM, HARM)}, {"least": 1.0}, {"margin": -1.0}])
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(SettingError):
        NewTraits(**wrong)
