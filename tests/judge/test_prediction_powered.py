import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import xlogy

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.validation import Confusion
from bumperlane.judge.prediction_powered import constrained_share, normal_interval, prediction_powered, tango
from bumperlane.judge.rates import exact_interval

COUNTS = Confusion(hits=8, misses=3, alarms=2, passes=37)


def test_the_estimate_and_the_papers_interval_agree_with_its_formula():
    verdicts = np.repeat([1, 0, 1, 0], [8, 3, 2, 37])
    labels = np.repeat([1, 1, 0, 0], [8, 3, 2, 37])
    others = np.repeat([1, 0], [90, 210])
    value = others.mean() + (labels - verdicts).mean()
    half = stats.norm.ppf(0.975) * np.sqrt(others.var() / 300 + (labels - verdicts).var() / 50)
    found = normal_interval(90, 300, COUNTS)
    assert (found.value, found.low, found.high) == pytest.approx((value, value - half, value + half))
    assert prediction_powered(90, 300, COUNTS).rate.value == pytest.approx(value)


@pytest.mark.parametrize("d", [-0.3, -0.02, 0.05, 0.4])
def test_the_constrained_share_is_the_likeliest_one(d):
    b, c, n = 7, 4, 40

    def loss(second):
        first = second + d
        return -(xlogy(b, first) + xlogy(c, second) + xlogy(n - b - c, 1 - first - second))

    best = optimize.minimize_scalar(loss, bounds=(max(0, -d) + 1e-9, (1 - d) / 2 - 1e-9), method="bounded").x
    assert constrained_share(b, c, n, d) == pytest.approx(best, abs=1e-4)


def test_the_ends_of_the_paired_interval_are_where_the_score_is_the_normal_quantile():
    found, z = tango(9, 1, 44), stats.norm.ppf(0.975)
    for end, sign in ((found.low, 1), (found.high, -1)):
        second = constrained_share(9, 1, 44, end)
        score = (8 - 44 * end) / np.sqrt(44 * (2 * second + end * (1 - end)))
        assert score == pytest.approx(sign * z, abs=1e-6)
    turned = tango(1, 9, 44)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_perfect_agreement_still_has_a_width_where_the_papers_interval_has_none():
    agreed = Confusion(0, 0, 0, 20)
    assert normal_interval(0, 200, agreed).high == 0
    assert 0.1 < prediction_powered(0, 200, agreed).rate.high < 0.3


def test_a_scorer_worse_than_chance_is_corrected_too_but_wide():
    inverted = prediction_powered(140, 200, Confusion(2, 28, 63, 7))
    assert inverted.rate.low < 0.3 < inverted.rate.high
    assert inverted.rate.high - inverted.rate.low > 0.25


def test_a_good_scorer_is_worth_many_labels():
    found = prediction_powered(300, 1000, Confusion(15, 0, 0, 35))
    assert found.rate.high - found.rate.low < 0.7 * (found.labels_alone.high - found.labels_alone.low)
    assert found.labels_alone == exact_interval(15, 50)


def test_items_without_a_verdict_count_as_called_good():
    lost = Confusion(hits=8, misses=1, alarms=2, passes=30, lost_bad=2, lost_good=7)
    assert prediction_powered(90, 300, lost) == prediction_powered(90, 300, COUNTS)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3])
def test_it_covers_the_true_rate(rate):
    rng, covered, papers = np.random.default_rng(3), 0, 0
    for _ in range(200):
        labels, n = rng.random(40) < rate, 400
        verdicts = np.where(labels, rng.random(40) < 0.8, rng.random(40) < 0.1)
        k = rng.binomial(n, rate * 0.8 + (1 - rate) * 0.1)
        c = Confusion(*(int((a & b).sum()) for a in (labels, ~labels) for b in (verdicts, ~verdicts)))
        found, normal = prediction_powered(int(k), n, c).rate, normal_interval(int(k), n, c)
        covered += found.low <= rate <= found.high
        papers += normal.low <= rate <= normal.high
    assert covered >= 183 and covered >= papers - 4


@pytest.mark.parametrize(
    ("give", "error", "text"),
    [
        (lambda: prediction_powered(3, 2, COUNTS), EvidenceError, "k=3 of n=2"),
        (lambda: prediction_powered(1, 2, Confusion(0, 0, 0, 0)), EvidenceError, "no item is labelled"),
        (lambda: prediction_powered(1, 2, COUNTS, level=0), SettingError, "level must be between"),
        (lambda: tango(3, 3, 5), EvidenceError, "at most n discordant pairs, got 3 and 3 of 5"),
    ],
)
def test_counts_that_cannot_be_are_refused(give, error, text):
    with pytest.raises(error, match=text):
        give()
