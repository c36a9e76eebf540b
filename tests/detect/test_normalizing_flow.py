import sys

import numpy as np
import pytest
import torch

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.normalizing_flow import NormalizingFlow, straightened
from bumperlane.errors import SettingError
from rows import rows

RNG = np.random.default_rng(6)


def parabola(n, low=-2.0, high=2.0, shift=0.0):
    x = RNG.uniform(low, high, n)
    return np.c_[x, x**2 + shift, RNG.normal(size=(n, 3))] + 0.1 * RNG.normal(size=(n, 5))


CLEAN, SEEN = parabola(1000), parabola(40) * 1.3
FITTED = NormalizingFlow(couplings=5).fit(rows(CLEAN))
COORDINATES = FITTED.coordinates(rows(SEEN))


def jacobian(row):
    """d straighten / d row by torch's automatic differentiation."""
    weights = {name: torch.from_numpy(getattr(FITTED, name)) for name in ("into", "out")}
    keep = torch.from_numpy(FITTED.keep)
    return torch.autograd.functional.jacobian(
        lambda x: straightened(torch, keep, weights, x[None])[0][0], torch.from_numpy(row)
    ).numpy()


def test_volume_agrees_with_the_determinant_of_the_jacobian():
    volume = straightened(np, FITTED.keep, vars(FITTED), COORDINATES)[1]
    theirs = [np.linalg.slogdet(jacobian(row)) for row in COORDINATES]
    np.testing.assert_allclose(volume, [t.logabsdet for t in theirs], rtol=1e-9, atol=1e-9)
    assert all(t.sign == 1 for t in theirs) and np.abs(volume).max() > 0.5


def test_score_is_the_change_of_variables_a_coordinate_less_the_usual():
    white, k = FITTED.straighten(COORDINATES), COORDINATES.shape[1]
    gaussian = (white**2).sum(axis=1) / 2 + k * np.log(2 * np.pi) / 2
    by_hand = gaussian - [np.linalg.slogdet(jacobian(row)).logabsdet for row in COORDINATES]
    np.testing.assert_allclose(FITTED.score(rows(SEEN)).values, (by_hand - FITTED.usual) / k, rtol=1e-9)
    assert np.median(FITTED.score(rows(CLEAN[1::2])).values) == pytest.approx(0, abs=1e-9)


def test_density_adds_up_to_one():
    """In two coordinates, over a fine grid that reaches far beyond the trusted rows."""
    x = RNG.uniform(-2, 2, 600)
    fitted = NormalizingFlow(couplings=4, steps=150).fit(rows(np.c_[x, x**2]))
    side = np.linspace(-15, 15, 601)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    white, volume = straightened(np, fitted.keep, vars(fitted), grid)
    density = np.exp(volume - (white**2).sum(axis=1) / 2) / (2 * np.pi)
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=0.01)
    assert density.max() > 1.2 / (2 * np.pi)


def test_bending_undoes_straightening():
    np.testing.assert_allclose(FITTED.bend(FITTED.straighten(COORDINATES)), COORDINATES, rtol=1e-9, atol=1e-9)
    assert np.abs(FITTED.straighten(COORDINATES) - COORDINATES).max() > 0.5


def test_each_coupling_keeps_one_half_and_the_next_one_the_other():
    keep = FITTED.keep
    assert set(np.unique(keep)) == {0, 1} and set(keep.sum(axis=1)) <= {2, 3}
    np.testing.assert_array_equal(keep[0] + keep[1], 1)
    np.testing.assert_array_equal(keep[2] + keep[3], 1)


def test_sees_the_inside_of_a_curve_where_mahalanobis_sees_the_middle():
    inside, unseen = parabola(50, -0.5, 0.5, shift=3), parabola(300)

    def caught(fitted):
        return (fitted.score(rows(inside)).values > np.quantile(fitted.score(rows(unseen)).values, 0.95)).mean()

    assert caught(FITTED) > 0.9 and caught(Mahalanobis().fit(rows(CLEAN))) < 0.5


def test_is_blind_to_another_place_that_is_as_dense():
    """The limit named in the docstring: every item moved to one arm of the curve."""
    line = np.quantile(FITTED.score(rows(parabola(300))).values, 0.95)
    assert (FITTED.score(rows(parabola(300, 0.5, 1.8))).values > line).mean() < 0.12


def test_a_few_dozen_rows_are_not_learnt_by_heart():
    """Rows kept aside say that nothing more can be known of them than means and spreads, so it remains a Gaussian.

    Without those, unseen trusted rows stand twenty nats a coordinate above the rows that were taught.
    """
    few, unseen = RNG.normal(size=(100, 80)), rows(RNG.normal(size=(200, 80)))
    fitted = NormalizingFlow().fit(rows(few))
    z = fitted.coordinates(unseen)
    usual = np.median((fitted.coordinates(rows(few[1::2])) ** 2).sum(axis=1))
    found = fitted.score(unseen).values
    np.testing.assert_allclose(found, ((z**2).sum(axis=1) - usual) / 2 / z.shape[1], rtol=1e-9)
    assert abs(np.median(found)) < 0.3


def test_rows_far_outside_have_finite_scores_and_single_dimensions_do():
    assert np.isfinite(FITTED.score(rows(SEEN * 1e8)).values).all()
    line = NormalizingFlow(steps=50).fit(rows(RNG.normal(size=(100, 1))))
    found = line.score(rows([[0.0], [9.0]])).values
    assert np.isfinite(found).all() and found[1] > found[0] + 5


def test_training_is_repeatable_whatever_torch_was_doing():
    held = torch.random.get_rng_state(), torch.get_num_threads()
    first = NormalizingFlow(steps=40).fit(rows(CLEAN)).score(rows(SEEN)).values
    assert torch.equal(torch.random.get_rng_state(), held[0])
    try:
        torch.manual_seed(7)
        torch.set_num_threads(2)
        with torch.no_grad():
            again = NormalizingFlow(steps=40).fit(rows(CLEAN)).score(rows(SEEN)).values
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(held[1])
        torch.random.set_rng_state(held[0])
    np.testing.assert_array_equal(again, first)


def test_scores_without_torch_but_says_what_training_needs(monkeypatch):
    before = FITTED.score(rows(SEEN)).values
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(FITTED.score(rows(SEEN)).values, before)
    with pytest.raises(SettingError, match=r"trained with torch, which is not installed. Install bumperlane\[train\]"):
        NormalizingFlow().fit(rows(CLEAN))


@pytest.mark.parametrize("settings", [{"axes": 0}, {"couplings": 0}, {"hidden": 0}, {"steps": 0}, {"prior": -1.0}])
def test_refuses_settings_outside_their_range(settings):
    with pytest.raises(SettingError, match="must be 1 or more and prior 0 or more, got .* Try 16, 6, 32, 300 and 5"):
        NormalizingFlow(**settings)
