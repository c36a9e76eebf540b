import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score

import promises
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.relative_mahalanobis import Grouped, RelativeMahalanobis
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, numbered
from rows import rows

RNG = np.random.default_rng(4)
MIX = RNG.normal(size=(5, 5)) + 2 * np.eye(5)
CENTRES = 4 * RNG.normal(size=(3, 5))
GROUPS = RNG.integers(0, 3, size=300)
CLEAN = (RNG.normal(size=(300, 5)) + CENTRES[GROUPS]) @ MIX
SEEN = (RNG.normal(size=(40, 5)) + 3 * RNG.normal(size=(40, 5))) @ MIX


def grouped(x, groups):
    return Grouped(rows(x), tuple(f"group {g}" for g in groups))


def scores(shrinkage=1e-12, seen=SEEN, clean=CLEAN, groups=GROUPS):
    return RelativeMahalanobis(shrinkage).fit(grouped(clean, groups)).score(rows(seen)).values


def by_scikit_learn(clean, groups, seen):
    means = [clean[groups == g].mean(axis=0) for g in range(3)]
    tied = EmpiricalCovariance(assume_centered=True).fit(
        np.concatenate([clean[groups == g] - means[g] for g in range(3)])
    )
    nearest = np.min([tied.mahalanobis(seen - mean) for mean in means], axis=0)
    return (nearest - EmpiricalCovariance().fit(clean).mahalanobis(seen)) / 2


def test_keeps_every_promise(tmp_path):
    promises.keep(RelativeMahalanobis, tmp_path)


def test_agrees_with_scikit_learn():
    np.testing.assert_allclose(scores(), by_scikit_learn(CLEAN, GROUPS, SEEN), rtol=1e-7, atol=1e-8)


def test_order_and_names_of_groups_do_not_matter():
    order = RNG.permutation(300)
    np.testing.assert_allclose(scores(clean=CLEAN[order], groups=(GROUPS[order] + 1) % 3), scores(), rtol=1e-9)


def test_units_and_offsets_of_dimensions_do_not_matter():
    scale, shift = np.array([1e-3, 1, 1e4, 7, 1]), np.array([5.0, -3, 1e4, 0, 0])
    np.testing.assert_allclose(scores(0.1, SEEN * scale + shift, CLEAN * scale + shift), scores(0.1), rtol=1e-6)


def test_what_varies_alike_in_every_group_counts_less_than_in_the_plain_distance():
    """Near outliers: one wide style direction, shared by all groups, drowns the rest in the plain distance."""
    rng, d = np.random.default_rng(0), 80
    centres = np.zeros((4, d))
    centres[np.arange(4), np.arange(4)] = 5
    member = np.arange(2000) % 4
    clean = rng.normal(size=(2000, d)) + centres[member]
    seen = rng.normal(size=(1000, d)) + centres[np.arange(1000) % 4] * (np.arange(1000) >= 300)[:, None]
    bad = np.arange(1000) < 300
    relative = scores("ledoit-wolf", seen, clean, member)
    plain = Mahalanobis().fit(rows(clean)).score(rows(seen)).values
    assert roc_auc_score(bad, relative) > 0.95
    assert roc_auc_score(bad, plain) < 0.75


def test_is_blind_to_novelty_in_a_direction_in_which_the_groups_are_alike():
    """The limit named in the docstring. The plain distance sees it."""
    centres = np.zeros((2, 3))
    centres[:, 0] = -4, 4
    member = np.arange(2000) % 2
    clean = RNG.normal(size=(2000, 3)) + centres[member]
    away = RNG.normal(size=(1000, 3)) + centres[member[:1000]] + np.array([0, 0, 6])
    fitted = RelativeMahalanobis().fit(grouped(clean[:1000], member[:1000]))
    line = np.quantile(fitted.score(rows(clean[1000:])).values, 0.95)
    assert (fitted.score(rows(away)).values > line).mean() < 0.1
    assert np.median(Mahalanobis().fit(rows(clean)).score(rows(away)).values) > 2


def test_works_with_fewer_rows_than_dimensions_and_one_massive_one():
    few = RNG.normal(size=(20, 64)) * np.r_[1e4, np.ones(63)] + np.r_[1e4, np.zeros(63)]
    few[10:, 1] += 20
    fitted = RelativeMahalanobis().fit(grouped(few, np.arange(20) // 10))
    between = few.copy()
    between[10:, 1] -= 10
    between[:10, 1] += 10
    assert fitted.score(rows(between)).values.min() > fitted.score(rows(few)).values.max()


def test_takes_float32_rows_as_models_give_them():
    small = Grouped(Activations((CLEAN + 1e3).astype(np.float32), numbered(300), 12), tuple(map(str, GROUPS)))
    seen = Activations((SEEN + 1e3).astype(np.float32), numbered(40), 12)
    fitted = RelativeMahalanobis(0.1).fit(small)
    assert fitted.tied_whitening.dtype == np.float32
    np.testing.assert_allclose(fitted.score(seen).values, scores(0.1), rtol=2e-3, atol=1e-2)


def test_refuses_rows_without_groups():
    with pytest.raises(EvidenceError, match="a group each, got Activations. Pass Grouped"):
        RelativeMahalanobis().fit(rows(CLEAN))
    with pytest.raises(EvidenceError, match="300 activations have 2 groups. Give every item one group."):
        Grouped(rows(CLEAN), ("a", "b"))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([0] * 20, "got 1 groups, 0 of them with one row."),
        ([0] * 19 + [1], "got 2 groups, 1 of them with one row, first 'group 1'"),
    ],
)
def test_refuses_groups_that_give_nothing_to_compare(groups, said):
    with pytest.raises(EvidenceError, match=said):
        RelativeMahalanobis().fit(grouped(CLEAN[:20], groups))


def test_refuses_too_few_rows_and_another_place():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 6"):
        RelativeMahalanobis().fit(grouped(CLEAN[:6], [0, 1] * 3))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 5\), cannot score \(12, 4\)"):
        RelativeMahalanobis().fit(grouped(CLEAN, GROUPS)).score(rows(SEEN[:, :4]))


def test_refuses_a_shrinkage_that_is_none():
    with pytest.raises(SettingError, match="shrinkage must be in"):
        RelativeMahalanobis(1.5)
