import pytest

from bumperlane.errors import SettingError
from bumperlane.trace.experiments.budget import Budget


@pytest.mark.parametrize(
    ("text", "seconds", "retrains"),
    [("90s", 90, None), ("10m", 600, None), ("2h", 7200, None), ("1.5h", 5400, None),
     ("12", None, 12), (" 3 M ", 180, None)],
)  # fmt: skip
def test_reads_times_and_numbers_of_retrains(text, seconds, retrains):
    assert Budget.parse(text) == Budget(seconds, retrains)


@pytest.mark.parametrize("text", ["", "ten", "10 days", "-3", "m", "5mm"])
def test_refuses_other_text_and_says_what_is_read(text):
    with pytest.raises(SettingError, match="cannot read the budget .* Give a time such as 90s, 10m or 2h, or a number"):
        Budget.parse(text)


def test_refuses_nothing_and_parts_of_a_retrain():
    with pytest.raises(SettingError, match="'2.5' is no whole number of retrains"):
        Budget.parse("2.5")
    with pytest.raises(SettingError, match="1 or more retrains, got 0"):
        Budget.parse("0")
    with pytest.raises(SettingError, match="more than 0 s and finite, got 0 s"):
        Budget.parse("0m")


def test_allows_what_still_fits():
    time, number = Budget.parse("1m"), Budget.parse("3")
    assert time.allows(30, 99, 30, 5) and not time.allows(30, 0, 31, 1)
    assert time.allows(59, 0, None, 1) and not time.allows(61, 0, None, 1)  # nothing is known of what it will take
    assert number.allows(1e9, 1, 1e9, 2) and not number.allows(0, 1, 0, 3)
    assert Budget().allows(1e9, 10**6, 1e9, 10**6)


@pytest.mark.parametrize("text", ["90s", "10m", "2h", "12", "45s"])
def test_says_what_was_read_in_words_that_read_back(text):
    budget = Budget.parse(text)
    assert Budget.parse(str(budget).removesuffix(" retrains").replace(" ", "")) == budget
    assert str(Budget()) == "no limit"
