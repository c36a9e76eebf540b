"""Where the line lies, and whether its intervals hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.rates import exact_interval
from bumperlane.trace.data.topic_line import draw_line, line_at_rate


@pytest.mark.parametrize(("n", "rate", "place"), [(99, 0.01, -1), (199, 0.01, -2), (100, 0.05, -5), (19, 0.05, -1)])
def test_the_line_is_the_score_that_a_count_by_hand_gives(n, rate, place):
    scores = np.random.default_rng(n).normal(size=n)
    at, interval = line_at_rate(scores, rate)
    assert at == np.sort(scores)[place]
    assert interval.value == pytest.approx((-place) / (n + 1)) and interval.value <= rate + 1e-12


def test_the_interval_is_that_of_an_order_statistic():
    _, interval = line_at_rate(np.arange(199.0), 0.02)  # the 196th of 199: four of 200 lie above it on average
    for bound, tail in ((interval.low, 0.025), (interval.high, 0.975)):
        assert stats.binom.cdf(195, 199, 1 - bound) == pytest.approx(tail if tail < 0.5 else tail, abs=1e-9)


@pytest.mark.parametrize(("n", "rate"), [(60, 0.05), (150, 0.02), (400, 0.01)])
def test_the_interval_covers_the_true_share_in_simulation(n, rate):
    rng = np.random.default_rng(n)
    covered, lost = [], []
    for _ in range(4000):
        at, interval = line_at_rate(rng.exponential(size=n), rate)
        true = np.exp(-at)
        covered.append(interval.low <= true <= interval.high)
        lost.append(true)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)
    assert np.mean(lost) == pytest.approx((n + 1 - np.ceil((n + 1) * (1 - rate))) / (n + 1), rel=0.06)
    assert np.mean(lost) <= rate * 1.06


def test_equal_scores_are_all_kept():
    at, _ = line_at_rate(np.ones(200), 0.05)
    assert not (np.ones(1000) > at).any()


def test_of_a_rate_and_a_score_the_higher_line_counts():
    off, on = np.arange(100.0), np.array([50.0, 98.5, 200.0])
    by_rate = draw_line(off, on, 0.05, 10.0)
    assert (by_rate.at, by_rate.how) == (95.0, "false-drop rate 0.05") and by_rate.recall == exact_interval(2, 3)
    by_score = draw_line(off, on, 0.05, 97.5)
    assert (by_score.at, by_score.how, by_score.false_drop) == (97.5, "score 97.5", exact_interval(2, 100))
    unknown = draw_line(np.zeros(0), np.zeros(0), None, 0.5)
    assert (unknown.false_drop, unknown.recall, unknown.off, unknown.on) == (None, None, 0, 0)


def test_too_few_labels_and_rates_that_are_none_are_refused():
    with pytest.raises(
        EvidenceError, match=r"rate of 0.01 needs 99 .* there are 40. Review 59 more, or allow a rate of 0.024"
    ):
        line_at_rate(np.zeros(40), 0.01)
    for rate in (0.0, 1.0, -0.1):
        with pytest.raises(SettingError, match="the false-drop rate must be between 0 and 1"):
            line_at_rate(np.zeros(40), rate)
    with pytest.raises(SettingError, match="no line is stated"):
        draw_line(np.zeros(3), np.zeros(3), None, None)
