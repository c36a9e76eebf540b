import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

import promises
from bumperlane.detect.internals.diagonal_delta import DiagonalDelta
from bumperlane.errors import EvidenceError
from bumperlane.types import Layers, numbered

RNG = np.random.default_rng(6)
CLEAN = np.cumsum(RNG.normal(size=(600, 3, 5)) * [1, 10, 0.1, 3, 1] + [0, 5, 0, 0, 1], axis=1)
SEEN = np.cumsum(RNG.normal(size=(20, 3, 5)) * 4, axis=1)


def layers(x, which=(4, 8, 12)):
    return Layers(np.asarray(x), numbered(len(x)), which)


def scores(clean, seen):
    return DiagonalDelta().fit(layers(clean)).score(layers(seen)).values


def test_keeps_every_promise(tmp_path):
    promises.keep(DiagonalDelta, tmp_path)


def test_agrees_with_scikit_learn_on_the_steps():
    def steps(x):
        return (x[:, 1:] - x[:, :-1]).reshape(len(x), -1)

    standard = StandardScaler().fit(steps(CLEAN)).transform(steps(SEEN))
    np.testing.assert_allclose(scores(CLEAN, SEEN), np.log((standard**2).mean(axis=1)), rtol=1e-9)


def test_unseen_clean_items_score_near_zero():
    assert abs(np.median(scores(CLEAN[:300], CLEAN[300:]))) < 0.25


def test_what_an_item_carries_through_all_layers_does_not_count():
    carried = 50 * RNG.normal(size=(20, 1, 5))
    np.testing.assert_allclose(scores(CLEAN, SEEN + carried), scores(CLEAN, SEEN), rtol=1e-9)


def test_units_of_dimensions_do_not_matter():
    scale, shift = np.array([1e-3, 1, 1e4, 7, 1]), np.array([5.0, -3, 1e4, 0, 0])
    np.testing.assert_allclose(scores(CLEAN * scale + shift, SEEN * scale + shift), scores(CLEAN, SEEN), rtol=1e-6)


def test_float32_rows_with_a_massive_dimension_keep_their_digits():
    def massive(x):
        return np.concatenate([x, 1e4 + 1e3 * x[:, :, :1]], axis=2)

    small = scores(massive(CLEAN).astype(np.float32), massive(SEEN).astype(np.float32))
    np.testing.assert_allclose(small, scores(massive(CLEAN), massive(SEEN)), rtol=1e-3, atol=1e-3)


def test_a_dimension_that_trusted_items_never_move_still_counts():
    still = CLEAN.copy()
    still[:, :, 2] = 7
    moved = still[:20].copy()
    moved[:, 2, 2] = 99
    assert scores(still, moved).min() > 1


def test_is_blind_to_a_combination_of_usual_parts():
    """The limit named in the docstring: two dimensions that always step together step apart."""
    step = RNG.normal(size=(600, 2, 1))
    together = np.concatenate([step, step, RNG.normal(size=(600, 2, 4))], axis=2)
    apart = np.concatenate([step[:200], -step[:200], RNG.normal(size=(200, 2, 4))], axis=2)
    fitted = DiagonalDelta().fit(layers(together, (1, 2)))
    line = np.quantile(fitted.score(layers(together, (1, 2))).values, 0.95)
    assert (fitted.score(layers(apart, (1, 2))).values > line).mean() < 0.1


def test_refuses_one_layer_too_few_rows_and_equal_steps():
    with pytest.raises(EvidenceError, match=r"a step takes 2 or more layers, got layers \(4,\). Read a second layer."):
        DiagonalDelta().fit(layers(CLEAN[:, :1], (4,)))
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        DiagonalDelta().fit(layers(CLEAN[:7]))
    same = np.repeat(CLEAN[:, :2], [1, 2], axis=1)
    with pytest.raises(EvidenceError, match="all 600 trusted rows take the same step between layers 8 and 12. Check"):
        DiagonalDelta().fit(layers(same))


@pytest.mark.parametrize("which", [(4, 8, 13), (8, 4, 12)])
def test_refuses_to_score_other_layers(which):
    with pytest.raises(EvidenceError, match=r"fitted at \(layers, d\) \(\(4, 8, 12\), 5\), cannot score .* the same"):
        DiagonalDelta().fit(layers(CLEAN)).score(layers(SEEN, which))
