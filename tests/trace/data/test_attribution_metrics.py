"""Measures of attribution against scikit-learn and SciPy, ties, and the errors."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from bumperlane.errors import EvidenceError
from bumperlane.trace.data.attribution_metrics import auroc, average_precision, linear_datamodelling_score, recall_at


@pytest.fixture(params=[False, True], ids=["no ties", "ties"])
def scored(request):
    rng = np.random.default_rng(0)
    planted = rng.random(300) < 0.1
    scores = rng.standard_normal(300) + planted
    return (np.round(scores, 0) if request.param else scores), planted


def test_precision_and_auroc_are_those_of_scikit_learn(scored):
    scores, planted = scored
    assert average_precision(scores, planted) == pytest.approx(average_precision_score(planted, scores), abs=1e-12)
    assert auroc(scores, planted) == pytest.approx(roc_auc_score(planted, scores), abs=1e-12)


def test_order_and_any_rising_map_change_nothing(scored):
    scores, planted = scored
    turn = np.random.default_rng(1).permutation(len(scores))
    for measure in (average_precision, auroc, lambda s, p: recall_at(s, p, 40)):
        assert measure(scores[turn], planted[turn]) == pytest.approx(measure(scores, planted), abs=1e-12)
        assert measure(np.exp(3 * scores), planted) == pytest.approx(measure(scores, planted), abs=1e-12)


def test_recall_counts_the_top_and_shares_ties():
    planted = np.array([True, True, False, False, False])
    assert recall_at(np.array([5.0, 1, 4, 3, 2]), planted, 2) == 0.5
    assert recall_at(np.zeros(5), planted, 2) == pytest.approx(0.4)
    assert recall_at(np.array([2.0, 1, 1, 0, 0]), planted, 2) == pytest.approx(0.75)
    assert recall_at(np.zeros(5), planted, 5) == 1


def test_a_perfect_additive_score_foretells_retrained_outputs_and_a_random_one_does_not():
    rng = np.random.default_rng(0)
    truth, subsets = rng.standard_normal((20, 200)), rng.random((40, 200)) < 0.5
    outputs = truth @ subsets.T
    right = linear_datamodelling_score(truth, subsets, outputs, draws=200)
    assert right.mean == pytest.approx(1) and right.low > 0.99
    wrong = linear_datamodelling_score(rng.standard_normal((20, 200)), subsets, outputs, draws=200)
    assert wrong.low < 0 < wrong.high and abs(wrong.mean) < 0.2
    turned = linear_datamodelling_score(-truth, subsets, outputs, draws=200)
    assert turned.mean == pytest.approx(-1)


def test_each_query_is_correlated_as_scipy_does_it():
    rng = np.random.default_rng(2)
    scores, subsets, outputs = rng.integers(-2, 3, (5, 30)), rng.random((12, 30)) < 0.5, rng.integers(0, 6, (5, 12))
    wanted = np.mean([spearmanr(s @ subsets.T, o).statistic for s, o in zip(scores, outputs, strict=True)])
    assert linear_datamodelling_score(scores, subsets, outputs, draws=2).mean == pytest.approx(wanted)


def test_scores_that_do_not_vary_foretell_nothing():
    rng = np.random.default_rng(3)
    found = linear_datamodelling_score(np.zeros((4, 9)), rng.random((6, 9)) < 0.5, rng.random((4, 6)), draws=10)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_refuses_what_cannot_be_measured():
    some = np.array([True, False])
    with pytest.raises(EvidenceError, match="0 of 2 examples are planted"):
        auroc(np.ones(2), np.zeros(2, bool))
    with pytest.raises(EvidenceError, match="1 of 2 scores are not finite"):
        average_precision(np.array([1, np.nan]), some)
    with pytest.raises(EvidenceError, match=r"one boolean an example, got \(3,\) and bool \(2,\)"):
        auroc(np.ones(3), some)
    with pytest.raises(EvidenceError, match=r"k must lie in 1..2, the number of examples, got 3"):
        recall_at(np.ones(2), some, 3)
    with pytest.raises(EvidenceError, match="at least 3 subsets"):
        linear_datamodelling_score(np.ones((1, 4)), np.ones((2, 4), bool), np.ones((1, 2)))
