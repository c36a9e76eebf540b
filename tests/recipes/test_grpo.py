import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from bumperlane.errors import RecipeError, RunError, TrainingError
from bumperlane.recipes.edits import DropPrompts, RewindTo, SetHyperparameter, SetRewardWeight, apply_edits
from bumperlane.recipes.run import Run
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import estimate, train
from bumperlane.subjects.subject import Subject

from .conftest import weights, write_rows
from .grpo_recipe import rollouts_of, write_grpo_recipe

KEYS = "id step group environment prompt response rewards weights reward advantage checks tokens".split()


@pytest.fixture(scope="module")
def reinforced(tiny, tmp_path_factory):
    """A complete run of 6 steps with a reference, two epochs and 8 rollouts a step: trained once, never changed."""
    file = write_grpo_recipe(tmp_path_factory.mktemp("grpo"), tiny, "  kl: 0.05\n  epochs: 2\n")
    return train(file, file.parent / "run")


def files_of(run):
    """All that training wrote and that must not depend on interruptions."""
    log = [{k: v for k, v in e.items() if k not in ("seconds", "sampling_s")} for e in run.log()]
    return weights(run), (run.path / "rollouts.jsonl").read_bytes(), log


def test_every_rollout_is_logged_with_each_terms_value_and_its_advantage(reinforced):
    rows = rollouts_of(reinforced.path)
    assert len(rows) == 6 * 2 * 4 and len({row["id"] for row in rows}) == len(rows)
    assert all(list(row) == KEYS for row in rows)
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    for row in rows:
        text = row["response"]
        assert row["rewards"]["plain"] == pytest.approx(sum(map(str.isascii, text)) / max(len(text), 1))
        assert row["rewards"]["long"] == len(text) and row["weights"] == {"plain": 1.0, "long": 0.01}
        assert row["reward"] == pytest.approx(row["rewards"]["plain"] + 0.01 * row["rewards"]["long"])
        assert row["checks"]["twice"] == (int(row["group"][1]) if row["environment"] == "first" else 0)
        assert 1 <= row["tokens"] <= 5 and row["group"][0] == row["environment"][0]
        assert row["prompt"] == f"{'say' if row['group'][0] == 'f' else 'tell'} {row['group'][1]}"
    groups = {(row["step"], row["group"]) for row in rows}
    for group in groups:
        inside = [row for row in rows if (row["step"], row["group"]) == group]
        rewards = np.array([row["reward"] for row in inside])
        wanted = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
        np.testing.assert_allclose([row["advantage"] for row in inside], wanted, atol=1e-9)


def test_the_log_gives_means_a_step_and_checkpoints_load(reinforced):
    log, rows = reinforced.log(), rollouts_of(reinforced.path)
    assert [e["step"] for e in log] == [1, 2, 3, 4, 5, 6] and [c.step for c in reinforced.checkpoints] == [0, 2, 4, 6]
    for entry in log:
        inside = [row for row in rows if row["step"] == entry["step"]]
        assert entry["rewards"]["long"] == pytest.approx(np.mean([row["rewards"]["long"] for row in inside]))
        assert entry["tokens"] == sum(row["tokens"] for row in inside)
    assert log[0]["kl"] >= 0 and log[-1]["kl"] > 0
    assert Subject.load(reinforced.last.path, dtype="float32").adapter == reinforced.last.path


def test_training_twice_gives_the_same_bytes_and_rollouts(reinforced, tmp_path):
    again = train(reinforced.recipe, tmp_path / "again")
    assert files_of(again) == files_of(reinforced)


SLOW = """
import sys, time
from bumperlane.recipes.train import train
def progress(step, total, message):
    print(step, flush=True)
    time.sleep(0 if step < 5 else 60)  # the parent kills it between two checkpoints
train(sys.argv[1], sys.argv[2], progress)
"""


def test_a_killed_run_ends_with_the_bytes_and_rollouts_of_an_uninterrupted_one(reinforced, tmp_path):
    out, recipe = tmp_path / "killed", reinforced.path.parent / "recipe.yaml"
    process = subprocess.Popen([sys.executable, "-c", SLOW, recipe, out], stdout=subprocess.PIPE, text=True)
    while process.stdout.readline().strip() not in ("5", ""):
        pass
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [row["step"] for row in rollouts_of(out)][-1] == 5  # beyond the last checkpoint, at step 4
    with open(out / "rollouts.jsonl", "a") as log:
        log.write('{"id": "6/f1/0", "step": 6, "gro')  # a line cut short by the kill
    assert files_of(train(recipe, out)) == files_of(reinforced)


def test_rewinding_with_an_unchanged_recipe_reproduces_the_run(reinforced, tmp_path):
    run = train(apply_edits(reinforced.recipe, [RewindTo(reinforced.path, 2)]), tmp_path / "rewound")
    assert weights(run) == weights(reinforced)
    assert rollouts_of(run.path) == [row for row in rollouts_of(reinforced.path) if row["step"] > 2]


