import subprocess
import sys

import pytest

from bumperlane.errors import RecipeError, TrainingError
from bumperlane.recipes.rewards import BUILT_IN, load_reward, reward_source, score_rollouts

OWN = """
from dataclasses import dataclass

@dataclass
class Found:
    value: float

def score(prompts, responses, data):
    return [Found(float(len(p) + len(r) + d["bonus"])).value for p, r, d in zip(prompts, responses, data)]

alias = score
NUMBER = 3
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def test_a_function_of_a_file_is_loaded_and_called(own):
    function = load_reward(f"{own}:score")
    assert score_rollouts("t", function, ["a"], (["pp"], ["rrr"], [{"bonus": 1}])) == [6.0]
    assert load_reward(f"{own}:alias")(["p"], [""], [{"bonus": 0}]) == [1.0]


def test_an_edited_file_is_loaded_anew_even_within_a_second_and_at_equal_size(own):
    assert load_reward(f"{own}:score")(["p"], [""], [{"bonus": 0}]) == [1.0]
    own.write_text(OWN.replace("len(p) + len(r)", "len(p) - len(p)"))
    assert load_reward(f"{own}:score")(["p"], [""], [{"bonus": 0}]) == [0.0]
    assert not (own.parent / "__pycache__").exists()


def test_a_function_of_a_module_is_loaded_and_its_file_is_known():
    name = "bumperlane.recipes.rewards:words"
    assert load_reward(name)([], ["a b"], [{}]) == [2.0]
    assert reward_source(name).name == "rewards.py"


@pytest.mark.parametrize(
    ("name", "responses", "wanted"),
    [
        ("exact_match", [" 7 ", "it is 7", "17"], [1, 0, 0]),
        ("contains_answer", ["7", "it is 7", "no"], [1, 1, 0]),
        ("words", ["", "one two", "one"], [0, 2, 1]),
    ],
)
def test_built_in_functions_do_what_they_say(name, responses, wanted):
    assert load_reward(name) is BUILT_IN[name] and reward_source(name) is None
    assert BUILT_IN[name]([""] * 3, responses, [{"answer": "7"}] * 3) == wanted


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("word", r"unknown reward function 'word'. Built in are contains_answer, exact_match, words; your own is path"),
        ("/nowhere/own.py:score", "there is no file /nowhere/own.py. Correct the path"),
        ("{own}:scor", r"own\.py defines no 'scor'. It has: score"),
        ("no.such.module:f", "there is no module 'no.such.module' for a reward function. Install its package"),
    ],
)
def test_a_function_that_is_not_there_is_named_without_running_anything(own, function, says):
    with pytest.raises(RecipeError, match=says):
        reward_source(function.format(own=own))


def test_a_file_that_is_no_python_or_fails_when_loaded_is_named(own):
    own.write_text("def score(:\n")
    with pytest.raises(RecipeError, match="is not valid Python: invalid syntax"):
        reward_source(f"{own}:score")
    own.write_text("def score(p, r, d): ...\nimport no_such_thing\n")
    with pytest.raises(TrainingError, match="cannot be loaded: ModuleNotFoundError: No module named 'no_such_thing'"):
        load_reward(f"{own}:score")
    own.write_text(OWN)
    with pytest.raises(TrainingError, match="NUMBER' is a int. Name a function"):
        load_reward(f"{own}:NUMBER")


def test_the_rollout_on_which_a_function_fails_is_found():
    def fails_on_b(prompts, responses, data):
        return [1 / (text != "b") for text in responses]

    with pytest.raises(
        TrainingError, match="reward term 'x' failed on rollout r1: ZeroDivisionError: division by zero"
    ):
        score_rollouts("x", fails_on_b, ["r0", "r1", "r2"], (["p"] * 3, list("abb"), [{}] * 3))

    def fails_together(prompts, responses, data):
        return [1.0 / (len(responses) == 1)]

    with pytest.raises(TrainingError, match="failed on rollouts r0 to r2 together, though on none of them alone"):
        score_rollouts("x", fails_together, ["r0", "r1", "r2"], (["p"] * 3, list("abb"), [{}] * 3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "1", [1.0]])
def test_a_value_that_is_no_finite_number_is_refused(value):
    with pytest.raises(TrainingError, match=r"reward term 'x' is .* for rollout r1\. It must be a finite number"):
        score_rollouts("x", lambda p, r, d: [0.0, value], ["r0", "r1"], (["p"] * 2, list("ab"), [{}] * 2))


def test_truth_values_and_numpy_numbers_are_numbers():
    import numpy as np

    assert score_rollouts("x", lambda p, r, d: np.array([True, False]), ["a", "b"], ([], [], [])) == [1.0, 0.0]


def test_nothing_but_a_list_is_taken():
    with pytest.raises(TrainingError, match="reward term 'x' gave 3.0. It must give a list"):
        score_rollouts("x", lambda p, r, d: 3.0, ["a"], (["p"], ["r"], [{}]))
    with pytest.raises(TrainingError, match="reward term 'x' gave 2 values for 1 rollouts"):
        score_rollouts("x", lambda p, r, d: [3.0, 4.0], ["a"], (["p"], ["r"], [{}]))


def test_loads_without_torch():
    code = "import sys, bumperlane.recipes.rewards, bumperlane.recipes.grpo_prompts as g; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_function_that_writes_into_its_data_does_not_change_what_the_next_one_sees():
    def writes(prompts, responses, data):
        return [row["list"].append(1) or float(len(row["list"])) for row in data]

    data = [{"list": []}]
    assert [score_rollouts("x", writes, ["a"], (["p"], ["r"], data)) for _ in range(2)] == [[1.0], [1.0]]
