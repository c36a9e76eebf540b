import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.reward.changepoint import Dating, change_in_mean, change_in_rate

QUICK = Dating(permutations=99)


def test_no_change_is_called_one_at_no_more_than_the_nominal_rate():
    rng, draws = np.random.default_rng(0), 300
    steps, n = np.arange(40), np.full(40, 32)
    rate = [change_in_rate("x", steps, rng.binomial(n, rng.beta(2, 18, 40)), n, QUICK).found for _ in range(draws)]
    mean = [change_in_mean("x", steps, rng.standard_t(3, 40), n, QUICK).found for _ in range(draws)]
    most = 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    assert np.mean(rate) <= most and np.mean(mean) <= most


@pytest.mark.parametrize("way", ["jump", "jump with spread", "ramp", "smooth"])
def test_the_interval_covers_the_true_onset(way):
    rng, covered, draws = np.random.default_rng(1), [], 60
    steps, n = np.arange(50), np.full(50, 64)
    for _ in range(draws):
        onset = int(rng.integers(10, 40))
        shape = {
            "ramp": np.clip((steps - onset + 1) / 15, 0, 1),
            "smooth": 1 / (1 + np.exp(-(steps - onset) / 2 + np.log(19))),
        }.get(way, (steps >= onset).astype(float))
        rate = 0.02 + 0.3 * shape
        if way == "jump with spread":
            rate = rng.beta(30 * rate, 30 * (1 - rate))
        found = change_in_rate("x", steps, rng.binomial(n, rate), n, QUICK)
        covered.append(found.found and found.onset.low <= onset <= found.onset.high)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / draws)


def test_the_interval_of_a_mean_covers_too():
    rng, covered, draws = np.random.default_rng(2), [], 150
    steps = np.arange(0, 400, 10)
    for _ in range(draws):
        onset = int(rng.integers(8, 32))
        mean = 3.0 * (np.arange(40) >= onset) + rng.normal(size=40)
        found = change_in_mean("x", steps, mean, np.full(40, 8), QUICK)
        covered.append(found.found and found.onset.low <= steps[onset] <= found.onset.high)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / draws)


def test_a_clear_jump_is_dated_to_the_step_with_its_levels():
    steps, n = np.arange(0, 300, 10), np.full(30, 100)
    found = change_in_rate("x", steps, np.where(steps < 120, 1, 60), n)
    assert found.onset.low == found.onset.value == found.onset.high == 120 and found.p_value == pytest.approx(1 / 1000)
    assert found.before == pytest.approx(0.01, abs=0.01) and found.after == pytest.approx(0.6, abs=0.02)
    down = change_in_rate("x", steps, np.where(steps < 120, 60, 1), n)
    assert (found.why, down.why) == ("rises.", "falls.") and down.onset.value == 120


def test_the_levels_of_a_mean_agree_with_least_squares():
    rng, steps = np.random.default_rng(3), np.arange(30)
    mean, n = 5.0 * (steps >= 12) + 0.01 * rng.normal(size=30), rng.integers(5, 50, 30)
    found = change_in_mean("x", steps, mean, n)
    assert found.before == pytest.approx(np.average(mean[:12], weights=n[:12]), abs=1e-2)
    assert found.after == pytest.approx(np.average(mean[12:], weights=n[12:]), abs=1e-2)


def test_thousands_of_steps_are_put_together_and_still_dated():
    rng, steps = np.random.default_rng(4), np.arange(5000)
    found = change_in_rate("x", steps, rng.binomial(8, np.where(steps < 3210, 0.02, 0.4)), np.full(5000, 8), QUICK)
    assert found.onset.low <= 3210 <= found.onset.high and found.onset.high - found.onset.low < 150


@pytest.mark.parametrize("onset", [1303, 1308, 1311, 1315, 1321, 1326])
def test_a_jump_among_the_steps_of_one_point_is_covered(onset):
    rng, steps, n = np.random.default_rng(5), np.arange(3907), np.full(3907, 512)
    found = change_in_rate("x", steps, rng.binomial(n, np.where(steps < onset, 0.02, 0.3)), n, QUICK)
    assert found.onset.low <= onset <= found.onset.high and found.onset.high - found.onset.low < 45


def test_few_steps_cannot_show_a_change():
    found = change_in_rate("x", np.arange(5), np.array([0, 0, 0, 9, 9]), np.full(5, 10))
    assert not found.found and found.onset is None and "5 steps cannot show a change; 6 or more" in found.why


def test_is_blind_to_a_second_change():
    steps, n = np.arange(60), np.full(60, 100)
    found = change_in_rate("x", steps, np.where((steps >= 20) & (steps < 40), 50, 1), n)
    assert found.found and abs(found.before - found.after) < 0.05  # one onset, and nothing of the level between


def test_refuses_impossible_counts_unsorted_steps_and_settings():
    with pytest.raises(EvidenceError, match="the counts of x must be 0 <= k <= n"):
        change_in_rate("x", np.arange(2), np.array([1, 3]), np.array([2, 2]))
    with pytest.raises(EvidenceError, match="the means of x must be finite"):
        change_in_mean("x", np.arange(2), np.array([1, np.nan]), np.array([2, 2]))
    with pytest.raises(EvidenceError, match="steps must ascend without repeats"):
        change_in_rate("x", np.array([1, 1]), np.array([1, 1]), np.array([2, 2]))
    with pytest.raises(SettingError, match="9 permutations cannot reach alpha 0.05. Take 20 or more"):
        Dating(permutations=9)
    with pytest.raises(SettingError, match="level and alpha must be in"):
        Dating(level=1)
