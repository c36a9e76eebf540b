import time
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score, roc_curve

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.detection_metrics import (
    auroc,
    decoy_rate,
    detection_metrics,
    metrics_by_agreement,
    rate_at_fpr,
)
from bumperlane.judge.rates import exact_interval


def drawn(seed, n, m, shift, rounded=False):
    rng = np.random.default_rng(seed)
    low, high = rng.normal(size=n), rng.normal(size=m) + shift
    return (np.round(low), np.round(high)) if rounded else (low, high)


@pytest.mark.parametrize("rounded", [False, True], ids=["no ties", "many ties"])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (7, 300), (500, 40)])
def test_auroc_agrees_with_scikit_learn(n, m, rounded):
    low, high = drawn(0, n, m, 0.8, rounded)
    theirs = roc_auc_score(np.repeat([0, 1], [n, m]), np.r_[low, high])
    assert auroc(low, high).value == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("rounded", [False, True], ids=["no ties", "many ties"])
def test_interval_agrees_with_delongs_formula_over_all_pairs(rounded):
    low, high = drawn(1, 60, 40, 1.0, rounded)
    wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    area = wins.mean()
    sd = np.sqrt(wins.mean(axis=1).var(ddof=1) / 40 + wins.mean(axis=0).var(ddof=1) / 60)
    ends = special.expit(special.logit(area) + np.array([-1, 1]) * stats.norm.ppf(0.95) * sd / (area * (1 - area)))
    found = auroc(low, high, 0.9)
    assert (found.low, found.high, found.level) == pytest.approx((*ends, 0.9))


def test_interval_agrees_with_the_bootstrap():
    rng = np.random.default_rng(2)
    low, high = drawn(2, 150, 80, 1.2)
    again = [auroc(rng.choice(low, 150), rng.choice(high, 80)).value for _ in range(1500)]
    found = auroc(low, high)
    assert [found.low, found.high] == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.012)


@pytest.mark.parametrize(("size", "least"), [(30, 0.93), (100, 0.935)])
@pytest.mark.parametrize("area", [0.6, 0.8, 0.95])
def test_interval_covers_as_the_docstring_says(size, least, area):
    shift, times = np.sqrt(2) * stats.norm.ppf(area), 1200
    found = [auroc(*drawn(seed, size, size, shift)) for seed in range(times)]
    covered = np.mean([i.low <= area <= i.high for i in found])
    assert covered >= least - 2 * np.sqrt(0.05 * 0.95 / times)


@pytest.mark.parametrize("which", ["apart", "the wrong way round", "all equal"])
def test_an_interval_without_a_variance_still_has_a_width(which):
    low, high = np.arange(20.0), np.arange(10.0) + 100
    if which == "the wrong way round":
        low, high = high, low
    if which == "all equal":
        low, high = np.zeros(20), np.zeros(10)
    found = auroc(low, high)
    least = {
        "apart": exact_interval(10, 10),
        "the wrong way round": exact_interval(0, 10),
        "all equal": exact_interval(5, 10),
    }
    theirs = least[which]
    assert (found.value, found.low, found.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_auroc_turns_round_with_the_sign_and_keeps_under_any_monotone_change():
    low, high = drawn(3, 90, 50, 0.7)
    found, turned, bent = auroc(low, high), auroc(-low, -high), auroc(np.exp(low), np.exp(high))
    assert (turned.value, turned.low, turned.high) == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low))
    assert bent == found


@pytest.mark.parametrize(("fpr", "n"), [(0.01, 99), (0.01, 2345), (0.001, 5000)])
def test_rate_is_that_of_the_roc_curve_at_the_conformal_line(fpr, n):
    low, high = drawn(4, n, 300, 2.0)
    found = rate_at_fpr(low, high, fpr)
    false, true, lines = roc_curve(np.repeat([0, 1], [n, 300]), np.r_[low, high], drop_intermediate=False)
    at = np.flatnonzero(lines > found.threshold).max()
    assert found.rate.value == true[at] and false[at] <= fpr
    assert found.rate.value == (high > found.threshold).mean()
    assert found.at_threshold == exact_interval(int((high > found.threshold).sum()), 300)
    assert found.rate.low <= found.at_threshold.low and found.rate.high >= found.at_threshold.high


@pytest.mark.parametrize("n", [120, 1000, 20_000])
def test_rate_interval_covers_the_rate_at_the_true_quantile(n):
    truth, times = stats.norm.sf(stats.norm.ppf(0.99) - 2.0), 400
    found = [rate_at_fpr(*drawn(seed, n, 100, 2.0), 0.01).rate for seed in range(times)]
    assert np.mean([i.low <= truth <= i.high for i in found]) >= 0.95
    assert n < 20_000 or np.mean([i.high - i.low for i in found]) < 0.3


def test_given_the_line_alone_the_interval_misses_the_rate_at_the_true_quantile():
    """Why `rate` counts the line as uncertain too."""
    truth = stats.norm.sf(stats.norm.ppf(0.99) - 2.0)
    found = [rate_at_fpr(*drawn(seed, 120, 400, 2.0), 0.01).at_threshold for seed in range(400)]
    assert np.mean([i.low <= truth <= i.high for i in found]) < 0.6


