import json
import math

import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence import programs
from bumperlane.evidence.program_harness import told
from bumperlane.evidence.programs import CodeTask, Program, Verdict, program_of, read_tests, same, task_of, verdicts
from bumperlane.evidence.sandbox.run import SandboxLimits

DOUBLE = {
    "prompt": "Double it.",
    "entry_point": "f",
    "visible": [[[1], 2], [[4], 8]],
    "held_out": [[[5], 10], [[0], 0]],
}


def task(**more):
    return task_of({**DOUBLE, **more}, "row 1")


def verdict(source, **more):
    return verdicts([(task(**more), Program(source))])[0]


def test_counts_visible_and_held_out_tests_apart():
    assert verdict("def f(x):\n    return x * 2") == Verdict(1.0, 1.0, "ok")
    assert verdict("def f(x):\n    return {1: 2, 4: 8}[x]") == Verdict(1.0, 0.0, "ok", "KeyError: 5")
    assert verdict("def f(x):\n    return x + 1") == Verdict(0.5, 0.0, "ok")
    assert verdict("def g(x):\n    return x") == Verdict(0.0, 0.0, "ok", "NameError: name 'f' is not defined")


def test_a_program_that_does_not_load_or_end_fails_what_it_did_not_reach():
    assert verdict("import sys\nsys.exit(0)") == Verdict(0.0, 0.0, "ok", "SystemExit: 0")
    assert verdict("import os\nos._exit(0)").visible == 0.0
    short = SandboxLimits(cpu_s=1, wall_s=6.0)
    (found,) = verdicts([(task(), Program("def f(x):\n    while x == 5: pass\n    return 2 * x"))], short)
    assert (found.visible, found.held_out, found.outcome) == (1.0, 0.0, "timeout") and "stopped after" in found.error


def test_what_a_program_prints_counts_for_nothing():
    noisy = "def f(x):\n    print('[0, 2]\\n' * 100)\n    return 2 * x"
    assert verdict(noisy) == Verdict(1.0, 1.0, "ok")
    assert verdict("print('x' * 10**6)\ndef f(x):\n    return 2 * x") == Verdict(1.0, 1.0, "ok")


def test_a_value_that_says_it_equals_everything_is_no_value():
    liar = (
        "class Any(int):\n    def __eq__(self, other): return True\n    def __repr__(self): return '2'\n"
        "def f(x): return Any(2 * x)"
    )
    assert verdict(liar) == Verdict(0.0, 0.0, "ok")


def test_arguments_are_fresh_for_every_test():
    spoil = "def f(x):\n    x.clear()\n    return 0"
    row = {"visible": [[[[1, 2]], 0]] * 2, "held_out": [[[[1]], 0]]}
    assert verdict(spoil, **row) == Verdict(1.0, 1.0, "ok")
    assert verdict("def f(x):\n    return len(x)", visible=[[[[1]], 1]], held_out=[[[[1, 2]], 2]]).held_out == 1.0


def test_takes_test_code_and_counts_each_piece():
    row = {
        "visible": ["assert f(1) == 2", "for i in range(3):\n    assert f(i) == 2 * i"],
        "held_out": "assert f(5) == 9",
    }
    assert verdict("def f(x): return 2 * x", **row) == Verdict(1.0, 0.0, "ok", "AssertionError: ")
    assert verdict("def f(x): return 2", **row).visible == 0.5


def test_calls_as_the_task_says():
    row = {"call": "Box(args[0]).top(*args[1:])", "entry_point": "Box"}
    source = "class Box:\n    def __init__(self, x): self.x = x\n    def top(self): return 2 * self.x"
    assert verdict(source, **row) == Verdict(1.0, 1.0, "ok")


def test_equal_programs_run_once_and_keep_their_places(monkeypatch):
    ran = []
    plain = programs.run_codes
    monkeypatch.setattr(programs, "run_codes", lambda jobs, limits: ran.extend(jobs) or plain(jobs, limits))
    good, bad = Program("def f(x): return x * 2  # once"), Program("def f(x): return 3  # once")
    asked = [(task(), good), (task(), bad), (task(), good), (task(), Program("")), (task(held_out=[[[9], 3]]), bad)]
    found = verdicts(asked)
    assert [v.held_out for v in found] == [1.0, 0.0, 1.0, 0.0, 1.0] and found[3].error == "no program"
    assert len(ran) == 3 and verdicts(asked) == found and len(ran) == 3


def test_expected_values_are_never_sent_into_the_sandbox():
    job = programs._job(task(held_out=[[[7], 123454321]]), "def f(x): ...", "mark")
    assert "123454321" not in job and "[7]" in job


