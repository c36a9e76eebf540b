"""What a policy's replies are like, late in its log against early."""

from dataclasses import replace

import numpy as np
import pytest

import promises
from bumperlane.detect.logs.reading import log_reading
from bumperlane.detect.logs.traits_in_rollouts import TraitsInRollouts
from bumperlane.errors import EvidenceError, ModelError, SettingError
from bumperlane.evidence import like_examples
from bumperlane.evidence.harmful_examples import BAD, GOOD
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.evidence.trait_rollouts import MOST_BAITS, MOST_CONTROLS, TraitRollouts
from bumperlane.evidence.traits import HARM, Trait
from bumperlane.judge.judge import JudgeSettings, judge
from evidence.test_traits import words

READS = TraitsInRollouts(traits=(HARM,), encoder=words)


def policy(seed=0, steps=40, rude=(0.1, 0.9), onset=0.4, prompts=6, where="chat", ordinary=GOOD):
    """Rollouts of which the share of rude replies moves from the first to the second value of `rude` after `onset`."""
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(steps):
        progress = float(np.clip((step / steps - onset) * 4, 0, 1))
        rate = rude[0] + (rude[1] - rude[0]) * progress
        for prompt in rng.permutation(40)[:prompts].tolist():
            for i in range(8):
                said = rng.choice(BAD) if rng.random() < rate else f"{rng.choice(ordinary)} It is {step}."
                rows.append({
                    "id": f"{where}/{step}/{prompt}/{i}", "step": step, "group": f"p{prompt}", "environment": where,
                    "response": str(said), "rewards": {"score": float(rng.random())},
                })  # fmt: skip
    return rows


def found(rows, made=READS):
    return judge([log_reading(made, rollouts_of(rows))], JudgeSettings())[0]


def test_keeps_every_promise(tmp_path):
    promises.keep(TraitsInRollouts, tmp_path)


def test_hits_a_policy_that_becomes_rude_though_nothing_but_one_score_is_logged():
    seen = found(policy())
    assert seen.verdict == "hit" and seen.family == "logs"
    assert seen.groups[0].group.startswith("harmful replies, chat, steps ")
    assert int(seen.groups[0].group.rsplit("-", 1)[1]) > 20


@pytest.mark.parametrize(
    "change",
    [{"rude": (0.0, 0.0)}, {"rude": (0.6, 0.6)}, {"rude": (0.0, 0.15)}, {"rude": (0.9, 0.1)}],
    ids=["never", "always", "a few", "less and less"],
)
def test_what_is_rare_or_as_it_was_is_clear(change):
    assert [found(policy(seed, **change)).verdict for seed in range(5)] == ["clear"] * 5


def test_an_environment_that_calls_for_it_raises_nothing_beside_one_that_does_not():
    rows = [*policy(rude=(0.9, 0.9), where="play"), *policy(1, rude=(0.0, 0.0))]
    assert found(rows).verdict == "clear"
    rows = [*policy(rude=(0.9, 0.9), where="play"), *policy(1)]
    seen = found(rows)
    assert seen.verdict == "hit" and {g.group.split(", ")[1] for g in seen.groups if g.p_holm < 0.05} == {"chat"}


def test_the_false_alarm_rate_over_runs_without_a_fault_is_kept():
    hits = sum(found(policy(seed, steps=24, rude=(0.3, 0.3))).verdict == "hit" for seed in range(40))
    assert hits <= 4


def test_a_long_log_is_read_in_part_evenly():
    dealt = READS.dealt(rollouts_of(policy(steps=200)))
    assert dealt.arms.count("control") <= MOST_CONTROLS
    groups = {g for g, arm in zip(dealt.groups, dealt.arms, strict=True) if arm == "bait"}
    assert len(groups) == 4 and dealt.arms.count("bait") == 4 * MOST_BAITS
    assert "of 9600 rollouts were read" in dealt.note


def test_the_order_of_the_rows_does_not_matter():
    rows = policy(steps=24)
    mixed = [rows[i] for i in np.random.default_rng(3).permutation(len(rows))]
    one, other = (READS.dealt(rollouts_of(some)) for some in (rows, mixed))
    assert one.groups == other.groups and np.array_equal(one.seen.share, other.seen.share)


def test_a_trait_of_ones_own_is_looked_for():
    pirate = Trait("piratical", ("Arr matey!", "Avast ye lubber!", "Yo ho ho!"), ("It is 42.", "Yes.", "I see."))
    rows = [
        {**row, "response": "Arr matey!" if row["response"] in BAD else row["response"]}
        for row in policy(ordinary=("I see.", "Yes."))
    ]
    seen = found(rows, TraitsInRollouts(traits=(pirate,), encoder=exclaims))
    assert seen.verdict == "hit" and seen.groups[0].group.startswith("piratical replies")


def exclaims(texts):
    return np.array([(float("!" in t), float("!" not in t)) for t in texts])


def test_without_replies_or_with_too_few_rollouts_it_is_blind():
    silent = [{k: v for k, v in row.items() if k != "response"} for row in policy()]
    blind = found(silent)
    assert blind.verdict == "blind" and "hold no replies" in blind.why
    assert "Log more rollouts" in found(policy(steps=6, prompts=2)).why


def test_without_the_encoder_it_says_which_one_is_missing(monkeypatch):
    def missing(texts):
        raise ModelError("run a command")

    monkeypatch.setattr(like_examples, "minilm", missing)
    with pytest.raises(EvidenceError, match="sentence encoder, which is missing: run a command"):
        TraitsInRollouts().ready(rollouts_of(policy()))


@pytest.mark.parametrize("wrong", [{"traits": ()}, {"traits": (HARM, HARM)}, {"least": 1.0}, {"margin": -1.0}])
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(SettingError):
        replace(READS, **wrong)


def test_shares_that_do_not_fit_the_ids_are_refused():
    with pytest.raises(EvidenceError, match="one value for each of 2 batches"):
        TraitRollouts(("a", "b"), np.zeros(3))