def test_discrete_scores_are_covered_too():
    found = [rate_at_fpr(*drawn(seed, 800, 100, 2.0, rounded=True), 0.01).rate for seed in range(300)]
    assert np.mean([i.low <= stats.norm.sf(2.5 - 2.0) <= i.high for i in found]) >= 0.95  # the true quantile is 2


@pytest.mark.parametrize(("fpr", "n", "missing"), [(0.01, 98, 1), (0.01, 99, 0), (0.001, 99, 900), (0.001, 999, 0)])
def test_too_few_negatives_give_no_rate_but_the_number_that_is_missing(fpr, n, missing):
    found = rate_at_fpr(*drawn(5, n, 50, 2.0), fpr)
    assert found.missing_negatives == missing
    assert (found.rate is None) == (found.at_threshold is None) == (found.threshold is None) == bool(missing)


def test_no_items_give_no_rate_either():
    found = rate_at_fpr(np.arange(100.0), np.zeros(0), 0.01)
    assert (found.rate, found.missing_items, found.missing_negatives) == (None, 1, 0)


def test_few_negatives_bound_no_high_quantile_so_the_rate_has_no_lower_limit():
    low, high = np.arange(430.0), np.full(50, 1e9)
    assert rate_at_fpr(low, high, 0.01).rate.low == 0
    assert rate_at_fpr(np.arange(450.0), high, 0.01).rate.low > 0.9


def test_an_item_at_the_line_itself_is_not_above_it():
    found = rate_at_fpr(np.round(drawn(9, 2000, 1, 0)[0]), np.array([1.0, 2.0, 3.0, 3.0]), 0.01)
    assert (found.threshold, found.rate.value) == (2.0, 0.5)


def test_decoys_above_the_line_are_counted_with_an_exact_interval():
    negatives = np.arange(1000.0)
    found = decoy_rate(negatives, np.r_[np.full(3, 2000.0), np.zeros(37)])
    assert found.at_threshold == exact_interval(3, 40) and found.fpr == 0.01
    assert found.threshold == 990  # the ceil(1001 x 0.99) = 991st smallest


def test_all_metrics_come_together_and_none_is_made_up():
    low, high = drawn(6, 500, 60, 2.0)
    found = detection_metrics(low, high)
    assert found.auroc == auroc(low, high) and found.tpr_at_1pct == rate_at_fpr(low, high, 0.01)
    assert found.tpr_at_01pct.rate is None and found.tpr_at_01pct.missing_negatives == 499
    none = detection_metrics(low, high[:0])
    assert (none.auroc, none.missing_positives, none.missing_negatives) == (None, 2, 0)


def test_split_by_agreement_tells_what_only_shows_where_answers_differ():
    rng = np.random.default_rng(7)
    positive, agree = rng.uniform(size=3000) < 0.3, rng.uniform(size=3000) < 0.5
    scores = rng.normal(size=3000) + 3.0 * (positive & ~agree)
    found = metrics_by_agreement(scores, positive, agree)
    assert found.disagree.auroc.value > 0.95 and found.agree.auroc.low < 0.5 < found.agree.auroc.high
    assert found.agree.negatives == found.disagree.negatives == (~positive).sum()
    assert found.agree.tpr_at_1pct.threshold == found.disagree.tpr_at_1pct.threshold
    alike = found.disagree_alike
    theirs = roc_auc_score(positive[~agree], scores[~agree])
    assert alike.auroc.value == pytest.approx(theirs) and alike.negatives == (~positive & ~agree).sum()


def test_split_has_no_numbers_for_negatives_that_are_not_there():
    positive = np.repeat([True, False], [50, 200])
    agree = np.r_[np.arange(50) < 20, np.full(200, True)]  # on trusted items both mechanisms agree
    found = metrics_by_agreement(np.arange(250.0), positive, agree)
    assert found.disagree_alike.auroc is None and found.disagree_alike.missing_negatives == 2
    assert found.disagree.auroc is not None and found.disagree.positives == 30


def test_a_million_scores_take_about_a_second():
    low, high = drawn(8, 900_000, 100_000, 1.0)
    began = time.process_time()
    found = detection_metrics(low, high)
    assert time.process_time() - began < 2.5
    assert found.auroc.value == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)), abs=0.005)


def test_refuses_scores_that_mean_nothing():
    with pytest.raises(EvidenceError, match="takes 2 or more items of either kind, got 1 and 5"):
        auroc(np.zeros(1), np.zeros(5))
    with pytest.raises(EvidenceError, match="negative scores must be one finite number an item.*1 not finite"):
        auroc(np.array([0.0, np.nan]), np.zeros(5))
    with pytest.raises(EvidenceError, match=r"item scores must be one finite number an item, got shape \(2, 2\)"):
        rate_at_fpr(np.zeros(200), np.zeros((2, 2)), 0.01)
    with pytest.raises(SettingError, match="level must be between 0 and 1, got 95"):
        auroc(np.zeros(5), np.ones(5), 95)
    with pytest.raises(SettingError, match="fpr must be between 0 and 1, got 1"):
        rate_at_fpr(np.zeros(5), np.ones(5), 1)
    with pytest.raises(EvidenceError, match=r"agree must be 4 booleans, one an item, got float64 of shape \(4,\)"):
        metrics_by_agreement(np.zeros(4), np.ones(4, bool), np.ones(4))
    with pytest.raises(FrozenInstanceError):
        rate_at_fpr(np.zeros(200), np.zeros(3), 0.01).fpr = 0.5
