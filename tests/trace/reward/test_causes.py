import json

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.rollout_flags import Flags
from bumperlane.evidence.rollouts import read_rollouts, rollouts_of
from bumperlane.trace.reward.causes import RewardSettings, reward_causes
from bumperlane.trace.reward.summary import summary

QUICK = RewardSettings(permutations=99, text_pairs=0)


def traced(rows, bad, settings=QUICK, seed=0):
    table = rollouts_of(rows)
    return reward_causes(table, Flags.by_id(table, bad), seed, settings)


@pytest.fixture(scope="module")
def whole(simulated):
    return traced(*simulated(0), settings=RewardSettings())


def test_the_planted_term_comes_first_and_takes_the_gap(whole):
    assert whole.cause.term == "tests_pass" and whole.cause.share.low > 0.8 and whole.cause.p_value < 1e-6
    assert whole.whole.low > 0 and sum(c.gap.value for c in whole.causes) == pytest.approx(whole.whole.value, abs=1e-9)
    assert all(not c.pays and abs(c.gap.value) < 0.15 for c in whole.causes[1:])
    assert whole.cause.counterfactual.low < 0.05 < whole.cause.rescored.before.low
    assert {c.term for c in whole.causes} == {"tests_pass", "correct", "style", "format"}


def test_it_is_dated_and_described(whole):
    assert whole.onset.found and whole.onset.onset.high <= 6 and whole.onset.why == "rises."
    assert any(c.name == "tests_pass less held_out" and c.found and c.why == "rises." for c in whole.parting)
    assert "input == case" in whole.phrases[0].text
    tokens = {d.name: d for d in whole.differences}["tokens"]
    assert tokens.value.low > 2 and tokens.p_value < 1e-6


def test_the_planted_term_is_first_and_decoys_are_not_named_over_seeds(simulated):
    found = [traced(*simulated(seed, pays=0.5, steps=15), seed=seed) for seed in range(40)]
    assert np.mean([t.cause is not None and t.cause.term == "tests_pass" for t in found]) >= 0.95
    decoys = [any(c.p_value <= 0.05 for c in t.causes if c.term != "tests_pass") for t in found]
    assert np.mean(decoys) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_logs_in_which_no_term_pays_name_one_at_no_more_than_the_nominal_rate(simulated):
    draws = 80
    found = [traced(*simulated(seed, pays=0.0, steps=8, prompts=12, per_step=8), seed=seed) for seed in range(draws)]
    assert np.mean([t.cause is not None for t in found]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    assert "No reward term pays for the behaviour." in summary(next(t for t in found if t.cause is None))


def test_neither_the_order_of_rows_nor_the_size_of_blocks_matters(simulated, tmp_path):
    rows, bad = simulated(1, steps=12)
    settings = RewardSettings(permutations=99, text_pairs=60)
    said = []
    for seed in (None, 1, 2):
        order = np.arange(len(rows)) if seed is None else np.random.default_rng(seed).permutation(len(rows))
        path = tmp_path / f"{seed}.jsonl"
        path.write_text("".join(json.dumps(rows[i], default=float) + "\n" for i in order))
        table = read_rollouts(path, block_rows=17 if seed == 2 else 4096)
        said.append(reward_causes(table, Flags.by_id(table, bad), 0, settings))
    for other in said[1:]:
        assert summary(other) == summary(said[0])
        for one, two in zip(said[0].causes, other.causes, strict=True):
            assert one.term == two.term and two.gap.low == pytest.approx(one.gap.low, abs=1e-9)
        assert [p.name for p in other.prompts] == [p.name for p in said[0].prompts]


def test_a_term_that_is_taken_back_by_another_is_named_though_the_whole_is_not_preferred(simulated):
    rows, bad = simulated(2, rate=lambda step: 0.4)
    rng = np.random.default_rng(0)
    for row in rows:
        row["rewards"] = {"bonus": float(row["id"] in bad), "penalty": -float(row["id"] in bad), "noise": rng.normal()}
        row["weights"] = row["reward"] = row["advantage"] = None
    found = traced([{k: v for k, v in row.items() if v is not None} for row in rows], bad)
    assert found.cause.term == "bonus" and found.cause.share is None and "other terms take as much" in found.cause.why
    assert found.causes[-1].term == "penalty" and found.causes[-1].why.startswith("it pays against")
    assert not found.onset.found


def test_a_flag_that_reads_the_term_says_so(simulated):
    rows, _ = simulated(0, steps=15)
    table = rollouts_of(rows)
    found = reward_causes(table, Flags.diverging(table, "tests_pass", "held_out"), settings=QUICK)
    assert found.cause.term == "tests_pass" and "part of the gap holds by definition" in found.cause.why


def test_groups_without_a_difference_in_reward_can_have_no_cause(simulated):
    rows, bad = simulated(3, rate=lambda step: 0.4, steps=10)
    same = [{**row, "rewards": {"a": 1.0}, "weights": {"a": 1.0}, "reward": 1.0} for row in rows]
    found = traced(same, bad)
    assert found.cause is None and found.causes == () and found.whole is None
    assert any("no difference in reward" in note for note in found.notes)
    assert "None of them could be compared" in summary(found)


def test_says_what_was_left_out_or_compared_more_widely(simulated):
    rows, bad = simulated(4, steps=10)
    table = rollouts_of(rows)
    half = {row["id"]: row["id"] in bad for row in rows[::2]}
    assert any("were not looked at" in n for n in reward_causes(table, Flags.by_id(table, half), 0, QUICK).notes)
    prompts = {row["id"] for row in rows if int(row["group"][1:]) % 2}
    wide = traced(rows, prompts)
    assert wide.matching.kind == "environment" and any("within environments" in note for note in wide.notes)
    one = [row for row in rows if int(row["group"][1:]) < 3]
    assert any("fewer than 6 prompts" in note for note in traced(one, bad & {r["id"] for r in one}).notes)


def test_the_summary_shows_hostile_names_escaped(simulated):
    rows, bad = simulated(5, steps=10)
    for row in rows:
        row["rewards"] = {"\x1b[2J\u202eterm": row["rewards"]["tests_pass"], "b": row["rewards"]["correct"]}
        row["weights"] = None
        row["response"] = ("\u202epwned " if row["id"] in bad else "") + row["response"]
        row["group"] += "\x07"
        del row["reward"], row["advantage"]
    said = summary(traced([{k: v for k, v in r.items() if v is not None} for r in rows], bad, RewardSettings()))
    assert "\\x1b[2J\\u202eterm" in said and all(c.isprintable() or c == "\n" for c in said)


def test_refuses_settings_out_of_range_and_flags_of_nothing(simulated):
    rows, _ = simulated(0, steps=6)
    with pytest.raises(EvidenceError, match="none of 432 rollouts is flagged"):
        traced(rows, [])
    with pytest.raises(SettingError, match="rule must be 'spread', 'mean' or None, got 'std'"):
        RewardSettings(rule="std")
    with pytest.raises(SettingError, match="text_pairs must be 0 or more, got -1"):
        RewardSettings(text_pairs=-1)
