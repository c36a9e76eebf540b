"""Residual streams have a few dimensions thousands of times wider than the rest, with a mean far from zero."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from bumperlane.detect.contract import is_offline
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.pca_residual import PCAResidual
from bumperlane.detect.internals.quantum_entropy import QuantumEntropy
from bumperlane.detect.internals.spectral_signature import SpectralSignature
from bumperlane.detect.internals.spectre import Spectre
from bumperlane.types import Activations, numbered

D, MASSIVE = 96, [3, 57]
ROOMY, TIGHT = 1500, 80  # more rows than dimensions, and fewer
SHIFT = {ROOMY: 4.5, TIGHT: 9.0}


def scene(n, massive):
    """Trusted and untrusted float32 rows; a tenth of the untrusted is shifted outside the massive dimensions."""
    rng = np.random.default_rng(11)
    mix = np.eye(D) + 0.4 * rng.normal(size=(D, D)) / np.sqrt(D)
    way = rng.normal(size=D)
    way[MASSIVE] = 0
    way *= SHIFT[n] / np.linalg.norm(np.linalg.solve(mix.T, way))  # in trusted deviations
    bad = np.arange(n) < n // 10
    trusted, batch = rng.normal(size=(n, D)) @ mix, rng.normal(size=(n, D)) @ mix + bad[:, None] * way
    if massive:
        for rows in (trusted, batch):
            rows[:, MASSIVE] = rows[:, MASSIVE] * [1e3, 1e4] + 1e4
    return trusted.astype(np.float32), batch.astype(np.float32), bad


def auroc(bumper, n, massive):
    trusted, batch, bad = scene(n, massive)
    clean, seen = (Activations(rows, numbered(n)) for rows in (trusted, batch))
    if is_offline(type(bumper)):
        return roc_auc_score(bad, bumper.fit(clean, seen).score_batch(seen).values)
    return roc_auc_score(bad, bumper.fit(clean).score(seen).values)


@pytest.mark.parametrize("n", [ROOMY, TIGHT])
@pytest.mark.parametrize(
    "bumper",
    [Mahalanobis(), Mahalanobis("oas"), QuantumEntropy(), PCAResidual(), Spectre(), SpectralSignature()],
    ids=str,
)
def test_two_massive_dimensions_do_not_cost_a_hundredth_of_auroc(bumper, n):
    assert auroc(bumper, n, massive=True) >= auroc(bumper, n, massive=False) - 0.01


@pytest.mark.parametrize("n", [ROOMY, TIGHT])
@pytest.mark.parametrize("bumper", [Mahalanobis(), QuantumEntropy()], ids=str)
def test_there_is_something_to_lose(bumper, n):
    assert auroc(bumper, n, massive=True) > 0.7


def test_a_covariance_shrunk_without_scaling_does_lose_it():
    """The control: what the first test would show if the spread of each dimension were not divided out."""

    def theirs(massive):
        trusted, batch, bad = scene(TIGHT, massive)
        return roc_auc_score(bad, LedoitWolf().fit(trusted).mahalanobis(batch))

    assert theirs(massive=True) < theirs(massive=False) - 0.1
