import sys

import numpy as np
import pytest
from sklearn import ensemble

from bumperlane.detect.internals.isolation_forest import IsolationForest, usual_cuts
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, numbered
from rows import rows

RNG = np.random.default_rng(3)
CLEAN = RNG.normal(size=(500, 6)) @ RNG.normal(size=(6, 6))


@pytest.mark.parametrize(("n", "d", "trees", "take"), [(500, 6, 100, 256), (20, 3, 7, 256), (300, 40, 25, 64)])
def test_agrees_with_scikit_learn(n, d, trees, take):
    x, seen = RNG.normal(size=(n, d)), RNG.normal(size=(50, d)) * 3
    x[:5] = x[0]  # leaves of several rows
    theirs = ensemble.IsolationForest(n_estimators=trees, max_samples=min(take, n), random_state=4).fit(x)
    found = IsolationForest(trees, take, seed=4).fit(rows(x)).score(rows(seen)).values
    np.testing.assert_allclose(found, -theirs.score_samples(seen), rtol=0, atol=1e-9)


def test_agrees_at_the_width_of_a_real_model():
    x = RNG.normal(size=(300, 2048)).astype(np.float32)
    theirs = ensemble.IsolationForest(max_samples=256, random_state=0).fit(x)
    found = IsolationForest().fit(Activations(x, numbered(300), 12)).score(Activations(x[:64], numbered(64), 12))
    np.testing.assert_allclose(found.values, -theirs.score_samples(x[:64]), rtol=0, atol=1e-9)


def test_usual_cuts_are_those_of_random_search_trees():
    """2 H(n - 1) - 2 (n - 1) / n with the harmonic number H, which the formula approximates by a logarithm."""
    n = np.array([10, 100, 1000])
    exact = [2 * sum(1 / i for i in range(1, m)) - 2 * (m - 1) / m for m in n]
    np.testing.assert_allclose(usual_cuts(n), exact, rtol=0.03)
    np.testing.assert_array_equal(usual_cuts(np.array([0, 1, 2])), [0, 0, 1])


def test_a_row_cut_off_at_once_scores_higher_than_any_inside():
    fitted = IsolationForest().fit(rows(CLEAN))
    far, inside = fitted.score(rows(CLEAN[:50] * 20)).values, fitted.score(rows(CLEAN)).values
    assert np.median(far) > inside.max() and 0 < inside.min() and far.max() < 1


def test_scaling_dimensions_by_powers_of_two_changes_nothing():
    fitted, unit = IsolationForest().fit(rows(CLEAN)), 2.0 ** np.arange(-10, 14, 4)
    moved = IsolationForest().fit(rows(CLEAN * unit))
    np.testing.assert_allclose(
        moved.score(rows(CLEAN[:30] * 3 * unit)).values, fitted.score(rows(CLEAN[:30] * 3)).values, atol=1e-12
    )


def test_is_blind_to_a_correlation_that_changes_inside_each_dimensions_range():
    """The limit named in the docstring, where dimensions are many."""
    world = RNG.normal(size=(800, 1)) + 0.5 * RNG.normal(size=(800, 100))
    fitted = IsolationForest().fit(rows(world[:400]))
    line = np.quantile(fitted.score(rows(world[400:])).values, 0.95)
    apart = np.sqrt(1.25) * RNG.normal(size=(200, 100))  # each dimension as before, but none knows of another
    assert (fitted.score(rows(apart)).values > line).mean() < 0.1


def test_scores_without_scikit_learn_but_says_what_growing_needs(monkeypatch):
    fitted = IsolationForest().fit(rows(CLEAN))
    before = fitted.score(rows(CLEAN[:9])).values
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    np.testing.assert_array_equal(fitted.score(rows(CLEAN[:9])).values, before)
    with pytest.raises(SettingError, match="grows its trees with scikit-learn, which is not installed. Install"):
        IsolationForest().fit(rows(CLEAN))


def test_refuses_rows_that_are_all_equal():
    with pytest.raises(EvidenceError, match=r"all 9 trusted rows at layer 12 are equal.*right module"):
        IsolationForest().fit(rows(np.ones((9, 3))))


@pytest.mark.parametrize(("trees", "take"), [(0, 256), (100, 1)])
def test_refuses_a_forest_without_trees_or_rows(trees, take):
    with pytest.raises(SettingError, match=f"1 or more trees and 2 or more rows a tree, got {trees} and {take}"):
        IsolationForest(trees, take)
