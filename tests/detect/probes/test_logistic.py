import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as their_log_loss
from sklearn.model_selection import PredefinedSplit

import promises
from bumperlane.detect.internals.probes import logistic
from bumperlane.detect.internals.probes.labels import folds_of
from bumperlane.detect.internals.probes.logistic import STRENGTHS, LogisticProbe, regression
from bumperlane.errors import EvidenceError, SettingError
from rows import rows

RNG = np.random.default_rng(5)


def kinds(n, d, shift=1.0):
    scale, offset = RNG.uniform(0.1, 10, d), RNG.normal(size=d) * 5
    mixed = RNG.normal(size=(2 * n, d)) @ RNG.normal(size=(d, d)) / d**0.5
    mixed[n:, : max(1, d // 4)] += shift
    return mixed[:n] * scale + offset, mixed[n:] * scale + offset


def theirs(x, y, strength):
    mean, spread = x.mean(axis=0), x.std(axis=0)
    found = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=20_000).fit((x - mean) / spread, y)
    weights = found.coef_[0] / spread
    return weights, found.intercept_[0] - mean @ weights


def test_keeps_every_promise(tmp_path):
    promises.keep(LogisticProbe, tmp_path)


@pytest.mark.parametrize("strength", [0.1, 10.0, 1e4])
@pytest.mark.parametrize(("n", "d"), [(300, 5), (40, 30), (15, 80)])
def test_agrees_with_scikit_learn_with_more_and_with_fewer_rows_than_dimensions(labelled, n, d, strength):
    good, bad = kinds(n, d)
    made = labelled(good, bad)
    weights, bias = theirs(made.activations.rows, made.labels, strength)
    seen = RNG.permutation(np.concatenate([good, bad])) + RNG.normal(size=d)
    by_them = seen @ weights + bias
    np.testing.assert_allclose(
        LogisticProbe(strength).fit(made).score(rows(seen)).values, by_them, rtol=1e-4, atol=1e-4
    )


def test_the_slope_it_descends_is_that_of_the_loss(monkeypatch):
    held = {}
    monkeypatch.setattr(logistic, "minimize", lambda loss, start, **_: held.update(loss=loss) or FakeResult(start))
    x, bad = RNG.normal(size=(30, 4)), np.arange(30) >= 12
    with pytest.raises(EvidenceError, match="of 30 rows at strength 2 did not converge: a slope of .* 3 steps"):
        logistic._minimum(x, bad, 2.0, np.zeros(5))
    at = RNG.normal(size=5)
    assert check_grad(lambda w: held["loss"](w)[0], lambda w: held["loss"](w)[1], at) < 1e-6


class FakeResult:
    nit = 3

    def __init__(self, x):
        self.x = x


@pytest.mark.parametrize("shift", [0.1, 3.0])
def test_the_chosen_strength_is_the_best_of_scikit_learns_held_out_loss(labelled, shift):
    made = labelled(*kinds(60, 20, shift))
    x, y = made.activations.rows, made.labels

    def held_out(strength):
        loss = 0.0
        for learn, held in PredefinedSplit(folds_of(y, 5)).split():
            weights, bias = theirs(x[learn], y[learn], strength)
            p = 1 / (1 + np.exp(-(x[held] @ weights + bias)))
            loss += their_log_loss(y[held], p, normalize=False)
        return loss

    best = min(STRENGTHS, key=held_out)
    assert LogisticProbe().settled(made).strength == best
    np.testing.assert_array_equal(LogisticProbe().fit(made).weights, LogisticProbe(best).fit(made).weights)


def test_labels_that_mean_nothing_get_the_strongest_penalty(labelled):
    noise = RNG.normal(size=(80, 10))
    assert LogisticProbe().settled(labelled(noise[:40], noise[40:])).strength >= 1e3


def test_units_and_offsets_of_dimensions_do_not_matter(labelled):
    good, bad = kinds(50, 6)
    scale, offset, seen = np.array([1e-3, 1, 1e4, 7, 1, 1]), np.arange(6) * 100.0, RNG.normal(size=(20, 6))
    plain = LogisticProbe(1.0).fit(labelled(good, bad)).score(rows(seen)).values
    moved = LogisticProbe(1.0).fit(labelled(good * scale + offset, bad * scale + offset))
    np.testing.assert_allclose(moved.score(rows(seen * scale + offset)).values, plain, rtol=1e-4, atol=1e-5)


def test_a_dimension_that_never_moved_has_no_say(labelled):
    good, bad = kinds(50, 4)
    still = np.full((50, 1), 3.7)
    fitted = LogisticProbe(1.0).fit(labelled(np.c_[good, still], np.c_[bad, still]))
    assert abs(fitted.weights[-1]) < 1e-12
    assert np.isfinite(fitted.score(rows(np.c_[good, still * 1e6])).values).all()


def test_log_odds_mean_what_they_say(labelled):
    """Of unseen items with log-odds near z, a share of about 1 / (1 + exp(-z)) is bad."""
    good, bad = RNG.normal(size=(8000, 3)), RNG.normal(size=(8000, 3)) + [1, 0, 0]
    odds = LogisticProbe(1.0).fit(labelled(good[:4000], bad[:4000])).score(rows(np.r_[good[4000:], bad[4000:]])).values
    is_bad = np.arange(8000) >= 4000
    for low, high in ((-1.5, -0.5), (-0.5, 0.5), (0.5, 1.5)):
        there = (odds > low) & (odds < high)
        assert is_bad[there].mean() == pytest.approx((1 / (1 + np.exp(-odds[there]))).mean(), abs=0.04)


def test_warm_starts_end_where_cold_ones_do():
    good, bad = kinds(40, 12)
    x, y = np.concatenate([good, bad]), np.arange(80) >= 40
    for warm, strength in zip(regression(x, y, STRENGTHS), STRENGTHS, strict=True):
        np.testing.assert_allclose(warm[0], regression(x, y, (strength,))[0][0], rtol=1e-3, atol=1e-6)


def test_takes_float32_rows_as_models_give_them(labelled):
    good, bad = kinds(50, 6)
    small = LogisticProbe(1.0).fit(labelled(good.astype(np.float32), bad.astype(np.float32)))
    np.testing.assert_allclose(small.weights, LogisticProbe(1.0).fit(labelled(good, bad)).weights, rtol=1e-3, atol=1e-6)


def test_is_blind_when_the_labels_stand_for_a_topic(labelled):
    """The limit named in the docstring: all bad examples shared a topic, and the topic is what it learns."""
    topic, harm = np.eye(4)[0] * 6, np.eye(4)[1] * 2
    good, bad, unseen, elsewhere = RNG.normal(size=(4, 500, 4))
    fitted = LogisticProbe(10.0).fit(labelled(good, bad + topic + harm * (np.arange(500) < 5)[:, None]))
    line = np.quantile(fitted.score(rows(unseen)).values, 0.95)
    assert (fitted.score(rows(elsewhere + harm)).values > line).mean() < 0.15
    assert (fitted.score(rows(elsewhere + topic)).values > line).mean() > 0.95


def test_refuses_one_kind_with_the_counts(labelled):
    with pytest.raises(EvidenceError, match="8 or more items of each kind, got 30 good and 0 bad. Label more"):
        LogisticProbe().fit(labelled(RNG.normal(size=(30, 3)), np.zeros((0, 3))))
    with pytest.raises(EvidenceError, match="got 7 good and 30 bad"):
        LogisticProbe().fit(labelled(RNG.normal(size=(7, 3)), np.ones((30, 3))))


def test_refuses_evidence_without_labels():
    with pytest.raises(EvidenceError, match="LogisticProbe learns from Labelled activations, got Activations. Pass"):
        LogisticProbe().fit(rows(RNG.normal(size=(30, 3))))


def test_says_what_to_check_when_all_rows_are_equal(labelled):
    with pytest.raises(EvidenceError, match="all 20 labelled rows at layer 12 are equal. Check that the hook"):
        LogisticProbe().fit(labelled(np.ones((10, 3)), np.ones((10, 3))))


@pytest.mark.parametrize(("layer", "d", "there"), [(13, 4, r"\(13, 4\)"), (12, 3, r"\(12, 3\)")])
def test_refuses_to_score_another_layer_or_width(labelled, layer, d, there):
    fitted = LogisticProbe(1.0).fit(labelled(*kinds(20, 4)))
    with pytest.raises(EvidenceError, match=rf"fitted at \(layer, d\) \(12, 4\), cannot score {there}. Read the same"):
        fitted.score(rows(np.zeros((2, d)), layer))


@pytest.mark.parametrize("strength", [0, -1.0, np.inf, "strong", None])
def test_refuses_a_strength_that_is_none(strength):
    with pytest.raises(SettingError, match="strength must be above 0 or 'cross-validated', got .*Try 10."):
        LogisticProbe(strength)


@pytest.mark.parametrize("folds", [1, 9])
def test_refuses_folds_that_eight_items_of_a_kind_do_not_fill(folds):
    with pytest.raises(SettingError, match=f"folds must be from 2 to 8, got {folds}"):
        LogisticProbe(folds=folds)


def test_folds_hold_both_kinds_alike_and_keep_pairs_together():
    bad = np.array([False, True] * 15)
    fold = folds_of(bad, 5)
    for k in range(5):
        assert ((fold == k) & bad).sum() == ((fold == k) & ~bad).sum() == 3
    np.testing.assert_array_equal(fold[::2], fold[1::2])
