"""The effective number of bumpers, in cases that can be counted by hand."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.judge.independence import independence


def columns(*found):
    return np.array(found, bool).T.tolist()


HALF, OTHER, THIRD = [1, 1, 0, 0] * 4, [1, 0, 1, 0] * 4, [1, 0, 0, 1] * 4


def test_bumpers_that_err_apart_count_for_as_many_as_they_are():
    found = independence(("a", "b", "c"), columns(HALF, OTHER, THIRD))
    assert found.effective.value == pytest.approx(3) and found.effective.low < 3
    assert found.missed_by_all.value == 0


@pytest.mark.parametrize("copies", [2, 5])
def test_bumpers_that_err_alike_count_for_one(copies):
    found = independence(tuple("abcde"[:copies]), columns(*[HALF] * copies))
    assert found.effective.value == pytest.approx(1) and found.missed_by_all.value == 0.5


def test_two_correlated_ones_by_hand():
    """Correlation r of two: eigenvalues 1 + r and 1 - r, so 4 / (2 + 2 r^2)."""
    one, other = [1, 1, 1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 1, 1, 0]
    r = np.corrcoef(one, other)[0, 1]
    assert independence(("a", "b"), columns(one, other)).effective.value == pytest.approx(2 / (1 + r**2))


def test_a_bumper_that_never_catches_adds_nothing_and_one_that_always_does_stands_alone():
    found = independence(("a", "idle", "always"), columns(HALF, [0] * 16, [1] * 16))
    assert found.effective.value == pytest.approx(2) and (found.idle, found.always) == (("idle",), ("always",))
    assert independence(("idle",), columns([0] * 16)).effective.value == 0


def test_the_interval_is_wide_for_few_organisms_and_narrows():
    rng = np.random.default_rng(0)
    few, many = (independence(tuple("abcd"), rng.random((n, 4)) < 0.5).effective for n in (8, 200))
    assert few.high - few.low > many.high - many.low and many.low > 3.5


@pytest.mark.parametrize("table", [[[True]] * 4, [[True, False]] * 6])
def test_refuses_too_few_organisms_or_another_number_of_columns(table):
    with pytest.raises(EvidenceError, match="independence needs 5 or more organisms and one column for each of 1"):
        independence(("a",), table)
