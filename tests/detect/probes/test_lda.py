import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import promises
from bumperlane.detect.internals.probes.lda import LDAProbe
from bumperlane.detect.internals.probes.mean_difference import MeanDifferenceProbe
from bumperlane.detect.internals.probes.ordering import auroc
from bumperlane.errors import EvidenceError, SettingError
from rows import rows

RNG = np.random.default_rng(6)
MIX = RNG.normal(size=(6, 6))
GOOD, BAD = RNG.normal(size=(120, 6)) @ MIX + 3, RNG.normal(size=(60, 6)) @ MIX + 4
SEEN = RNG.normal(size=(30, 6)) * 4


def test_keeps_every_promise(tmp_path):
    promises.keep(LDAProbe, tmp_path)


def within_spread(good, bad):
    return np.concatenate([good - good.mean(axis=0), bad - bad.mean(axis=0)]).std(axis=0)


@pytest.mark.parametrize("shrinkage", [1e-6, 0.1, 0.7, 1.0])
def test_agrees_with_scikit_learn_on_rows_in_units_of_their_within_kind_spread(labelled, shrinkage):
    spread = within_spread(GOOD, BAD)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    theirs.fit(np.concatenate([GOOD, BAD]) / spread, np.arange(180) >= 120)
    ours = LDAProbe(shrinkage).fit(labelled(GOOD, BAD)).score(rows(SEEN)).values
    np.testing.assert_allclose(ours, theirs.decision_function(SEEN / spread), rtol=1e-9)


def test_agrees_with_the_log_ratio_of_two_gaussians(labelled):
    within = np.concatenate([GOOD - GOOD.mean(axis=0), BAD - BAD.mean(axis=0)])
    cov = within.T @ within / 180
    densities = [multivariate_normal(kind.mean(axis=0), cov).logpdf(SEEN) for kind in (BAD, GOOD)]
    by_hand = densities[0] - densities[1] + np.log(60 / 120)
    np.testing.assert_allclose(LDAProbe(1e-12).fit(labelled(GOOD, BAD)).score(rows(SEEN)).values, by_hand, rtol=1e-6)


def test_units_of_dimensions_do_not_matter(labelled):
    scale = np.array([1e-3, 1, 1e4, 7, 1, 1])
    plain = LDAProbe().fit(labelled(GOOD, BAD)).score(rows(SEEN)).values
    scaled = LDAProbe().fit(labelled(GOOD * scale, BAD * scale)).score(rows(SEEN * scale)).values
    np.testing.assert_allclose(scaled, plain, rtol=1e-7)


def test_sees_through_noise_that_two_dimensions_share_where_the_mean_difference_does_not(labelled):
    shared = RNG.normal(size=(600, 1)) * 10
    both = np.c_[shared, shared] + RNG.normal(size=(600, 2)) * 0.3
    both[300:, 1] += 1.5
    fit, held = labelled(both[:200], both[300:500]), (both[200:300], both[500:])
    seen = {p: [p.fit(fit).score(rows(h)).values for h in held] for p in (LDAProbe(1e-6), MeanDifferenceProbe())}
    aurocs = [auroc(*pair) for pair in seen.values()]
    assert aurocs[0] > 0.98 and aurocs[1] < 0.7


def test_works_with_fewer_rows_than_dimensions(labelled):
    wide = RNG.normal(size=(60, 200))
    wide[30:, :20] += 1.5
    fitted = LDAProbe().fit(labelled(wide[:20], wide[30:50]))
    good, bad = fitted.score(rows(wide[20:30])).values, fitted.score(rows(wide[50:])).values
    assert auroc(good, bad) > 0.95


def test_refuses_one_kind_with_the_counts(labelled):
    with pytest.raises(EvidenceError, match="LDAProbe needs 8 or more items of each kind, got 120 good and 3 bad"):
        LDAProbe().fit(labelled(GOOD, BAD[:3]))


def test_refuses_rows_that_differ_between_the_kinds_only(labelled):
    with pytest.raises(EvidenceError, match="trusted rows at layer 12 are equal"):
        LDAProbe().fit(labelled(np.zeros((10, 3)), np.ones((10, 3))))


def test_refuses_another_place(labelled):
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 6\), cannot score \(3, 6\)"):
        LDAProbe().fit(labelled(GOOD, BAD)).score(rows(SEEN, 3))


@pytest.mark.parametrize("shrinkage", [0, 1.5, "best"])
def test_refuses_a_shrinkage_that_is_none(shrinkage):
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\]"):
        LDAProbe(shrinkage)
