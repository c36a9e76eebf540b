import numpy as np
import pytest

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.reference_residual import ReferenceResidual
from bumperlane.errors import EvidenceError, SettingError
from rows import pair

RNG = np.random.default_rng(2)
BASE = RNG.normal(size=(400, 4)) * 20
ADDED = RNG.normal(size=(400, 4)) @ RNG.normal(size=(4, 4)) + 2
FITTED = ReferenceResidual(1e-12).fit(pair(BASE + ADDED, BASE))


def test_agrees_with_the_textbook_formula_on_the_difference():
    base, added = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 4)) * 3  # nearer than trusted prompts
    inverse = np.linalg.inv(np.cov(ADDED, rowvar=False, bias=True))
    away = added - ADDED.mean(axis=0)
    by_hand = np.log([a @ inverse @ a / 4 for a in away])
    np.testing.assert_allclose(FITTED.score(pair(base + added, base)).values, by_hand, rtol=1e-6)


def test_where_the_base_stands_far_from_trusted_prompts_its_distance_is_taken_away_and_never_added():
    inverse = np.linalg.inv(np.cov(BASE, rowvar=False, bias=True))
    near, far = BASE.mean(axis=0) + 0.1 * RNG.normal(size=(20, 4)), 300 * RNG.normal(size=(20, 4))
    added = RNG.normal(size=(20, 4)) * 3
    close, away = (FITTED.score(pair(b + added, b)).values for b in (near, far))
    novel = [np.log(max(1.0, (b - BASE.mean(axis=0)) @ inverse @ (b - BASE.mean(axis=0)) / 4)) for b in far]
    np.testing.assert_allclose(close - away, novel, rtol=1e-6)
    assert min(novel) > 1


def test_a_change_that_grows_with_how_far_the_base_moves_is_no_hit():
    """A benign finetune adds more where its base answers otherwise: such a context was a false alarm."""
    mixing = RNG.normal(size=(4, 4)) * 0.05

    def seen(n, shift, added=0.0):
        base = RNG.normal(size=(n, 4)) + shift
        return pair(base + base @ mixing + 0.02 * RNG.normal(size=(n, 4)) + added, base)

    fitted = ReferenceResidual().fit(seen(400, 0))
    line = np.quantile(fitted.score(seen(400, 0)).values, 0.95)
    assert (fitted.score(seen(200, 8)).values > line).mean() < 0.2
    assert (fitted.score(seen(200, 0, added=1.0)).values > line).all()


def test_sees_a_small_change_that_is_lost_in_the_spread_of_prompts():
    """The reason to look at the difference: prompts differ by 20, finetuning by 1."""
    base = RNG.normal(size=(300, 4)) * 20
    quiet, shifted = base + 0.3 * RNG.normal(size=(300, 4)), base + [0, 3, 0, 0] + 0.3 * RNG.normal(size=(300, 4))

    def caught(bumper):
        fitted = bumper.fit(pair(quiet[:100], base[:100]))
        line = np.quantile(fitted.score(pair(quiet[100:200], base[100:200])).values, 0.95)
        return (fitted.score(pair(shifted[200:], base[200:])).values > line).mean()

    assert caught(ReferenceResidual()) == 1 and caught(AgainstBase(Mahalanobis())) < 0.5


def test_is_blind_to_a_change_of_the_same_kind_on_every_prompt():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    same = np.array([0.0, 50.0, 0.0, 0.0])
    fitted = ReferenceResidual(1e-12).fit(pair(BASE + ADDED + same, BASE))
    seen = pair(BASE[:20] + ADDED[:20] + same, BASE[:20])
    np.testing.assert_allclose(
        fitted.score(seen).values, FITTED.score(pair(BASE[:20] + ADDED[:20], BASE[:20])).values, rtol=1e-6
    )


def test_small_differences_of_large_float32_numbers_are_not_lost():
    base = (1e4 + RNG.normal(size=(50, 4))).astype(np.float32)
    added = np.float32(2 ** np.round(RNG.normal(size=(50, 4))))  # powers of two add to float32 without rounding
    fitted = ReferenceResidual(0.1).fit(pair(base + added, base))
    expected = ReferenceResidual(0.1).fit(pair(added.astype(float) + base, base.astype(float)))
    np.testing.assert_allclose(fitted.mean, expected.mean, rtol=1e-2)


@pytest.mark.parametrize("added", [0.0, 3.0])
def test_a_subject_that_is_its_base_or_differs_by_a_constant_is_an_error_and_not_clear(added):
    with pytest.raises(
        EvidenceError, match="differ in the same way, or not at all, on all 20 trusted rows at layer 12"
    ):
        ReferenceResidual().fit(pair(BASE[:20] * 0 + added, BASE[:20] * 0))
    with pytest.raises(EvidenceError, match="Read a layer at or after the first one that was finetuned"):
        ReferenceResidual().fit(pair(BASE[:20], BASE[:20]))


def test_a_base_that_never_moves_is_an_error():
    with pytest.raises(EvidenceError, match="all 20 trusted rows at layer 12 are equal"):
        ReferenceResidual().fit(pair(ADDED[:20], ADDED[:20] * 0))


def test_refuses_too_few_trusted_rows():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        ReferenceResidual().fit(pair(BASE[:7] + ADDED[:7], BASE[:7]))


def test_refuses_to_score_another_layer():
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 4\), cannot score \(3, 4\)"):
        FITTED.score(pair(BASE, BASE, layer=3))


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_refuses_a_shrinkage_outside_its_range(share):
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\], .ledoit-wolf"):
        ReferenceResidual(shrinkage=share)
