"""What the case shows of a hit in the log: rollouts of those steps, and nothing that has to be asked or called."""

import json
from types import SimpleNamespace

import pytest

from bumperlane.judge.logged import logged_behaviour
from bumperlane.report.sentences import hit_clause
from report.cases import check_only_case

GROUP = "tests against held_out, sums, steps 5-9"


@pytest.fixture
def behaviour(tmp_path):
    rows = [
        {
            "prompt": f"p{i}", "response": f"r{step}-{i}", "step": step, "environment": "sums" if i < 9 else "words",
            "rewards": {"tests": 1.0}, "checks": {"held_out": float(step < 5 or i == 0)},
        }
        for step in range(1, 12) for i in range(10)
    ]  # fmt: skip
    (tmp_path / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def of(group=GROUP):
        return logged_behaviour(SimpleNamespace(path=tmp_path), "VisibleAgainstHeldOut", group)

    return of


def test_shows_the_last_rollouts_of_the_groups_steps_each_prompt_once(behaviour):
    found = behaviour()
    assert (found.bumper, found.context, found.origin) == ("VisibleAgainstHeldOut", GROUP, "logs")
    assert [(s.request, s.response) for s in found.samples] == [(f"p{i}", f"r9-{i}") for i in range(8, 2, -1)]
    assert all(s.context == s.neutral_response == "" for s in found.samples)


def test_a_group_of_no_environment_shows_all_of_them_and_one_of_another_bumper_nothing(behaviour):
    assert behaviour("tests against held_out, steps 5-9").samples[0].request == "p9"
    assert behaviour("length, steps 5-9").samples == []


def test_the_headline_counts_batches_of_rollouts():
    case = check_only_case()
    steps = case.hits[0].model_copy(update={"family": "logs"})
    told = case.model_copy(update={"hits": [steps], "bumpers": [steps]})
    assert "of batches of rollouts in its worst group" in hit_clause(told)
    assert "of answers in its worst context" in hit_clause(case)
