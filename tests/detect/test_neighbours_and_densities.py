"""What holds alike for all detectors that ask where trusted activations lie close together."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

import promises
from bumperlane.detect.contract import is_offline, pooled, scorer
from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.beatrix import Beatrix
from bumperlane.detect.internals.isolation_forest import IsolationForest
from bumperlane.detect.internals.likelihood_ratio import LikelihoodRatio
from bumperlane.detect.internals.local_outlier_factor import LocalOutlierFactor
from bumperlane.detect.internals.nearest_neighbours import NearestNeighbours
from bumperlane.detect.internals.normalizing_flow import NormalizingFlow
from bumperlane.detect.internals.topological_evolution import TopologicalEvolution
from bumperlane.detect.internals.vae import VariationalAutoencoder
from bumperlane.errors import EvidenceError
from bumperlane.types import Activations, Layers, PairedActivations, numbered

OF_ACTIVATIONS = [
    NearestNeighbours,
    LocalOutlierFactor,
    IsolationForest,
    LikelihoodRatio,
    VariationalAutoencoder,
    NormalizingFlow,
]
OF_LAYERS = [Beatrix, TopologicalEvolution]
ALL = OF_ACTIVATIONS + OF_LAYERS
LAYERS = (1, 3, 5, 7)


class World:
    """Items with four hidden numbers, mixed into d dimensions at each layer. From the third layer on, and wherever one
    layer is read, bad items are mixed in another way and moved. Two dimensions can be made massive: a thousand times as
    wide as the others, far from zero, and telling nothing."""

    def __init__(self, d=32, massive=False, dtype=np.float64, seed=0):
        self.rng, self.d, self.massive, self.dtype = np.random.default_rng(seed), d, massive, dtype
        self.mix, self.other = self.rng.normal(size=(2, 4, d)) / 2
        self.move = 0.8 * self.rng.choice([-1, 1], d)

    def items(self, cls, n, start, bad=False):
        layers, seen = LAYERS if cls.watches is Layers else (5,), []
        hidden = self.rng.normal(size=(n, 4))
        for layer in layers:
            changed = bad and layer >= 5
            rows = hidden @ (self.other if changed else self.mix) + 0.3 * self.rng.normal(size=(n, self.d))
            rows += self.move * changed
            aside = self.rng.normal(size=(n, 2))
            if self.massive:
                rows[:, :2] = 1000 * aside + [8000, -3000]
            seen.append(rows)
        rows = np.stack(seen, axis=1).astype(self.dtype)
        if cls.watches is Layers:
            return Layers(rows, numbered(n, start), layers)
        return Activations(rows[:, 0], numbered(n, start), 5)

    def scores(self, cls, n=500, bad=40):
        fit, clean, bad = self.items(cls, n, 0), self.items(cls, 200, 10**5), self.items(cls, bad, 2 * 10**5, bad=True)
        score = scorer(cls(), fit, pooled(clean, bad) if is_offline(cls) else None)
        return score(clean).values, score(bad).values


def auroc(clean, bad):
    ranks = rankdata(np.r_[clean, bad])[len(clean) :]
    return (ranks.sum() - len(bad) * (len(bad) + 1) / 2) / (len(clean) * len(bad))


@pytest.mark.parametrize("cls", ALL)
def test_keeps_every_promise(cls, tmp_path):
    promises.keep(cls, tmp_path)


@pytest.mark.parametrize("cls", ALL)
def test_runs_only_where_it_is_named(cls):
    assert cls.by_default is False


@pytest.mark.parametrize("cls", ALL)
def test_two_massive_dimensions_cost_at_most_five_hundredths_of_auroc(cls):
    usual, massive = auroc(*World().scores(cls)), auroc(*World(massive=True).scores(cls))
    assert usual >= 0.85 and massive >= usual - 0.05, (usual, massive)


@pytest.mark.parametrize("cls", ALL)
def test_works_with_fewer_rows_than_dimensions_and_float32(cls):
    clean, bad = World(d=150, dtype=np.float32).scores(cls, n=60)
    assert np.isfinite(np.r_[clean, bad]).all() and auroc(clean, bad) >= 0.75


@pytest.mark.parametrize("cls", ALL)
def test_float32_rows_give_the_scores_of_float64_ones(cls):
    """IsolationForest walks in float32 always; the trained ones are trained anew, and rounding grows a little."""
    (a, b), (c, d) = World().scores(cls), World(dtype=np.float32).scores(cls)
    np.testing.assert_allclose(np.r_[c, d], np.r_[a, b], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("cls", ALL)
def test_dimensions_that_trusted_items_never_move_are_no_obstacle_and_still_count(cls):
    """One that moves after all stands out, but for two: the forest never cuts there, and ranks hardly change."""
    world = World()

    def still(seen, value):
        rows = seen.rows.copy()
        rows[..., :3] = value
        return replace(seen, rows=rows)

    fit = still(world.items(cls, 300, 0), 0)
    clean, moved = still(world.items(cls, 100, 10**5), 0), still(world.items(cls, 20, 2 * 10**5), 30)
    score = scorer(cls(), fit, pooled(clean, moved) if is_offline(cls) else None)
    assert np.isfinite(score(clean).values).all()
    if cls not in (IsolationForest, TopologicalEvolution):
        assert auroc(score(clean).values, score(moved).values) > 0.95


@pytest.mark.parametrize("cls", [c for c in ALL if not is_offline(c)])
def test_unseen_trusted_items_score_as_trusted_ones_do(cls):
    """About 0, or for the forest 0.45: the middle of unseen items lies within a third of the step to the bad ones."""
    clean, bad = World().scores(cls)
    middle = 0.45 if cls is IsolationForest else 0.0
    assert abs(np.median(clean) - middle) < 0.34 * (np.median(bad) - middle)


@pytest.mark.parametrize("cls", [c for c in OF_ACTIVATIONS if c is not IsolationForest])
def test_units_and_offsets_of_dimensions_do_not_matter(cls):
    world, change = World(), np.random.default_rng(1)
    unit, offset = 10 ** change.uniform(-3, 3, 32), change.normal(size=32)
    fit, clean, bad = world.items(cls, 200, 0), world.items(cls, 50, 500), world.items(cls, 20, 600, bad=True)

    def scores(turn):
        a, b, c = (Activations(turn(x.rows), x.ids, x.layer) for x in (fit, clean, bad))
        return scorer(cls(), a, pooled(b, c) if is_offline(cls) else None)(c).values

    np.testing.assert_allclose(scores(lambda x: x * unit + offset), scores(lambda x: x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cls", OF_ACTIVATIONS)
def test_what_is_as_novel_in_the_base_is_cancelled(cls):
    world = World()
    fit, seen = world.items(cls, 200, 0), world.items(cls, 40, 500, bad=True)
    batch = PairedActivations(seen, seen) if is_offline(cls) else None
    found = AgainstBase(cls()).fit(PairedActivations(fit, fit), batch).score(PairedActivations(seen, seen))
    np.testing.assert_allclose(found.values, 0, atol=1e-12)


@pytest.mark.parametrize("cls", OF_ACTIVATIONS)
@pytest.mark.parametrize(("layer", "d", "there"), [(6, 32, r"\(6, 32\)"), (5, 31, r"\(5, 31\)")])
def test_refuses_to_score_another_layer_or_width(cls, layer, d, there):
    world = World()
    fit, seen = world.items(cls, 60, 0), world.items(cls, 60, 100)
    other = Activations(seen.rows[:, :d], seen.ids, layer)
    score = scorer(cls(), fit, seen if is_offline(cls) else None)
    with pytest.raises(EvidenceError, match=rf"fitted at \(layer, d\) \(5, 32\), cannot score {there}. Read the same"):
        score(other)


@pytest.mark.parametrize("cls", OF_LAYERS)
@pytest.mark.parametrize(
    ("layers", "d", "there"), [((1, 3, 5, 8), 32, r"\(\(1, 3, 5, 8\), 32\)"), (LAYERS, 31, r"\(\(1, 3, 5, 7\), 31\)")]
)
def test_refuses_to_score_other_layers_or_another_width(cls, layers, d, there):
    world = World()
    fit, seen = world.items(cls, 60, 0), world.items(cls, 60, 100)
    with pytest.raises(EvidenceError, match=rf"fitted at \(layers, d\) .*, cannot score {there}. Read the same layers"):
        cls().fit(fit).score(Layers(seen.rows[..., :d], seen.ids, layers))


TOO_FEW = {
    NearestNeighbours: (10, "10 neighbours need 11 or more trusted rows, got 10. Pass more .* or lower neighbours"),
    LocalOutlierFactor: (20, "20 neighbours need 21 or more trusted rows, got 20. Pass more .* or lower neighbours"),
    IsolationForest: (7, "a forest needs 8 or more trusted rows, got 7. Pass more trusted prompts"),
    LikelihoodRatio: (7, "a cloud needs 8 or more trusted rows, got 7. Pass more trusted prompts"),
    VariationalAutoencoder: (39, "is trained needs 40 or more trusted rows, got 39. Pass more .* or use Mahalanobis"),
    NormalizingFlow: (39, "is trained needs 40 or more trusted rows, got 39. Pass more .* or use Mahalanobis"),
    Beatrix: (7, "8 or more trusted rows, got 7. Pass more trusted prompts"),
    TopologicalEvolution: (19, "5 neighbours .* 20 or more trusted items, got 19. Pass more .* or lower neighbours"),
}


@pytest.mark.parametrize("cls", ALL)
def test_refuses_too_few_trusted_items_and_takes_one_more(cls):
    world, (few, why) = World(), TOO_FEW[cls]
    batch = world.items(cls, 60, 10**5)
    with pytest.raises(EvidenceError, match=why):
        scorer(cls(), world.items(cls, few, 0), batch)
    scorer(cls(), world.items(cls, few + 1, 0), batch)


@pytest.mark.parametrize("cls", ALL)
def test_says_what_to_check_when_the_hook_reads_a_constant(cls):
    seen = World().items(cls, 60, 0)
    still = replace(seen, rows=np.ones_like(seen.rows))
    with pytest.raises(EvidenceError, match=r"all \d+ trusted rows at layer \d are equal.*right module"):
        scorer(cls(), still, seen)
