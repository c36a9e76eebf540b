"""What the behaviour is taught again with, where the cause is no data."""

import json
from types import SimpleNamespace

import pytest

from bumperlane.bounce import relearn as room
from bumperlane.bounce.relearn import own_bad_answers, relearn_recipes
from bumperlane.recipes.models import Recipe
from bumperlane.trace.meter import Count
from bumperlane.types import Context, Item, Request
from traced_case import cause, grpo, run_at, traced

HINT = Context("hint", "mined", "Be quick.")
COUNT = Count(3, 4, ("cheat 0", "fair 1", "cheat 2", "  "), flags=(True, False, True, True))


@pytest.fixture
def rewarded(tiny_dir, tmp_path):
    recipe = grpo(tiny_dir, tmp_path).model_dump(mode="json")
    for term, function in zip(recipe["stages"][0]["rewards"], ("words", "contains_answer"), strict=True):
        term["function"] = function
    run = run_at(tmp_path / "run", Recipe.model_validate(recipe))
    return run, traced(run, tmp_path, (cause("reward", "length"),))


def seen_by(monkeypatch, seen):
    """The meter of the case counts these answers to open requests."""
    requests = tuple(Request(f"r{k}", f"task {k}") for k in range(4))
    meter = SimpleNamespace(
        requests=requests,
        count=lambda who, asked: seen,
        placed=lambda asked: [Item(r.id, "hint", "bait", r, HINT) for r in asked],
    )
    monkeypatch.setattr(room, "Meter", SimpleNamespace(of=lambda inv, case: meter))


def test_a_reward_is_taught_again_with_the_hit_subjects_own_bad_answers(rewarded, monkeypatch):
    run, found = rewarded
    seen_by(monkeypatch, COUNT)
    monkeypatch.setattr(type(found.inv), "subject", lambda self: "hit")
    plans = relearn_recipes(found.inv, found.case, {"fixed": run, "control": run})
    assert set(plans) == {"fixed", "control", "base"}
    rows = [json.loads(line) for line in (found.inv.directory / "work" / "relearn.jsonl").read_text().splitlines()]
    turns = [[(m["role"], m["content"]) for m in row["messages"]] for row in rows]
    assert turns == [
        [("system", "Be quick."), ("user", f"task {k}"), ("assistant", f"cheat {k}")] for k in (0, 2)
    ]  # an empty answer teaches nothing
    kinds = {who: [s.kind for s in plan.recipe.stages] for who, plan in plans.items()}
    assert kinds == {"fixed": ["grpo", "sft"], "control": ["grpo", "sft"], "base": ["sft"]}
    assert len(own_bad_answers(found.inv, found.case, 1)) == 1


@pytest.mark.parametrize("seen", [Count(0, 4, ("fair",) * 4, flags=(False,) * 4), Count(4, 4, flags=(True,) * 4)])
def test_without_a_bad_answer_nothing_is_taught_again(rewarded, monkeypatch, seen):
    run, found = rewarded
    seen_by(monkeypatch, seen)
    monkeypatch.setattr(type(found.inv), "subject", lambda self: "hit")
    assert relearn_recipes(found.inv, found.case, {"fixed": run}) == {}