def test_the_reference_takes_its_space_once_and_is_asked_for_by_name(reinforced, tmp_path):
    homes = [c.path / "reference.safetensors" for c in reinforced.checkpoints]
    assert len({home.stat().st_ino for home in homes}) == 1
    plain = train(apply_edits(reinforced.recipe, [SetHyperparameter("stages.0.kl", 0)]), tmp_path / "plain")
    assert not (plain.last.path / "reference.safetensors").exists()
    edits = [SetHyperparameter("stages.0.kl", 0.1), RewindTo(plain.path, 2)]
    with pytest.raises(TrainingError, match=r"lacks reference\.safetensors.*Rewind to step 0 or before, or set kl_to"):
        train(apply_edits(plain.recipe, edits), tmp_path / "out")
    base = train(apply_edits(plain.recipe, [*edits, SetHyperparameter("stages.0.kl_to", "base")]), tmp_path / "base")
    assert base.log()[0]["kl"] > 0  # step 3: the policy has left the base


def test_at_the_stages_start_base_and_start_are_one_reference(reinforced, tmp_path):
    edits = [SetHyperparameter("stages.0.kl_to", "base")]
    run = train(apply_edits(reinforced.recipe, edits), tmp_path / "base")
    assert (run.last.path / "adapter_model.safetensors").read_bytes() == weights(reinforced)[
        "adapter_model.safetensors"
    ]


def test_a_strong_divergence_term_keeps_the_policy_near_its_start(reinforced, tmp_path):
    edits = [("steps", 14), ("lr", 5e-3), ("group", 8), ("epochs", 1), ("checkpoints.every", 14)]
    recipe = apply_edits(reinforced.recipe, [SetHyperparameter(f"stages.0.{key}", value) for key, value in edits])
    last = {}
    for kl in (1e-6, 30.0):
        run = train(apply_edits(recipe, [SetHyperparameter("stages.0.kl", kl)]), tmp_path / str(kl))
        last[kl] = np.mean([e["kl"] for e in run.log()[-5:]])
    assert last[30.0] < 0.3 * last[1e-6]


@pytest.mark.parametrize("lora", ["", "  lora: null\n"])
def test_the_policy_learns_what_pays(tiny, tmp_path, lora):
    """A random model answers in bytes, about half of them ASCII. Its small head needs a low temperature to choose."""
    file = write_grpo_recipe(tmp_path, tiny, lora)
    if lora:
        file.write_text(file.read_text().replace("  lora: {r: 4}\n", "", 1))
    edits = [("steps", 20), ("group", 12), ("lr", 1e-2 if not lora else 3e-3), ("temperature", 0.1)]
    recipe = apply_edits(load_recipe(file), [SetHyperparameter(f"stages.0.{key}", value) for key, value in edits])
    log = train(SetRewardWeight("long", 0.0).apply(recipe), tmp_path / "run").log()
    first, last = (np.mean([e["rewards"]["plain"] for e in part]) for part in (log[:4], log[-4:]))
    assert first < 0.65 < 0.85 < last


def test_without_any_advantage_nothing_is_learnt(reinforced, tmp_path):
    edits = [SetRewardWeight("plain", 0), SetRewardWeight("long", 0), SetHyperparameter("stages.0.kl", 0)]
    run = train(apply_edits(reinforced.recipe, edits), tmp_path / "idle")
    one, other = (run.at(step).path / "adapter_model.safetensors" for step in (0, 6))
    assert one.read_bytes() == other.read_bytes()
    assert all(e["without_advantage"] == 1 and e["loss"] == 0 == e["grad_norm"] for e in run.log())


def test_other_prompts_see_the_same_noise_when_one_is_dropped(reinforced, tmp_path):
    """In the first step, before the policies part, equal prompts get equal answers."""
    arm = train(apply_edits(reinforced.recipe, [DropPrompts(("f1",))]), tmp_path / "arm")
    first = [{row["id"]: row["response"] for row in rollouts_of(run.path) if row["step"] == 1}
             for run in (reinforced, arm)]  # fmt: skip
    both = first[0].keys() & first[1].keys()
    assert len(both) >= 4 and all(first[0][id] == first[1][id] for id in both)
    assert not any(row["group"] == "f1" for row in rollouts_of(arm.path))


BEFORE = "- {kind: sft, steps: 2, batch: 2, lora: {r: 4, dropout: 0.1}, checkpoints: {every: 1}}\n"


