import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bumperlane.detect.internals.likelihood_ratio import LikelihoodRatio
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.errors import EvidenceError, SettingError
from rows import rows

RNG = np.random.default_rng(4)
MIX = RNG.normal(size=(4, 4))
CLEAN = RNG.normal(size=(600, 4)) @ MIX + 2
BATCH = np.r_[RNG.normal(size=(400, 4)) @ MIX + 2, RNG.normal(size=(80, 4)) + 5]


def log_density(x, of):
    return multivariate_normal(of.mean(axis=0), np.cov(of, rowvar=False, bias=True)).logpdf(x)


def test_without_shrinkage_it_is_the_ratio_of_two_gaussian_densities():
    by_hand = log_density(BATCH, BATCH) - log_density(BATCH, CLEAN)
    found = LikelihoodRatio(1e-12).fit(rows(CLEAN), rows(BATCH)).score_batch(rows(BATCH)).values
    np.testing.assert_allclose(found, by_hand - np.median(by_hand), rtol=1e-7, atol=1e-7)


def test_turning_the_space_changes_nothing_without_shrinkage():
    turn = RNG.normal(size=(4, 4))
    found = LikelihoodRatio(1e-12).fit(rows(CLEAN @ turn), rows(BATCH @ turn)).score_batch(rows(BATCH @ turn))
    same = LikelihoodRatio(1e-12).fit(rows(CLEAN), rows(BATCH)).score_batch(rows(BATCH))
    np.testing.assert_allclose(found.values, same.values, rtol=1e-6, atol=1e-6)


def test_a_batch_like_the_trusted_rows_says_the_less_the_larger_both_are():
    def spread(n):
        clean, batch = (RNG.normal(size=(n, 4)) @ MIX for _ in range(2))
        found = LikelihoodRatio().fit(rows(clean), rows(batch)).score_batch(rows(batch)).values
        assert np.median(found) == pytest.approx(0, abs=1e-12)
        return found.std()

    assert spread(40_000) < 0.05 and spread(40_000) < spread(400) / 4


def test_finds_a_common_mode_inside_the_bulk_of_trusted_distances():
    """Sixteen dimensions, and a tenth of the batch moved by 2.5 spreads along one: distance alone hardly sees it."""
    clean, batch = RNG.normal(size=(3000, 16)), RNG.normal(size=(1000, 16))
    batch[900:, 3] += 2.5

    def caught(values):
        return (values[900:] > np.quantile(values[:900], 0.95)).mean()

    ratio = caught(LikelihoodRatio().fit(rows(clean), rows(batch)).score_batch(rows(batch)).values)
    assert ratio > caught(Mahalanobis().fit(rows(clean)).score(rows(batch)).values) + 0.25


def gain(share, shift=4.0, n=400_000):
    """By how many nats the moved items stand above the others."""
    clean, batch, bad = RNG.normal(size=(n, 2)), RNG.normal(size=(n, 2)), int(share * n)
    batch[:bad, 0] += shift
    found = LikelihoodRatio(1e-6).fit(rows(clean), rows(batch)).score_batch(rows(batch)).values
    return found[:bad].mean() - found[bad:].mean()


@pytest.mark.parametrize("share", [0.002, 0.01])
def test_gains_what_the_docstring_says_while_the_share_is_small(share):
    """e s^2 (2 + s^2) / 2, to first order in e."""
    assert gain(share) == pytest.approx(share * 16 * 18 / 2, rel=0.25)


def test_is_blind_to_what_is_rare_in_the_batch():
    """The limit named in the docstring: one in ten thousand, that a distance sees at once."""
    clean, batch = RNG.normal(size=(20_000, 16)), RNG.normal(size=(20_000, 16))
    batch[:2, 0] += 6
    found = LikelihoodRatio().fit(rows(clean), rows(batch)).score_batch(rows(batch)).values
    assert (found[:2] < np.quantile(found[2:], 0.95)).all()
    far = Mahalanobis().fit(rows(clean)).score(rows(batch)).values
    assert (far[:2] > np.quantile(far[2:], 0.95)).all()


def test_refuses_a_batch_from_another_place():
    with pytest.raises(
        EvidenceError, match=r"trusted rows lie at .*\(12, 4\) and untrusted ones at \(13, 4\). Read both"
    ):
        LikelihoodRatio().fit(rows(CLEAN), rows(BATCH, 13))


def test_refuses_too_small_a_batch():
    with pytest.raises(EvidenceError, match="8 or more untrusted rows, got 7. Pass more untrusted prompts"):
        LikelihoodRatio().fit(rows(CLEAN), rows(BATCH[:7]))


def test_refuses_a_shrinkage_outside_its_range():
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\], 'ledoit-wolf' or 'oas', got 0"):
        LikelihoodRatio(0)