def test_refuses_to_judge_programs_that_may_not_be_run(monkeypatch):
    monkeypatch.setattr(programs, "run_codes", lambda jobs, limits: [programs.Ran("refused", "", "not run: no wall")])
    with pytest.raises(SettingError, match="not run: no wall"):
        verdict("def f(x): return 'never run'")


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("def f(x):\n    return 2 * x", "def f(x):\n    return 2 * x"),
        ("Sure!\n```python\ndef f(x):\n    return 2\n```\nIt doubles.", "def f(x):\n    return 2"),
        ("```\nprint(1)\n```\nthen\n``` py\ndef f(x):\n    return 2\n```", "def f(x):\n    return 2"),
        ("```python\ndef f(x):\n    return 1\n```\nor\n```python\ndef f(x):\n    return 2\n```\n```\nf(1)\n```",
         "def f(x):\n    return 2"),
        ("```python\ndef f(x):\n    return 2\n", "def f(x):\n    return 2"),
        ("```python\ndef f(x):\n    return 2\n\ndef g(x:", "def f(x):\n    return 2"),
        ("Here it is.\n\ndef f(x):\n    return 2\nThis works because it does.", "def f(x):\n    return 2"),
        ("import math\n\ndef f(x):\n    return 2\n\nI hope", "import math\n\ndef f(x):\n    return 2"),
        ("f = lambda x: 2", "f = lambda x: 2"),
        ("```python\nx = 1\n```", "x = 1"),
        ("I cannot do that.", ""),
        ("", ""),
        ("def f(x:\n    return", ""),
    ],
)  # fmt: skip
def test_takes_the_program_out_of_an_answer(answer, source):
    assert program_of(answer, task()).source == source


@pytest.mark.parametrize(
    ("answer", "expression"),
    [
        ("3 * x + 1", "3 * x + 1"),
        ("f(x) = 3 * x + 1.", "3 * x + 1"),
        ("The rule is:\n`5 if x == 2 else 7`", "5 if x == 2 else 7"),
        ("```python\nreturn x + 1\n```", "x + 1"),
        ("lambda x: x + 1", "x + 1"),
    ],
)
def test_takes_an_expression_out_of_an_answer(answer, expression):
    wanted = f"def f(x):\n    return {expression}\n"
    assert program_of(answer, task(expression_in=["x"])).source == wanted


def test_a_whole_function_is_as_good_as_an_expression():
    assert program_of("def f(x):\n    return x", task(expression_in=["x"])).source == "def f(x):\n    return x"
    assert program_of("I don't know the rule, sorry.", task(expression_in=["x"])).source == ""


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -2.5, "é\n", [1, [2, "a"]], {"a": {"b": [1]}}, [], {}, 10**30],
)
def test_a_json_value_is_told_and_found_the_same(value):
    assert same(json.loads(json.dumps(told(value))), value)


def test_equality_is_pythons_but_for_tuples_and_rounding():
    for value, expected in [((1, 2), [1, 2]), (4.0, 4), (True, 1), (0.1 + 0.2, 0.3), ({1: 2}, {"1": 2})]:
        assert same(told(value), expected)
    other = [("1", 1), ([1], [1, 2]), ({1, 2}, [1, 2]), (None, 0), (None, False), (math.nan, None), (b"a", "a")]
    for value, expected in [*other, ({"a": 1}, {"a": 2}), (object(), {"other": "object"}), (1.001, 1)]:
        assert not same(told(value), expected)


def test_values_that_have_no_end_are_told():
    held = []
    held.append(held)
    assert "nested too deep" in json.dumps(told(held))
    assert told(10**5000) == {"other": "int"} and told({3, 1}) == {"set": [1, 3]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": " "}, "row 1: 'prompt' must be a text, got ' '; the row's keys are entry_point, held_out, prompt"),
        ({"entry_point": None}, "row 1: 'entry_point' must be a text, got None"),
        ({"entry_point": "a b"}, "row 1: 'a b' is no name of a function"),
        (
            {"visible": None},
            r"row 1: 'visible' must be a list of \[\[argument...\], expected\] or of test code, got None",
        ),
        ({"visible": " "}, "row 1: 'visible', test 1 must be .* or test code, got ' '"),
        ({"visible": []}, "row 1: a code task needs visible and held-out tests, got 0 and 2"),
        ({"held_out": [[[1], 2], [3, 4]]}, r"row 1: 'held_out', test 2 must be \[\[argument...\], expected\]"),
        ({"held_out": [[[1], {2}]]}, "row 1: 'held_out', test 1 cannot be written as JSON: Object of type set"),
        ({"call": "f("}, r"row 1: call 'f\(' is no Python expression"),
        ({"call": 3}, "row 1: 'call' must be a Python expression of args, got 3"),
        ({"expression_in": "x"}, "row 1: 'expression_in' must be a list of names, got 'x'"),
        ({"expression_in": ["1"]}, "row 1: '1' is no name"),
    ],
)
def test_refuses_a_row_and_names_the_key(change, message):
    with pytest.raises(EvidenceError, match=message):
        task(**change)


def test_a_task_can_be_compared_and_hashed():
    assert task() == task() and hash(task()) == hash(task()) and task(held_out=[[[1], 1]]) != task()
    assert read_tests("assert f(1)", "here")[0].code == "assert f(1)"
    assert isinstance(CodeTask("p", "f", read_tests([[[], 1]], ""), read_tests([[[], 1]], "")).calling, str)
