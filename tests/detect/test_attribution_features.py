import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.attribution_features import AttributionFeatures
from bumperlane.detect.internals.features import HeadEffects, PairedFeatures
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import numbered
from promises import keep

RNG = np.random.default_rng(1)
USUAL = RNG.normal(size=(400, 6)) @ RNG.normal(size=(6, 6))


def seen(rows, layers=2, heads=3):
    return HeadEffects(np.asarray(rows), numbered(len(rows)), layers, heads)


def test_keeps_every_promise(tmp_path):
    keep(AttributionFeatures, tmp_path)


def test_agrees_with_scikit_learn_on_standardised_effects():
    scaled = (USUAL - USUAL.mean(axis=0)) / USUAL.std(axis=0)
    away = RNG.normal(size=(9, 6)) * 4
    theirs = LedoitWolf(assume_centered=True).fit(scaled).mahalanobis((away - USUAL.mean(axis=0)) / USUAL.std(axis=0))
    found = AttributionFeatures().fit(seen(USUAL)).score(seen(away)).values
    np.testing.assert_allclose(found, np.log(theirs / 6), rtol=1e-6)


def test_sees_a_head_that_takes_over_from_another_though_the_sum_of_effects_stays():
    fitted = AttributionFeatures().fit(seen(USUAL))
    moved = USUAL[:50] + 4 * USUAL.std() * np.array([-1, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(moved.sum(axis=1), USUAL[:50].sum(axis=1))
    assert fitted.score(seen(moved)).values.min() > np.quantile(fitted.score(seen(USUAL)).values, 0.99)


def test_is_blind_to_all_effects_growing_together_as_they_do_on_trusted_prompts():
    strength = 1 + 0.5 * RNG.normal(size=(9000, 1))
    rows = strength * [4, 2, 0, 1, 3, 0] + 0.1 * RNG.normal(size=(9000, 6))
    fitted = AttributionFeatures().fit(seen(rows[:1000]))
    line = np.quantile(fitted.score(seen(rows[1000:5000])).values, 0.95)
    stronger = rows[5000:] + 0.25 * np.array([4, 2, 0, 1, 3, 0])
    assert (fitted.score(seen(stronger)).values > line).mean() < 0.1


def test_what_other_heads_do_in_the_base_too_is_cancelled():
    fitted = AgainstBase(AttributionFeatures()).fit(PairedFeatures(seen(USUAL), seen(USUAL)))
    away = seen(USUAL[:20] + 30)
    np.testing.assert_allclose(fitted.score(PairedFeatures(away, away)).values, 0, atol=1e-12)
    assert fitted.score(PairedFeatures(away, seen(USUAL[:20]))).values.min() > 1


def test_refuses_a_model_of_another_shape():
    with pytest.raises(
        EvidenceError, match=r"fitted on \(layers, heads\) \(2, 3\), cannot score \(3, 2\). Read the same"
    ):
        AttributionFeatures().fit(seen(USUAL)).score(seen(USUAL, 3, 2))


def test_refuses_too_few_items_or_equal_ones():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        AttributionFeatures().fit(seen(USUAL[:7]))
    with pytest.raises(EvidenceError, match="the head effects are equal for all 9 trusted items"):
        AttributionFeatures().fit(seen(np.ones((9, 6))))


def test_refuses_a_shrinkage_outside_its_range():
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\]"):
        AttributionFeatures(0)
