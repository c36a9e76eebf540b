import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.moments import Moments
from bumperlane.detect.internals.whitening import Cloud, ledoit_wolf
from bumperlane.errors import EvidenceError, SettingError
from rows import pair, rows


def against(shrinkage="ledoit-wolf"):
    return AgainstBase(Mahalanobis(shrinkage))


RNG = np.random.default_rng(1)
MIX = RNG.normal(size=(4, 4))
CLEAN = RNG.normal(size=(500, 4)) @ MIX + 3
BASE = RNG.normal(size=(500, 4)) * [1, 2, 3, 4]
SEEN, SEEN_BASE = RNG.normal(size=(20, 4)) * 5, RNG.normal(size=(20, 4)) * 5
FITTED = against(1e-12).fit(pair(CLEAN, BASE))


def distance(x, clean):
    """Squared Mahalanobis distance over d, by inverting the covariance."""
    away = x - clean.mean(axis=0)
    return np.einsum("nd,de,ne->n", away, np.linalg.inv(np.cov(clean, rowvar=False, bias=True)), away) / x.shape[1]


def test_agrees_with_the_textbook_formula_in_both_models():
    by_hand = np.log(distance(SEEN, CLEAN)) - np.log(distance(SEEN_BASE, BASE))
    np.testing.assert_allclose(FITTED.score(pair(SEEN, SEEN_BASE)).values, by_hand, rtol=1e-7)


@pytest.mark.parametrize(("n", "d"), [(9, 64), (40, 8), (500, 4), (300, 40)])
def test_ledoit_wolf_agrees_with_scikit_learn_on_standardised_data(n, d):
    x = RNG.normal(size=(n, d)) @ RNG.normal(size=(d, d)) + 5
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = max(1e-6, ledoit_wolf_shrinkage(x, assume_centered=True))
    assert ledoit_wolf(Moments.of(rows(x)), x) == pytest.approx(theirs, rel=1e-9)


def test_ledoit_wolf_keeps_a_known_correlation_and_gives_up_a_chance_one():
    def share(x):
        return ledoit_wolf(Moments.of(rows(x)), x)

    assert share(RNG.normal(size=(2000, 1)) + 0.1 * RNG.normal(size=(2000, 20))) < 0.01
    assert share(RNG.normal(size=(30, 20))) > 0.5


def test_shrinkage_keeps_the_total_variance_and_at_one_leaves_independent_axes():
    inverse = np.linalg.inv(Cloud.around(rows(CLEAN), 0.5).whitening) / CLEAN.std(axis=0)[:, None]
    assert np.trace(inverse @ inverse.T) == pytest.approx(4)
    np.testing.assert_allclose(Cloud.around(rows(CLEAN), 1.0).whitening, np.diag(1 / CLEAN.std(axis=0)), atol=1e-12)


def test_unseen_clean_prompts_score_near_zero():
    fitted = against().fit(pair(CLEAN[:250], BASE[:250]))
    assert abs(np.median(fitted.score(pair(CLEAN[250:], BASE[250:])).values)) < 0.2


def test_what_is_as_novel_in_the_base_is_cancelled():
    away = 30 * RNG.normal(size=(20, 4))
    fitted = against().fit(pair(CLEAN, CLEAN))
    np.testing.assert_allclose(fitted.score(pair(CLEAN[:20] + away, CLEAN[:20] + away)).values, 0, atol=1e-12)
    assert fitted.score(pair(CLEAN[:20] + away, CLEAN[:20])).values.min() > 0


def test_units_and_offsets_of_dimensions_do_not_matter():
    scale, shift = np.array([1e-3, 1.0, 1e4, 7.0]), np.array([5.0, -3.0, 1e3, 0.0])
    moved = against().fit(pair(CLEAN * scale + shift, BASE))
    np.testing.assert_allclose(
        moved.score(pair(SEEN * scale + shift, SEEN_BASE)).values,
        against().fit(pair(CLEAN, BASE)).score(pair(SEEN, SEEN_BASE)).values,
        rtol=1e-6,
    )


