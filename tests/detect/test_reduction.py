import numpy as np
import pytest
from sklearn.decomposition import PCA

from bumperlane.detect.internals.reduction import Reduction, minimise
from bumperlane.errors import EvidenceError
from rows import rows

RNG = np.random.default_rng(7)
CLEAN = RNG.normal(size=(400, 5)) @ RNG.normal(size=(5, 20)) + 0.3 * RNG.normal(size=(400, 20)) + 4
FIRST, SECOND = CLEAN[::2], CLEAN[1::2]


def standard(x):
    return (x - FIRST.mean(axis=0)) / FIRST.std(axis=0)


def test_axes_are_those_of_scikit_learns_pca_on_scaled_rows():
    found, coordinates = Reduction.halved(rows(CLEAN), 5)
    theirs = PCA(5).fit(standard(FIRST))
    turn = found.axes @ theirs.components_.T
    np.testing.assert_allclose(np.abs(turn), np.eye(5), atol=1e-6)
    raw = np.abs(theirs.transform(standard(SECOND)) @ turn.T / coordinates[:, :5].std(axis=0) / found.unit[:5])
    np.testing.assert_allclose(
        np.abs(coordinates[:, :5] + found.centre[:5] / found.unit[:5]), raw, rtol=1e-6, atol=1e-6
    )


def test_the_last_coordinate_is_all_that_the_axes_leave_over():
    found, coordinates = Reduction.halved(rows(CLEAN), 5)
    rest = standard(SECOND) - standard(SECOND) @ found.axes.T @ found.axes
    left = np.log((rest**2).sum(axis=1) / 15)
    np.testing.assert_allclose(coordinates[:, 5], (left - left.mean()) / left.std(), rtol=1e-7, atol=1e-9)


def test_coordinates_of_the_half_that_gave_no_axes_are_standardised_even_with_few_rows():
    """On the other half they are wider, as the axes follow its accidents."""
    few = RNG.normal(size=(60, 300))
    found, coordinates = Reduction.halved(rows(few), 16)
    assert found.axes.shape == (7, 300)  # a quarter of the rows that gave them
    np.testing.assert_allclose(coordinates.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(coordinates.std(axis=0), 1, atol=1e-9)
    assert found.coordinates(rows(few[::2]))[:, :7].std(axis=0).min() > 1.5


def test_keeps_no_axis_along_which_nothing_moves_but_notices_what_leaves_the_rest():
    flat = RNG.normal(size=(100, 3)) @ RNG.normal(size=(3, 10))
    found, coordinates = Reduction.halved(rows(flat), 8)
    assert found.axes.shape == (3, 10) and coordinates.shape == (50, 4)
    assert np.abs(coordinates[:, 3]).max() < 1e-6
    assert found.coordinates(rows(flat + RNG.normal(size=(100, 10)))).min(axis=0)[3] > 5


def test_axes_that_span_everything_leave_no_rest():
    found, coordinates = Reduction.halved(rows(RNG.normal(size=(100, 4))), 8)
    assert coordinates.shape == (50, 4) and len(found.axes) == 4
    assert found.coordinates(rows(np.zeros((0, 4)))).shape == (0, 4)


def test_refuses_fewer_than_forty_rows():
    with pytest.raises(
        EvidenceError, match="needs 40 or more trusted rows, got 39. Pass more trusted prompts, or use Ma"
    ):
        Reduction.halved(rows(CLEAN[:39]), 4)


def test_refuses_rows_too_far_apart_to_be_squared():
    broken = CLEAN.copy()
    broken[1] = 1e200
    with pytest.raises(EvidenceError, match=r"at layer 12 reach 1e\+200, too far from one another .*broken rows"):
        with np.errstate(over="ignore", invalid="ignore"):
            Reduction.halved(rows(broken), 4)


def squared_error(torch, weights, batch, noise):
    return ((batch[:, :3] @ weights["w"] - batch[:, 3]) ** 2).mean() / 2


def test_descent_reaches_the_ridge_solution_of_a_linear_fit():
    """With a prior of precision 3 on each weight: (X'X + 3) w = X'y, over the rows that were not kept aside."""
    x = RNG.normal(size=(125, 3))
    y = x @ [1.0, -2.0, 0.5]
    y[::5] = np.linalg.solve(taught(x).T @ taught(x) + 3 * np.eye(3), taught(x).T @ taught(y)) @ x[::5].T
    found = minimise(squared_error, {"w": np.zeros(3)}, np.c_[x, y], 1500, 0, 3.0)["w"]
    ridge = np.linalg.solve(taught(x).T @ taught(x) + 3 * np.eye(3), taught(x).T @ taught(y))
    np.testing.assert_allclose(found, ridge, atol=0.01)
    assert np.abs(found - [1, -2, 0.5]).max() > 0.02


def taught(x):
    return x[np.arange(len(x)) % 5 > 0]


def test_descent_returns_the_weights_that_are_best_on_rows_kept_aside():
    """Those say that the first weights were right, so what the others teach is not kept."""
    x, first = RNG.normal(size=(100, 3)), np.array([1.0, -2.0, 0.5])
    y = x @ [5.0, 5.0, 5.0]
    y[::5] = x[::5] @ first
    found = minimise(squared_error, {"w": first}, np.c_[x, y], 100, 0, 0.0)["w"]
    np.testing.assert_array_equal(found, first)


def test_descent_says_so_when_it_breaks_down():
    def broken(torch, weights, batch, noise):
        return squared_error(torch, weights, batch, noise) + torch.log(1 - (weights["w"] ** 2).sum())

    with pytest.raises(
        EvidenceError, match=r"the loss is (-inf|nan) after \d+ of 4000 steps on 50 trusted rows .*broken"
    ):
        minimise(broken, {"w": np.zeros(3)}, RNG.normal(size=(50, 4)), 4000, 0, 0.0)
