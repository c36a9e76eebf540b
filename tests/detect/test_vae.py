import sys

import numpy as np
import pytest
import torch
from scipy.stats import norm

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.vae import VariationalAutoencoder
from bumperlane.errors import SettingError
from rows import rows

RNG = np.random.default_rng(5)
TIMES = np.arange(1, 6)


def rings(angle):
    """Five pairs of dimensions: cosine and sine of one to five times an angle (n, 1), or of five angles (n, 5)."""
    return np.c_[np.cos(TIMES * angle), np.sin(TIMES * angle)] + 0.1 * RNG.normal(size=(len(angle), 10))


def angles(n, columns=1):
    return RNG.uniform(0, 2 * np.pi, (n, columns))


CLEAN, SEEN = rings(angles(600)), rings(angles(80, 5))
FITTED = VariationalAutoencoder().fit(rows(CLEAN))


def layer(x, weights):
    return torch.nn.functional.linear(x, weights[:-1].T, weights[-1])


def bound_by_torch(fitted, coordinates):
    """Negative evidence lower bound of each row from torch's own distributions, at the mean of the posterior."""
    x = torch.from_numpy(coordinates)
    w = {k: torch.from_numpy(getattr(fitted, k)) for k in ("encode", "posterior", "decode", "rebuild", "log_noise")}
    mean, log_variance = layer(torch.tanh(layer(x, w["encode"])), w["posterior"]).chunk(2, dim=1)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    rebuilt = torch.distributions.Normal(
        layer(torch.tanh(layer(mean, w["decode"])), w["rebuild"]), (w["log_noise"] / 2).exp()
    )
    standard = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    divergence = torch.distributions.kl_divergence(posterior, standard).sum(1)
    least = (torch.log(torch.tensor(2 * torch.pi)) + w["log_noise"]).sum() / 2
    return (divergence - rebuilt.log_prob(x).sum(1) - least).numpy()


def test_agrees_with_the_bound_from_torchs_distributions():
    theirs = bound_by_torch(FITTED, FITTED.coordinates(rows(SEEN)))
    np.testing.assert_allclose(FITTED.score(rows(SEEN)).values, np.log(theirs / FITTED.usual), rtol=1e-6, atol=1e-6)


def test_the_posteriors_of_trusted_rows_together_fill_the_prior():
    """What the divergence in the bound is for: latent numbers have about unit second moments."""
    x = torch.from_numpy(FITTED.coordinates(rows(rings(angles(2000)))))
    w = {name: torch.from_numpy(getattr(FITTED, name)) for name in ("encode", "posterior")}
    mean, log_variance = layer(torch.tanh(layer(x, w["encode"])), w["posterior"]).chunk(2, dim=1)
    second = (mean**2 + log_variance.exp()).mean(0)
    assert second.min() > 0.8 and second.max() < 1.5


def test_one_trusted_row_in_two_trains_it_and_their_median_is_zero():
    assert np.median(FITTED.score(rows(CLEAN[1::2])).values) == pytest.approx(0, abs=1e-4)


def test_sees_what_has_the_same_mean_spread_and_correlations():
    """Each pair of dimensions alone is as on trusted rows; together they contradict each other."""
    unseen = rings(angles(300))

    def caught(fitted):
        line = np.quantile(fitted.score(rows(unseen)).values, 0.95)
        return (fitted.score(rows(SEEN)).values > line).mean()

    another = VariationalAutoencoder(seed=1).fit(rows(CLEAN))  # what is learnt hangs little on the first weights
    assert caught(FITTED) > 0.9 and caught(another) > 0.9 and caught(Mahalanobis().fit(rows(CLEAN))) < 0.15


def test_is_blind_to_moving_along_the_trusted_surface():
    """The limit named in the docstring: every item turned to the same part of the circle."""
    line = np.quantile(FITTED.score(rows(rings(angles(300)))).values, 0.95)
    assert (FITTED.score(rows(rings(RNG.uniform(1, 2, (300, 1))))).values > line).mean() < 0.12


def test_what_lies_outside_the_kept_axes_still_counts():
    low = RNG.normal(size=(400, 3)) @ RNG.normal(size=(3, 12)) + 0.1 * RNG.normal(size=(400, 12))
    fitted = VariationalAutoencoder(axes=3).fit(rows(low[:300]))
    outside = np.linalg.svd(low - low.mean(axis=0))[2][-1]
    assert fitted.score(rows(low[300:] + 2 * outside)).values.min() > fitted.score(rows(low[300:])).values.max()


def test_a_few_dozen_rows_are_not_learnt_by_heart():
    """Without rows kept aside to judge by, unseen trusted rows would cost several times as much as those taught."""
    few, unseen = RNG.normal(size=(80, 100)), rows(RNG.normal(size=(200, 100)))
    assert abs(np.median(VariationalAutoencoder(prior=0).fit(rows(few)).score(unseen).values)) < 0.6


def test_training_is_repeatable_whatever_torch_was_doing():
    held = torch.random.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    first = VariationalAutoencoder(steps=50).fit(rows(CLEAN)).score(rows(SEEN)).values
    assert torch.equal(torch.random.get_rng_state(), held[0]) and torch.get_default_dtype() == held[2]
    try:
        torch.manual_seed(7)
        torch.set_num_threads(2)
        with torch.inference_mode():
            again = VariationalAutoencoder(steps=50).fit(rows(CLEAN)).score(rows(SEEN)).values
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(held[1])
        torch.random.set_rng_state(held[0])
    np.testing.assert_array_equal(again, first)
    other = VariationalAutoencoder(steps=50, seed=1).fit(rows(CLEAN)).score(rows(SEEN)).values
    assert np.abs(other - first).max() > 1e-3


def test_scores_without_torch_but_says_what_training_needs(monkeypatch):
    before = FITTED.score(rows(SEEN)).values
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(FITTED.score(rows(SEEN)).values, before)
    with pytest.raises(SettingError, match=r"trained with torch, which is not installed. Install bumperlane\[train\]"):
        VariationalAutoencoder().fit(rows(CLEAN))


def test_takes_a_single_dimension():
    fitted = VariationalAutoencoder(steps=50).fit(rows(RNG.normal(size=(100, 1))))
    found = fitted.score(rows([[0.0], [norm.ppf(0.9)], [9.0]])).values
    assert np.isfinite(found).all() and found[2] == found.max()


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        ({"axes": 0}, "0, 8, 64, 400 and 1"),
        ({"latent": 0}, "32, 0,"),
        ({"steps": 0}, ", 0 and"),
        ({"prior": -1}, "and -1"),
    ],
)
def test_refuses_settings_outside_their_range(settings, got):
    with pytest.raises(SettingError, match=f"must be 1 or more and prior 0 or more, got .*{got}.*Try 32, 8, 64, 400"):
        VariationalAutoencoder(**settings)
