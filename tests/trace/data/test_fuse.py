import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.data.fuse import Fused, Weighed, fuse, spread
from bumperlane.trace.tranches import fuse_ranks, fuse_robust

RNG = np.random.default_rng(0)


def noise(q=6, n=200, seed=0):
    return np.random.default_rng(seed).normal(size=(q, n))


def test_the_mean_over_queries_is_the_robust_fusion_of_the_means():
    methods = [Weighed("a", noise(seed=1)), Weighed("b", 100 + 7 * noise(seed=2))]
    found = fuse(methods)
    assert np.allclose(found.scores, fuse_robust([m.scores.mean(axis=0) for m in methods]))
    assert found.per_query.shape == (6, 200) and found.used == (("a", 0.5), ("b", 0.5)) and found.left_out == ()


def test_weights_are_shares():
    a, b = noise(seed=1), noise(seed=2)
    found = fuse([Weighed("a", a, 3.0), Weighed("b", b, 1.0)])
    z = [(s.mean(axis=0) - spread(s.mean(axis=0))[0]) / spread(s.mean(axis=0))[1] for s in (a, b)]
    assert np.allclose(found.scores, 0.75 * z[0] + 0.25 * z[1]) and found.used == (("a", 0.75), ("b", 0.25))


def test_a_method_of_weight_0_changes_nothing_and_is_listed_with_why():
    methods = [Weighed("good", noise(seed=1)), Weighed("poor", noise(seed=2), 0.0, "it does not find the plant")]
    found = fuse(methods)
    assert (found.per_query == fuse(methods[:1]).per_query).all()
    assert found.left_out == (("poor", "it does not find the plant"),)


@pytest.mark.parametrize("how", ["robust", "ranks"])
def test_a_methods_scale_does_not_matter(how):
    a, b = noise(seed=1), noise(seed=2)
    plain = fuse([Weighed("a", a), Weighed("b", b)], how)
    assert np.allclose(fuse([Weighed("a", 1000 * a - 5), Weighed("b", b)], how).per_query, plain.per_query)


def test_ranks_agree_with_the_fusion_of_ranks_within_each_query():
    a, b = noise(q=3, seed=1), noise(q=3, seed=2)
    found = fuse([Weighed("a", a, 2.0), Weighed("b", b, 1.0)], "ranks")
    assert np.allclose(found.per_query, [fuse_ranks([a[i], b[i]], [2, 1]) for i in range(3)])


@pytest.mark.parametrize("how", ["robust", "ranks"])
def test_an_example_that_one_method_did_not_see_is_judged_by_the_others(how):
    a, b = noise(seed=1), noise(seed=2)
    b[:, :50] = np.nan
    found = fuse([Weighed("a", a), Weighed("b", b)], how)
    alone = fuse([Weighed("a", a)], how)
    assert np.allclose(found.per_query[:, :50], alone.per_query[:, :50]) and np.isfinite(found.per_query).all()
    assert not np.allclose(found.per_query[:, 50:], alone.per_query[:, 50:])


def test_a_method_with_a_handful_of_scores_apart_does_not_drown_the_others():
    words = np.zeros((1, 1000))
    words[0, :400] = 1e-9 * np.arange(400)  # a MAD of almost nothing
    words[0, :5] = 1.0
    steady = noise(1, 1000)
    steady[0, 500:520] += 6
    found = fuse([Weighed("words", words), Weighed("steady", steady)]).scores
    assert set(np.argsort(-found)[:25]) >= {*range(5), *range(500, 520)}
    assert found.max() < 4 / np.sqrt(5 / 1000)


def test_a_method_that_says_the_same_of_all_says_nothing():
    found = fuse([Weighed("flat", np.full((2, 50), 3.0)), Weighed("other", noise(2, 50))])
    assert (np.argsort(found.scores) == np.argsort(fuse([Weighed("other", noise(2, 50))]).scores)).all()


def test_the_null_comes_out_on_the_scale_of_the_methods():
    a = noise(seed=1)
    null = fuse([Weighed("a", a)], null=[Weighed("a", 2 * a)])
    middle, scale = spread(a.mean(axis=0))
    assert np.allclose(null.scores, (2 * a.mean(axis=0) - middle) / scale)


def test_the_order_of_methods_and_examples_changes_nothing():
    a, b = Weighed("a", noise(seed=1), 1.0), Weighed("b", noise(seed=2), 2.0)
    order = RNG.permutation(200)
    moved = [Weighed("b", b.scores[:, order], 2.0), Weighed("a", a.scores[:, order], 1.0)]
    assert np.allclose(fuse(moved).per_query, fuse([a, b]).per_query[:, order])
    assert fuse(moved).used == fuse([a, b]).used


def test_without_a_method_that_has_weight_it_says_why():
    methods = [Weighed("a", noise(), 0.0, "no better than chance"), Weighed("b", noise(), 0.0)]
    with pytest.raises(
        EvidenceError, match=r"no attribution method has weight .*\(a: no better than chance; b: weight 0"
    ):
        fuse(methods)


def test_refuses_scores_of_other_examples():
    with pytest.raises(EvidenceError, match=r"same queries and examples, got .*'b': \(6, 199\)"):
        fuse([Weighed("a", noise()), Weighed("b", noise(n=199))])


def test_refuses_examples_that_no_method_saw():
    a = noise()
    a[:, 3] = np.nan
    with pytest.raises(EvidenceError, match="1 examples were looked at by no method that has weight"):
        fuse([Weighed("a", a), Weighed("b", noise(), 0.0)])


def test_refuses_unusable_scores_and_weights():
    half = noise()
    half[0, 3] = np.nan
    with pytest.raises(EvidenceError, match="a: 1 examples have scores for some queries only"):
        Weighed("a", half)
    with pytest.raises(EvidenceError, match=r"a: scores must be \(queries, examples\) and finite"):
        Weighed("a", np.full((2, 3), np.inf))
    with pytest.raises(SettingError, match="a weight must be a finite number >= 0, got -1"):
        Weighed("a", noise(), -1)


def test_refuses_unknown_ways_and_a_null_that_does_not_fit():
    a = Weighed("a", noise())
    with pytest.raises(SettingError, match="unknown way to fuse 'mean'. Known: robust, ranks"):
        fuse([a], "mean")
    with pytest.raises(SettingError, match="the null must hold the methods"):
        fuse([a], null=[Weighed("b", noise())])
    with pytest.raises(SettingError, match="ranks have no scale"):
        fuse([a], "ranks", null=[a])
    assert isinstance(fuse([a]), Fused)