def test_one_massive_dimension_does_not_hide_a_shift_in_the_others():
    """Some residual streams have a dimension a thousand times wider. A covariance shrunk toward its mean variance would
    drown the others in it."""
    wide = RNG.normal(size=(60, 16)) * np.r_[1000.0, np.ones(15)]
    shifted = RNG.normal(size=(20, 16)) * np.r_[1000.0, np.ones(15)] + np.r_[0.0, 6.0, np.zeros(14)]
    quiet = RNG.normal(size=(20, 16)) * np.r_[1000.0, np.ones(15)]
    fitted = against().fit(pair(wide, wide))
    assert fitted.score(pair(shifted, quiet)).values.min() > np.quantile(fitted.score(pair(quiet, quiet)).values, 0.99)


def test_works_with_fewer_rows_than_dimensions():
    few = RNG.normal(size=(10, 64))
    fitted = against().fit(pair(few, few))
    far = RNG.normal(size=(10, 64))
    assert np.isfinite(fitted.score(pair(few, few)).values).all()
    assert fitted.score(pair(far + 20, far)).values.min() > 1


def test_a_dimension_that_trusted_prompts_never_move_still_counts():
    still = np.c_[RNG.normal(size=(50, 3)), np.zeros(50)]
    moved = still.copy()
    moved[:, 3] = 9
    assert against().fit(pair(still, still)).score(pair(moved, still)).values.min() > 1


def test_takes_float32_rows_as_models_give_them():
    small = pair(CLEAN.astype(np.float32), BASE.astype(np.float32))
    np.testing.assert_allclose(
        against(0.1).fit(small).score(pair(SEEN, SEEN_BASE)).values,
        against(0.1).fit(pair(CLEAN, BASE)).score(pair(SEEN, SEEN_BASE)).values,
        rtol=1e-4,
    )


def test_is_blind_to_a_mechanism_that_moves_inside_the_trusted_spread():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    flat = [10.0, 0.1]
    fitted = against().fit(pair(RNG.normal(size=(400, 2)) * flat, RNG.normal(size=(400, 2)) * flat))
    clean, moved = (pair(RNG.normal(size=(200, 2)) * flat + [s, 0], RNG.normal(size=(200, 2)) * flat) for s in (0, 5))
    line = np.quantile(fitted.score(clean).values, 0.95)
    assert (fitted.score(moved).values > line).mean() < 0.1


def test_a_point_on_the_mean_itself_has_a_finite_score():
    assert np.isfinite(FITTED.score(pair(CLEAN.mean(0)[None], BASE.mean(0)[None])).values).all()


@pytest.mark.parametrize(("layer", "d", "there"), [(13, 4, r"\(13, 4\)"), (12, 3, r"\(12, 3\)")])
def test_refuses_to_score_another_layer_or_width(layer, d, there):
    with pytest.raises(EvidenceError, match=rf"fitted at \(layer, d\) \(12, 4\), cannot score {there}. Read the same"):
        FITTED.score(pair(SEEN[:, :d], SEEN[:, :d], layer))


def test_refuses_too_few_trusted_rows():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7. Pass more trusted prompts."):
        against().fit(pair(CLEAN[:7], BASE[:7]))
    against().fit(pair(CLEAN[:8], BASE[:8]))


def test_says_what_to_check_when_the_hook_reads_a_constant():
    with pytest.raises(EvidenceError, match=r"all 9 trusted rows at layer 12 are equal.*right module"):
        against().fit(pair(np.ones((9, 3)), CLEAN[:9, :3]))


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), "lw"])
def test_refuses_a_shrinkage_outside_its_range(share):
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\], 'ledoit-wolf' or 'oas', got .*Try 0.1"):
        Mahalanobis(shrinkage=share)
