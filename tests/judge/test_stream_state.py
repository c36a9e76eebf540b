import json
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.judge.drift import DriftWatch
from bumperlane.judge.eprocess import StreamAlarm
from bumperlane.judge.stream_state import load_state, save_state

KINDS = [StreamAlarm, DriftWatch]


def run(state, scores):
    for score in scores:
        state = state.update(score)
    return state


def same(one, other):
    if is_dataclass(one):
        return type(one) is type(other) and all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)
    return type(one) is type(other) and one == other


def stream(seed=0, n=60):
    rng = np.random.default_rng(seed)
    return rng.normal(size=200), np.r_[rng.normal(size=n // 2), rng.normal(size=n // 2) + 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [0, 1, 37, 60])
def test_a_stream_taken_up_again_ends_as_one_that_never_stopped(kind, cut, tmp_path):
    clean, scores = stream()
    start = kind.start(clean, 0.05, seed=3)
    saved = save_state(run(start, scores[:cut]), tmp_path / "deep" / "state.json")
    again = load_state(kind, saved)
    assert same(again, run(start, scores[:cut]))
    assert same(run(again, scores[cut:]), run(start, scores))


def test_a_write_that_fails_leaves_the_state_before(tmp_path):
    clean, scores = stream()
    state = StreamAlarm.start(clean)
    path = save_state(state, tmp_path / "state.json")
    before = path.read_bytes()

    @dataclass(frozen=True)
    class Broken:
        ranks: float = float("nan")

    with pytest.raises(ValueError, match="JSON compliant"):
        save_state(Broken(), path)
    assert path.read_bytes() == before and same(load_state(StreamAlarm, path), state)


def test_refuses_another_kind_of_state_and_files_that_are_damaged(tmp_path):
    clean, _ = stream()
    path = save_state(StreamAlarm.start(clean), tmp_path / "state.json")
    with pytest.raises(EvidenceError, match="holds a StreamAlarm, not a DriftWatch. Load it as what it is"):
        load_state(DriftWatch, path)
    whole = path.read_text()
    for end in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_text(whole[:end])
        with pytest.raises(EvidenceError, match="cannot be read: .*Start the alarm again"):
            load_state(StreamAlarm, path)
    content = json.loads(whole)
    del content["process"]["wealth"]["t"]
    path.write_text(json.dumps(content))
    with pytest.raises(EvidenceError, match="is damaged: KeyError 't'. Start the alarm again"):
        load_state(StreamAlarm, path)
    with pytest.raises(EvidenceError, match="none.json cannot be read: .*No such file"):
        load_state(StreamAlarm, tmp_path / "none.json")
    path.write_text("[1]")
    with pytest.raises(EvidenceError, match="cannot be read"):
        load_state(StreamAlarm, path)
