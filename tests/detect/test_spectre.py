import numpy as np
import pytest
from scipy.linalg import expm, sqrtm
from sklearn.covariance import oas
from sklearn.metrics import roc_auc_score

import promises
from bumperlane.detect.internals.moments import Moments
from bumperlane.detect.internals.spectral_signature import SpectralSignature
from bumperlane.detect.internals.spectre import Spectre
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, numbered
from rows import rows

RNG = np.random.default_rng(8)
MIX = RNG.normal(size=(10, 10)) + 2 * np.eye(10)
TRUSTED = RNG.normal(size=(400, 10)) @ MIX + 5
BATCH = np.r_[RNG.normal(size=(180, 10)) @ MIX + 5, (RNG.normal(size=(20, 10)) + 1.5) @ MIX + 5]


def score(bumper, trusted, batch, seen=None):
    return bumper.fit(rows(trusted), rows(batch)).score_batch(rows(batch if seen is None else seen)).values


def by_hand(trusted, batch, most, alpha):
    """Rows projected by a singular value decomposition and scored, for every k; the k whose mean score is highest."""
    mean, spread = trusted.mean(axis=0), trusted.std(axis=0)
    ours, theirs = (trusted - mean) / spread, (batch - mean) / spread
    shrunk, share = oas(ours, assume_centered=True)
    main, found = np.linalg.svd(theirs)[2].T, []
    for k in (1, 2, 4, 8, 16):
        way = main[:, : min(k, most)]
        white = np.linalg.inv(np.atleast_2d(sqrtm(way.T @ shrunk @ way)))
        h = theirs @ way @ white.T
        extra = h.T @ h / len(h) - white @ (way.T @ (ours.T @ ours / len(ours)) @ way) @ white.T
        q = expm(alpha * extra / np.linalg.eigvalsh(extra)[-1])
        tau = np.einsum("nd,de,ne->n", h, q, h) / np.trace(q)
        mean_excess = np.trace(q @ extra) / np.trace(q)
        found.append((mean_excess, np.log(tau)))
        if k >= most:
            break
    return max(found, key=lambda pair: pair[0])[1]


def test_keeps_every_promise(tmp_path):
    promises.keep(Spectre, tmp_path)


@pytest.mark.parametrize("most", [1, 2, 5, 10])
def test_agrees_with_a_direct_computation_on_the_rows(most):
    np.testing.assert_allclose(
        score(Spectre(most), TRUSTED, BATCH), by_hand(TRUSTED, BATCH, most, 4.0), rtol=1e-7, atol=1e-8
    )


def test_takes_as_many_directions_as_the_anomaly_needs():
    """An anomaly in the fifth main direction: four are too few, and all of them would dilute it."""
    rng, widths = np.random.default_rng(0), np.r_[[6.0] * 4, np.ones(60)]
    mix = np.linalg.qr(rng.normal(size=(64, 64)))[0] * widths[:, None]

    def at(n, shift):
        return (rng.normal(size=(n, 64)) + shift * np.eye(64)[10]) @ mix

    trusted, batch, bad = at(2000, 0), np.r_[at(1800, 0), at(200, 7)], np.arange(2000) >= 1800
    fitted = Spectre().fit(rows(trusted), rows(batch))
    assert len(fitted.projection) == 8
    assert roc_auc_score(bad, fitted.score_batch(rows(batch)).values) > 0.98
    assert roc_auc_score(bad, score(Spectre(4), trusted, batch)) < 0.7
    assert roc_auc_score(bad, score(SpectralSignature(), trusted, batch)) < 0.7


def test_units_and_offsets_of_dimensions_do_not_matter():
    scale, shift = np.logspace(-3, 4, 10), np.linspace(-5, 1e4, 10)
    np.testing.assert_allclose(
        score(Spectre(), TRUSTED * scale + shift, BATCH * scale + shift), score(Spectre(), TRUSTED, BATCH), rtol=1e-6
    )


def test_works_with_fewer_rows_than_dimensions():
    rng = np.random.default_rng(0)
    trusted, batch = rng.normal(size=(40, 200)), rng.normal(size=(30, 200))
    batch[:6] += 8 * rng.normal(size=200) / np.sqrt(2)
    assert roc_auc_score(np.arange(30) < 6, score(Spectre(), trusted, batch)) == 1


def test_merged_moments_and_float32_rows_give_the_scores_that_rows_give():
    wanted = score(Spectre(), TRUSTED, BATCH)
    parts = [Moments.of(rows(part)) for part in np.array_split(BATCH, 3)]
    merged = Spectre().fit_moments(Moments.of(rows(TRUSTED)), parts[2] + parts[0] + parts[1])
    np.testing.assert_allclose(merged.score_batch(rows(BATCH)).values, wanted, atol=1e-4)
    small = [Activations(x.astype(np.float32), numbered(len(x)), 12) for x in (TRUSTED, BATCH)]
    fitted = Spectre().fit(*small)
    assert fitted.projection.dtype == np.float32
    np.testing.assert_allclose(fitted.score_batch(small[1]).values, wanted, rtol=1e-3, atol=1e-3)


def test_refuses_too_few_rows_another_place_and_no_directions():
    with pytest.raises(EvidenceError, match="8 or more untrusted rows, got 7"):
        Spectre().fit(rows(TRUSTED), rows(BATCH[:7]))
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        Spectre().fit_moments(Moments.of(rows(TRUSTED[:7])), Moments.of(rows(BATCH)))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 10\), cannot score \(3, 10\)"):
        Spectre().fit(rows(TRUSTED), rows(BATCH)).score_batch(rows(BATCH, 3))
    with pytest.raises(SettingError, match="most must be 1 or more principal directions, got 0. Try 64."):
        Spectre(0)
    with pytest.raises(SettingError, match="alpha must be from 0 to 50, got 60. Try 4."):
        Spectre(alpha=60)
