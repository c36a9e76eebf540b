import numpy as np
import pytest
from sklearn.covariance import oas

import promises
from bumperlane.detect.internals.moments import Moments
from bumperlane.detect.internals.quantum_entropy import QuantumEntropy
from bumperlane.detect.internals.spectral_signature import SpectralSignature
from bumperlane.errors import EvidenceError
from bumperlane.types import Activations, numbered
from rows import rows

RNG = np.random.default_rng(9)
TRUSTED = RNG.normal(size=(300, 6)) @ RNG.normal(size=(6, 6)) + 5
BATCH = np.r_[TRUSTED[:80] + RNG.normal(size=(80, 6)), TRUSTED[80:100] + [0, 30, 0, 0, 30, 0]]


def score(trusted, batch, bumper=None):
    return (bumper or SpectralSignature()).fit(rows(trusted), rows(batch)).score_batch(rows(batch)).values


def by_hand(trusted, batch):
    """The first right singular vector of the batch, centred and scaled as trusted rows are."""
    mean, spread = trusted.mean(axis=0), trusted.std(axis=0)
    ours, theirs = (trusted - mean) / spread, (batch - mean) / spread
    top = np.linalg.svd(theirs)[2][0]
    return np.log1p((theirs @ top) ** 2 / (top @ oas(ours, assume_centered=True)[0] @ top))


def test_keeps_every_promise(tmp_path):
    promises.keep(SpectralSignature, tmp_path)


def test_agrees_with_a_singular_value_decomposition_of_the_rows():
    np.testing.assert_allclose(score(TRUSTED, BATCH), by_hand(TRUSTED, BATCH), rtol=1e-8)
    few = RNG.normal(size=(20, 64))
    np.testing.assert_allclose(score(few, few * 2 + 1), by_hand(few, few * 2 + 1), rtol=1e-7)


def test_units_and_offsets_of_dimensions_do_not_matter():
    scale, shift = np.array([1e-3, 1, 1e4, 7, 1, 1]), np.array([5.0, -3, 1e4, 0, 0, 1])
    np.testing.assert_allclose(score(TRUSTED * scale + shift, BATCH * scale + shift), score(TRUSTED, BATCH), rtol=1e-6)


def test_is_blind_where_quantum_entropy_is_not():
    """The limit named in the docstring: a shift across the direction that trusted rows share."""
    shared = RNG.normal(size=(1200, 12)) + 2 * RNG.normal(size=(1200, 1))
    trusted, batch = shared[:600], shared[600:].copy()
    batch[:60, :2] += [4, -4]
    ours, theirs = score(trusted, batch), score(trusted, batch, QuantumEntropy())
    assert (ours[:60] > np.quantile(ours[60:], 0.95)).mean() < 0.1
    assert (theirs[:60] > np.quantile(theirs[60:], 0.95)).mean() > 0.9


def test_merged_moments_and_float32_rows_give_the_scores_that_rows_give():
    parts = [Moments.of(rows(part)) for part in np.array_split(BATCH, 3)]
    merged = SpectralSignature().fit_moments(Moments.of(rows(TRUSTED)), parts[2] + parts[0] + parts[1])
    np.testing.assert_allclose(merged.score_batch(rows(BATCH)).values, score(TRUSTED, BATCH), atol=1e-5)
    small = [Activations(x.astype(np.float32), numbered(len(x)), 12) for x in (TRUSTED, BATCH)]
    fitted = SpectralSignature().fit(*small)
    assert fitted.direction.dtype == np.float32
    np.testing.assert_allclose(fitted.score_batch(small[1]).values, score(TRUSTED, BATCH), atol=1e-3)


def test_refuses_too_few_rows_and_another_place():
    with pytest.raises(EvidenceError, match="8 or more untrusted rows, got 7"):
        SpectralSignature().fit(rows(TRUSTED), rows(BATCH[:7]))
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        SpectralSignature().fit_moments(Moments.of(rows(TRUSTED[:7])), Moments.of(rows(BATCH)))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 6\), cannot score \(12, 5\)"):
        SpectralSignature().fit(rows(TRUSTED), rows(BATCH)).score_batch(rows(BATCH[:, :5]))
