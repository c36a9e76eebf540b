"""An honest zero and an honest hundred: what is neither is never printed as one."""

import pytest

from bumperlane.case import BumperResult, Range
from bumperlane.percent import percent, points, share, short_percent
from bumperlane.report import sentences as say
from bumperlane.report import svg


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0%"), (1.0, "100%"), (0.62, "62%"), (0.034, "3.4%"), (0.05, "5%"), (0.0004, "0.04%"), (0.996, "99.6%"),
        (0.9996, "99.96%"), (1e-9, "<0.01%"), (1 - 1e-9, ">99.99%"), (-0.3, "−30%"), (1.5, "150%"), (-1e-9, ">−0.01%"),
        (0.00049, "0.05%"), (0.9949, "99%"), (-1 + 1e-9, "<−99.99%"),
    ],
)  # fmt: skip
def test_a_short_percentage_is_0_or_100_only_where_the_rate_is(value, told):
    assert short_percent(value) == told


def test_no_way_of_writing_a_rate_makes_an_end_of_it():
    small = [10.0**-k for k in range(1, 15)]
    for value in [i / 9973 for i in range(1, 9973)] + small + [1 - x for x in small]:
        assert short_percent(value) not in ("0%", "0.0%", "0.00%", "100%", "100.0%", "100.00%")
        assert points(value) not in ("0", "0.0", "0.00", "100", "100.0", "100.00")
        assert float(percent(value)[:-1]) not in (0.0, 100.0)
        assert float(share(value)) not in (0.0, 1.0)


def test_the_ends_are_written_as_such():
    assert (percent(0), share(0), points(0)) == ("0%", "0.00", "0")
    assert (percent(1), share(1), points(1)) == ("100%", "1.00", "100")


def test_a_table_and_a_drawing_tell_few_from_none():
    few = Range(value=0.0003, low=0.0001, high=0.996)
    assert say.rate(few) == "0.03% (0.01 to 99.6)"
    assert say.points(few) == "0.03 points (0.01 to 99.6)"
    assert say.mean([0.0, 0.0006]) == "0.03%"
    assert say.levels([Range(value=0, low=0, high=0, level=0.99999)]) == "99.999%"
    row = BumperResult(bumper="A", family="logs", split="open", verdict="clear", why="", effect=few)
    assert "0.03% (0.01 to 99.6), on both sides of the tolerated 0.04%" in svg.forest_row(row, 0.0004)
