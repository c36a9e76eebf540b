import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.covariance import LedoitWolf

from bumperlane.detect.internals import nearest_neighbours, topological_evolution
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.topological_evolution import TopologicalEvolution
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, Layers, numbered

RNG = np.random.default_rng(9)
DEEP = (2, 5, 8, 11)
CENTRES = 4 * RNG.normal(size=(4, 6))


def layers(x, deep=DEEP, start=0):
    return Layers(np.asarray(x, float), numbered(len(x), start), deep)


def through(*clusters):
    """Items in the given cluster (n,) at each layer, with fresh noise at each."""
    return np.stack([CENTRES[c] + RNG.normal(size=(len(c), 6)) for c in clusters], axis=1)


def staying(n):
    cluster = RNG.integers(0, 4, n)
    return through(cluster, cluster, cluster, cluster)


CLEAN, SEEN = staying(150), RNG.normal(size=(12, 4, 6)) * 4


def ranks_by_hand(trusted, item, k, own=None):
    """Ranks from a full sort of the distances at each layer."""
    mean, spread = trusted.mean(axis=0), trusted.std(axis=0)
    others = [i for i in range(len(trusted)) if i != own]
    away = [
        cdist(((item - mean) / spread)[None, layer], ((trusted - mean) / spread)[others, layer])[0]
        for layer in range(trusted.shape[1])
    ]
    kin = np.argsort(away[-1])[:k]
    return [rankdata(away[layer])[kin].min() for layer in range(trusted.shape[1] - 1)]


@pytest.mark.parametrize("k", [1, 5])
def test_agrees_with_full_sorts_and_scikit_learns_shrunk_covariance(k):
    usual = np.log([ranks_by_hand(CLEAN, item, k, own) for own, item in enumerate(CLEAN)])
    seen = np.log([ranks_by_hand(CLEAN, item, k) for item in SEEN])
    mean, spread = usual.mean(axis=0), usual.std(axis=0)
    shape = LedoitWolf(assume_centered=True).fit((usual - mean) / spread).covariance_
    z = (seen - mean) / spread
    by_hand = np.log(np.einsum("ni,ij,nj->n", z, np.linalg.inv(shape), z) / 3)
    found = TopologicalEvolution(k).fit(layers(CLEAN)).score(layers(SEEN)).values
    np.testing.assert_allclose(found, by_hand, rtol=1e-7)


def test_the_blocks_that_bound_memory_change_nothing(monkeypatch):
    whole = TopologicalEvolution().fit(layers(CLEAN)).score(layers(SEEN)).values
    for module in (nearest_neighbours, topological_evolution):
        monkeypatch.setattr(module, "CELLS", 400)  # two rows at once
    parts = TopologicalEvolution().fit(layers(CLEAN)).score(layers(SEEN)).values
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


def test_sees_an_item_that_changes_its_neighbours_where_no_single_layer_shows_it():
    zero, one = np.zeros(60, int), np.ones(60, int)
    unseen, changed = staying(200), through(zero, zero, one, one)
    fitted = TopologicalEvolution().fit(layers(CLEAN))
    line = np.quantile(fitted.score(layers(unseen)).values, 0.95)
    assert (fitted.score(layers(changed)).values > line).mean() > 0.95
    for i in range(4):
        at = Mahalanobis().fit(Activations(CLEAN[:, i], numbered(150)))
        line = np.quantile(at.score(Activations(unseen[:, i], numbered(200))).values, 0.95)
        assert (at.score(Activations(changed[:, i], numbered(60))).values > line).mean() < 0.2


def test_is_blind_to_a_mechanism_that_acts_before_the_first_layer():
    """The limit named in the docstring: by then the item is among its new neighbours already, and remains there."""
    one = np.ones(300, int)
    fitted = TopologicalEvolution().fit(layers(CLEAN))
    line = np.quantile(fitted.score(layers(staying(300))).values, 0.95)
    assert (fitted.score(layers(through(one, one, one, one))).values > line).mean() < 0.12


def test_ranks_have_no_unit():
    """Each layer may be measured in a unit of its own."""
    unit = np.array([1e-3, 1.0, 50.0, 1e4])[:, None]
    np.testing.assert_allclose(
        TopologicalEvolution().fit(layers(CLEAN * unit)).score(layers(SEEN * unit)).values,
        TopologicalEvolution().fit(layers(CLEAN)).score(layers(SEEN)).values,
        rtol=1e-9,
    )


def test_keeps_at_most_the_stated_rows_and_always_the_same():
    fitted = TopologicalEvolution(most_rows=60).fit(layers(CLEAN))
    again = TopologicalEvolution(most_rows=60).fit(layers(CLEAN))
    assert fitted.trusted.shape == (60, 4, 6)
    np.testing.assert_array_equal(fitted.trusted, again.trusted)
    unseen, changed = staying(200), through(*(np.full(60, c) for c in (0, 0, 1, 1)))
    line = np.quantile(fitted.score(layers(unseen)).values, 0.95)
    assert (fitted.score(layers(changed)).values > line).mean() > 0.9


def test_refuses_a_single_layer():
    with pytest.raises(EvidenceError, match=r"ranks change between layers, got only \(7,\). Read 2 or more layers"):
        TopologicalEvolution().fit(layers(CLEAN[:, :1], (7,)))
    assert TopologicalEvolution().fit(layers(CLEAN[:, :2], (7, 9))).rank_mean.shape == (1,)


def test_refuses_layers_that_reorder_nothing():
    same = np.repeat(CLEAN[:, :1], 4, axis=1)
    with pytest.raises(
        EvidenceError, match="all 150 trusted items have the same ranks .* Read layers that lie further"
    ):
        TopologicalEvolution().fit(layers(same))


@pytest.mark.parametrize(
    ("neighbours", "most", "why"),
    [(0, 2000, "1 or more, got 0. Try 5"), (5, 19, "5 neighbours need most_rows of 20 or more, got 19. Try 2000")],
)
def test_refuses_settings_outside_their_range(neighbours, most, why):
    with pytest.raises(SettingError, match=why):
        TopologicalEvolution(neighbours, most)