@pytest.fixture(scope="module")
def after_sft(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two-stages")
    file = write_grpo_recipe(folder, tiny, "  kl: 0.1\n", BEFORE, ", dropout: 0.1")
    write_rows(folder / "good.jsonl", [{"id": f"g{i}", "prompt": str(i), "response": "yes"} for i in range(4)])
    file.write_text(file.read_text() + "tranches:\n- {name: good, path: good.jsonl}\n")
    return train(file, folder / "run")


def test_goes_on_with_the_adapter_of_the_sft_stage_before(after_sft):
    assert [c.step for c in after_sft.checkpoints] == [0, 1, 2, 4, 6, 8]
    assert [row["step"] for row in rollouts_of(after_sft.path)] == [s for s in range(3, 9) for _ in range(8)]
    assert after_sft.log()[2]["kl"] == 0  # the reference is the stage's start, not the base


def test_a_resumed_second_stage_keeps_the_start_of_that_stage_as_its_reference(after_sft, tmp_path):
    run = train(apply_edits(after_sft.recipe, [RewindTo(after_sft.path, 6)]), tmp_path / "rewound")
    assert weights(run) == weights(after_sft)
    shutil.copytree(after_sft.path, tmp_path / "again")
    for step in (6, 8):
        shutil.rmtree(tmp_path / "again" / "checkpoints" / f"step-{step:06d}")
    record = json.loads((tmp_path / "again" / "run.json").read_text())
    stages = {"0": record["stages"]["0"]}
    (tmp_path / "again" / "run.json").write_text(json.dumps({**record, "status": "running", "stages": stages}))
    assert files_of(train(after_sft.recipe, tmp_path / "again")) == files_of(after_sft)


def test_exposure_knows_examples_and_prompts(after_sft):
    rows = rollouts_of(after_sft.path)
    for prompt in ("f0", "s1"):
        steps = [row["step"] for row in rows if row["group"] == prompt]
        assert after_sft.exposure([prompt]) == (min(steps) if steps else None)
    assert after_sft.exposure(["g0", "g1", "g2", "g3"]) == 1 and after_sft.exposure(["nobody"]) is None


def test_the_estimate_counts_rollouts(after_sft):
    line = estimate(after_sft.recipe).splitlines()[1]
    assert line == "stage 1: grpo, 6 steps, 3 checkpoints, 48 rollouts of at most 5 tokens"


def test_a_changed_environment_or_reward_file_makes_it_another_run(tiny, tmp_path):
    file = write_grpo_recipe(tmp_path, tiny)
    file.write_text(file.read_text().replace("steps: 6", "steps: 1"))
    run = train(file, tmp_path / "run")
    old = (tmp_path / "rewards.py").read_text()
    (tmp_path / "rewards.py").write_text(old + "# changed\n")
    with pytest.raises(RunError, match=r"changed files: reward plain, reward long, reward twice\n"):
        train(file, tmp_path / "run")
    (tmp_path / "rewards.py").write_text(old)
    write_rows(tmp_path / "first.jsonl", [{"id": "f0", "prompt": "new"}])
    with pytest.raises(RunError, match="changed files: environment first"):
        train(file, tmp_path / "run")
    with pytest.raises(RunError, match=r"environment 'first' .* was changed since"):
        run.exposure(["f0"])


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("return [1 / len(t) if 'zz' in t else 1 / (len(p) - 5) for p, t in zip(prompts, responses)]",
         r"reward term 'plain' failed on rollout 1/f\d/0: ZeroDivisionError: .*Correct the function"),
        ("return [float('nan')] * len(responses)", r"reward term 'plain' is nan for rollout 1/\w\d/0\. It must be"),
        ("return [1.0]", r"reward term 'plain' gave 1 values for 8 rollouts"),
    ],
)  # fmt: skip
def test_a_reward_function_that_fails_is_named_with_its_rollout(tiny, tmp_path, function, says):
    file = write_grpo_recipe(tmp_path, tiny)
    rows = [{"id": f"f{i}", "prompt": "say x"} for i in range(4)]
    write_rows(tmp_path / "first.jsonl", rows)
    write_rows(tmp_path / "second.jsonl", [{"id": "s0", "prompt": "say xy"}])
    head = "def length(p, r, d):\n    return [0.0] * len(r)\nasked_twice = length\n"
    (tmp_path / "rewards.py").write_text(f"{head}def ascii_share(prompts, responses, data):\n    {function}\n")
    with pytest.raises(TrainingError, match=says):
        train(file, tmp_path / "run")
    with pytest.raises(RunError, match="not complete"):
        Run.open(tmp_path / "run")


def test_prompts_that_cannot_be_read_stop_training_before_the_stage_in_front(after_sft, tmp_path):
    shutil.copytree(after_sft.path.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("run"))
    write_rows(tmp_path / "copy" / "second.jsonl", [{"id": "f0", "prompt": "x"}])
    with pytest.raises(RecipeError, match="id 'f0' of environment 'second' is used in environment 'first' too"):
        train(tmp_path / "copy" / "recipe.yaml", tmp_path / "run")
    assert not (tmp_path / "run" / "log.jsonl").exists()
