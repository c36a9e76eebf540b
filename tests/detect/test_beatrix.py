import numpy as np
import pytest

from bumperlane.detect.internals.beatrix import Beatrix
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, Layers, numbered

RNG = np.random.default_rng(8)
DEEP = (2, 5, 8)


def layers(x, deep=DEEP, start=0):
    return Layers(np.asarray(x, float), numbered(len(x), start), deep)


def together(n, sign=1.0, d=6, deep=3):
    """A common number of random sign at each layer, which half of the dimensions follow with `sign`."""
    common = RNG.choice([-1.0, 1.0], size=(n, deep, 1)) * np.where(np.arange(d) < d // 2, sign, 1)
    return common + 0.3 * RNG.normal(size=(n, deep, d))


CLEAN, SEEN = together(200), together(7, -0.5)


def by_hand(clean, seen, orders):
    """One feature after the other, as the docstring has it."""
    mean, spread = clean.mean(axis=0), clean.std(axis=0)

    def features(item):
        f, out = (item - mean) / spread, []
        for p in range(1, orders + 1):
            for i in range(f.shape[1]):
                for j in range(i, f.shape[1]):
                    inner = sum(f[layer, i] ** p * f[layer, j] ** p for layer in range(len(f))) / len(f)
                    out.append(np.sign(inner) * abs(inner) ** (1 / p))
        return np.array(out)

    trusted = np.array([features(item) for item in clean])
    median = np.median(trusted, axis=0)
    mad = np.median(np.abs(trusted - median), axis=0)
    usual = np.median((np.abs(trusted - median) / mad).mean(axis=1))
    return np.log([(np.abs(features(item) - median) / mad).mean() / usual for item in seen])


@pytest.mark.parametrize("orders", [1, 3, 8])
def test_agrees_with_the_formula_one_feature_after_the_other(orders):
    found = Beatrix(orders).fit(layers(CLEAN)).score(layers(SEEN)).values
    np.testing.assert_allclose(found, by_hand(CLEAN, SEEN, orders), rtol=1e-7, atol=1e-9)


def test_agrees_with_the_formula_on_rotated_channels():
    """The rotation of standardised rows is by orthonormal columns."""
    wide = together(100, d=40)
    fitted = Beatrix(orders=2, channels=4).fit(layers(wide))
    np.testing.assert_allclose(fitted.rotation.T @ fitted.rotation, np.eye(4), atol=1e-12)

    def turned(x):
        return (x - wide.mean(axis=0)) / wide.std(axis=0) @ fitted.rotation

    features = np.einsum("nli,nlj->nij", turned(wide), turned(wide))[:, *np.triu_indices(4)] / 3
    np.testing.assert_allclose(fitted.median[0], np.median(features, axis=0), rtol=1e-9, atol=1e-12)


def test_sees_dimensions_that_turn_against_the_others_at_unchanged_mean_and_spread():
    fitted = Beatrix().fit(layers(CLEAN))
    line = np.quantile(fitted.score(layers(together(200))).values, 0.95)
    assert (fitted.score(layers(together(100, -1))).values > line).mean() > 0.95


def test_high_orders_see_one_layer_that_stands_out_of_many():
    """All of sixteen layers carry a unit of noise; in bad items one layer has all of the strength."""
    clean, unseen = (RNG.normal(size=(n, 16, 6)) for n in (300, 200))
    bad = RNG.normal(size=(100, 16, 6)) * 0.93
    bad[:, 5] *= 2.2 / 0.93
    deep = tuple(range(16))

    def caught(orders):
        fitted = Beatrix(orders).fit(layers(clean, deep))
        line = np.quantile(fitted.score(layers(unseen, deep)).values, 0.95)
        return (fitted.score(layers(bad, deep)).values > line).mean()

    assert caught(8) > caught(1) + 0.1


def test_with_one_layer_orders_of_a_kind_say_the_same():
    one = RNG.normal(size=(50, 1, 4))
    fitted = Beatrix(4).fit(layers(one, (3,)))
    np.testing.assert_allclose(fitted.median[2], fitted.median[0], rtol=1e-9)
    np.testing.assert_allclose(fitted.median[3], fitted.median[1], rtol=1e-9)


def test_is_blind_to_rows_mirrored_about_the_trusted_mean():
    """The limit named in the docstring; a distance from the mean to one side would see it."""
    fitted = Beatrix().fit(layers(CLEAN))
    mirrored = 2 * CLEAN.mean(axis=0) - SEEN
    np.testing.assert_allclose(fitted.score(layers(mirrored)).values, fitted.score(layers(SEEN)).values, rtol=1e-9)


def test_is_blind_to_a_change_in_one_of_many_dimensions():
    wide, unseen = RNG.normal(size=(300, 3, 300)), RNG.normal(size=(200, 3, 300))
    moved = RNG.normal(size=(200, 3, 300))
    moved[..., 0] += 6
    fitted = Beatrix().fit(layers(wide))
    line = np.quantile(fitted.score(layers(unseen)).values, 0.95)
    assert (fitted.score(layers(moved)).values > line).mean() < 0.25
    at_one = Mahalanobis().fit(Activations(wide[:, 0], numbered(300)))
    line = np.quantile(at_one.score(Activations(unseen[:, 0], numbered(200))).values, 0.95)
    assert (at_one.score(Activations(moved[:, 0], numbered(200))).values > line).mean() > 0.25


def test_the_rotation_hangs_on_the_seed_alone():
    wide = layers(together(60, d=30))
    one, same, other = (Beatrix(seed=s).fit(wide).rotation for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_rows_far_outside_have_finite_scores():
    assert np.isfinite(Beatrix(8).fit(layers(CLEAN)).score(layers(SEEN * 1e60)).values).all()


def test_refuses_items_that_mostly_have_the_same_features():
    copies = np.repeat(together(2), [40, 10], axis=0)
    with pytest.raises(EvidenceError, match=r"more than half of 50 trusted items have the same Gram matrices"):
        Beatrix().fit(layers(copies))


@pytest.mark.parametrize(("orders", "channels"), [(0, 16), (8, 0)])
def test_refuses_no_order_and_no_channel(orders, channels):
    with pytest.raises(SettingError, match=f"must be 1 or more, got {orders} and {channels}. Try 8 and 16"):
        Beatrix(orders, channels)
