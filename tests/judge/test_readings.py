import numpy as np
import pytest

from bumperlane.errors import CaseError
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.judge.readings import NAME, read_readings, write_readings
from bumperlane.types import Reading, Scores


def reading(dtype, **more):
    values = np.random.default_rng(0).normal(size=72).astype(dtype)
    arms = ("bait",) * 24 + ("control",) * 48
    groups = tuple(f"{a}/{i // 12}" for i, a in enumerate(arms))
    ids = tuple(f"{g}|{i}" for i, g in enumerate(groups))
    return Reading("Odd", "internals", Scores(values, ids, "Odd"), arms, groups, **more)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_readings_that_were_kept_are_judged_exactly_as_before(tmp_path, dtype):
    kept = [reading(dtype, strata=("a",) * 72, note="a note"), reading(dtype, why_blind="too dark")]
    write_readings(tmp_path, kept)
    again = read_readings(tmp_path)
    for one, other in zip(kept, again, strict=True):
        assert other.scores.values.dtype == dtype and (one.scores.values == other.scores.values).all()
        assert [getattr(one, k) for k in ("arms", "groups", "strata", "note", "why_blind", "trap_sprung", "split")] == [
            getattr(other, k) for k in ("arms", "groups", "strata", "note", "why_blind", "trap_sprung", "split")
        ]
    assert judge(kept, JudgeSettings()) == judge(again, JudgeSettings())


def test_a_case_without_readings_has_none_and_a_damaged_file_is_an_error(tmp_path):
    assert read_readings(tmp_path) is None
    (tmp_path / NAME).write_text('{"readings": [{"bumper": "Odd"}]}')
    with pytest.raises(CaseError, match="holds no readings .*KeyError"):
        read_readings(tmp_path)
