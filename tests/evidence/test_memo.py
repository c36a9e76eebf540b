import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bumperlane.evidence.memo import Memo, subject_key
from bumperlane.evidence.observe import responses
from bumperlane.subjects.subject import Decoding, Subject
from tiny import make_tiny_model
from tiny_adapter import ask, make_adapter

WHAT = {"kind": "answers", "subject": "abc", "n": 3}


class Counted:
    """A computation that knows how often it was run."""

    def __init__(self, value):
        self.value, self.times = value, 0

    def __call__(self):
        self.times += 1
        return self.value


@pytest.fixture
def memo(tmp_path):
    return Memo(tmp_path / "work")


def only_file(memo):
    (path,) = memo.directory.iterdir()
    return path


def test_computes_once_and_remembers_in_another_process_too(memo):
    compute = Counted({"texts": ["a", "b"], "x": 0.1})
    assert [memo.json(WHAT, compute), Memo(memo.directory).json(WHAT, compute)] == [compute.value] * 2
    assert compute.times == 1


def test_the_first_answer_is_of_the_same_kind_as_the_remembered_one(memo):
    assert memo.json(WHAT, lambda: ("a", "b")) == memo.json(WHAT, lambda: ("a", "b")) == ["a", "b"]


def test_remembers_arrays_bit_by_bit(memo):
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    compute = Counted({"1": rows.T, "2": rows})
    first, again = memo.arrays(WHAT, compute), memo.arrays(WHAT, compute)
    assert compute.times == 1
    for found in (first, again):
        assert found["1"].tobytes() == np.ascontiguousarray(rows.T).tobytes()
        np.testing.assert_array_equal(found["2"], rows)


@pytest.mark.parametrize("more", [{"n": 4}, {"subject": "abd"}, {"kind": "logprobs"}, {"extra": None}])
def test_anything_that_differs_in_the_question_is_another_result(memo, more):
    memo.json(WHAT, lambda: 1)
    assert memo.json({**WHAT, **more}, lambda: 2) == 2
    assert memo.json(dict(reversed(WHAT.items())), lambda: 3) == 1  # the order of keys is no difference


@pytest.mark.parametrize("damage", [b"", b'{"texts": ["a"', b"\x00\xff\x00"])
def test_a_damaged_file_is_computed_again(memo, damage):
    memo.json(WHAT, lambda: [1])
    only_file(memo).write_bytes(damage)
    assert memo.json(WHAT, lambda: [2]) == [2] and json.loads(only_file(memo).read_text()) == [2]


@pytest.mark.parametrize("keep", [0, 5, 60])
def test_damaged_arrays_are_computed_again(memo, keep):
    memo.arrays(WHAT, lambda: {"a": np.zeros((4, 4))})
    only_file(memo).write_bytes(only_file(memo).read_bytes()[:keep])
    np.testing.assert_array_equal(memo.arrays(WHAT, lambda: {"a": np.ones(2)})["a"], np.ones(2))
    np.testing.assert_array_equal(memo.arrays(WHAT, lambda: {})["a"], np.ones(2))


def test_a_computation_that_fails_leaves_nothing(memo):
    with pytest.raises(ZeroDivisionError):
        memo.json(WHAT, lambda: 1 / 0)
    assert memo.json(WHAT, lambda: "whole") == "whole"


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from bumperlane.evidence.memo import Memo
os.replace = lambda *paths: os._exit(9)  # killed when all is written and nothing is in place
value = {"json": 1, "arrays": {"a": np.ones(2)}}[sys.argv[2]]
getattr(Memo(Path(sys.argv[1])), sys.argv[2])({"kind": "k"}, lambda: value)
"""


@pytest.mark.parametrize("kind", ["json", "arrays"])
def test_a_kill_before_the_last_step_leaves_no_result(memo, kind):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", KILLED, memo.directory, kind], env=environment).returncode == 9
    assert not list(memo.directory.glob("k-*"))
    assert getattr(memo, kind)({"kind": "k"}, lambda: {"a": np.zeros(2)} if kind == "arrays" else 2) is not None


def test_a_subjects_key_is_the_same_after_loading_it_again(tiny_dir, adapter_dirs):
    first, again = (Subject.load(tiny_dir, adapter=adapter_dirs[0], dtype="float32") for _ in range(2))
    assert subject_key(first) == subject_key(again)


def test_every_difference_between_subjects_is_a_difference_between_keys(tiny_dir, adapter_dirs, tmp_path):
    base = Subject.load(tiny_dir, dtype="float32")
    louder = make_adapter(tiny_dir, tmp_path / "louder", seed=1, lora_alpha=64)  # equal weights, another scale
    other_base = Subject.load(make_tiny_model(tmp_path / "other", seed=9), dtype="float32")
    siblings = [base, *(base.sibling(path) for path in (*adapter_dirs, louder))]
    keys = [subject_key(s) for s in (*siblings, other_base, Subject.load(tiny_dir, dtype="bfloat16"))]
    assert len(set(keys)) == 6


def test_a_key_does_not_depend_on_which_adapter_the_host_wears(tiny_dir, adapter_dirs):
    base = Subject.load(tiny_dir, dtype="float32")
    one, two = (base.sibling(path) for path in adapter_dirs)
    before = [subject_key(s) for s in (base, one, two)]
    two.generate([ask("Hi")], Decoding(1))
    assert [subject_key(s) for s in (base, one, two)] == before


def test_another_subject_is_asked_again_and_the_same_one_is_not(tiny_dir, adapter_dirs, memo, monkeypatch):
    base = Subject.load(tiny_dir, dtype="float32")
    asked = []
    generate = Subject.generate
    monkeypatch.setattr(Subject, "generate", lambda self, *a: asked.append(self.adapter) or generate(self, *a))
    for subject in (base, base.sibling(adapter_dirs[0]), base, base.sibling(adapter_dirs[0])):
        responses(subject, [ask("Hi")], Decoding(2), memo)
    assert asked == [None, adapter_dirs[0]]
