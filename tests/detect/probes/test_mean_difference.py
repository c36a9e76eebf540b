import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import promises
from bumperlane.detect.internals.probes.mean_difference import MeanDifferenceProbe
from bumperlane.detect.internals.probes.ordering import auroc
from bumperlane.errors import EvidenceError
from rows import rows

RNG = np.random.default_rng(7)
GOOD, BAD = RNG.normal(size=(40, 5)) * [1, 2, 3, 4, 5], RNG.normal(size=(30, 5)) * [1, 2, 3, 4, 5] + [1, 0, 0, 3, 0]


def test_keeps_every_promise(tmp_path):
    promises.keep(MeanDifferenceProbe, tmp_path)


def test_agrees_with_leaving_each_good_row_out_by_hand(labelled):
    direction = BAD.mean(axis=0) - GOOD.mean(axis=0)
    left_out = []
    for i in range(len(GOOD)):
        rest = np.delete(GOOD, i, axis=0).mean(axis=0)
        left_out.append((GOOD[i] - GOOD.mean(axis=0)) @ (BAD.mean(axis=0) - rest))
    seen = RNG.normal(size=(9, 5))
    by_hand = ((seen - GOOD.mean(axis=0)) @ direction - np.mean(left_out)) / np.std(left_out)
    ours = MeanDifferenceProbe(standardise=False).fit(labelled(GOOD, BAD)).score(rows(seen)).values
    np.testing.assert_allclose(ours, by_hand, rtol=1e-10)


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("d", [4, 400])
def test_unseen_good_items_have_mean_nought_and_deviation_one_even_in_many_dimensions(labelled, d, standardise):
    """Scored on the rows it was fitted on, the mean of good items would lie six deviations too low at d = 400."""
    means, deviations = [], []
    for _ in range(20):
        fit = labelled(RNG.normal(size=(40, d)), RNG.normal(size=(40, d)) + 0.2)
        values = MeanDifferenceProbe(standardise).fit(fit).score(rows(RNG.normal(size=(500, d)))).values
        means.append(values.mean()), deviations.append(values.std())
    assert np.mean(means) == pytest.approx(0, abs=0.25) and np.mean(deviations) == pytest.approx(1, abs=0.15)


def test_one_massive_dimension_does_not_set_the_direction(labelled):
    scale = np.r_[1000.0, np.ones(9)]
    good, bad = RNG.normal(size=(2, 200, 10)) * scale
    bad[:, 1] += 3
    seen = RNG.normal(size=(100, 10)) * scale, RNG.normal(size=(100, 10)) * scale + np.eye(10)[1] * 3
    found = [
        auroc(*(MeanDifferenceProbe(how).fit(labelled(good, bad)).score(rows(s)).values for s in seen))
        for how in (True, False)
    ]
    assert found[0] > 0.95 and found[1] < 0.7


def test_is_blind_at_right_angles_to_the_difference(labelled):
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    fitted = MeanDifferenceProbe().fit(labelled(GOOD, BAD))
    aside = np.linalg.svd(fitted.weights[None])[2][1:] * 1000
    for away in aside:
        np.testing.assert_allclose(fitted.score(rows(GOOD + away)).values, fitted.score(rows(GOOD)).values, atol=1e-9)


def test_refuses_one_kind_with_the_counts(labelled):
    with pytest.raises(EvidenceError, match="8 or more items of each kind, got 40 good and 7 bad"):
        MeanDifferenceProbe().fit(labelled(GOOD, BAD[:7]))


def test_refuses_good_items_that_are_all_alike(labelled):
    with pytest.raises(EvidenceError, match="all 10 good rows at layer 12 project to one point, so there is no unit"):
        MeanDifferenceProbe().fit(labelled(np.ones((10, 5)), BAD))


def test_refuses_another_place(labelled):
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 5\), cannot score \(12, 4\)"):
        MeanDifferenceProbe().fit(labelled(GOOD, BAD)).score(rows(BAD[:, :4]))


def test_the_order_of_two_kinds_agrees_with_scikit_learn_ties_included():
    good, bad = RNG.integers(0, 6, 50).astype(float), RNG.integers(2, 8, 40).astype(float)
    theirs = roc_auc_score(np.arange(90) >= 50, np.concatenate([good, bad]))
    assert auroc(good, bad) == pytest.approx(theirs, abs=1e-12)
    with pytest.raises(EvidenceError, match="needs both kinds, got 50 good and 0 bad"):
        auroc(good, bad[:0])
