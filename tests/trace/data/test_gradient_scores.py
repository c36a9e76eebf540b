"""Scores over a store, against the formulas written out over rows in memory."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.gradient_store import GradientStore
from bumperlane.trace.data.gradient_scores import GradientScorer
from bumperlane.trace.data.second_moments import Whitening
from bumperlane.trace.data.top_k import top_k

MADE_FROM = {"sites": {"a": [2, 3], "b": [4, 1]}, "layers": []}
IDS = tuple(f"e{i}" for i in range(50))
ROWS = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32) * np.arange(1, 51, dtype=np.float32)[:, None]
QUERIES = np.random.default_rng(1).normal(size=(4, 10)).astype(np.float32)
VARIANTS = ("dot", "cosine", "preconditioned", "whitened cosine")


@pytest.fixture
def store(tmp_path):
    made = GradientStore.begin(tmp_path, MADE_FROM, "float32")
    for part in (slice(20, 50), slice(0, 20)):
        made.append(IDS[part], ROWS[part], {})
    return made


def scorer(variant, store, queries=QUERIES):
    needs = variant in VARIANTS[2:]
    blocks = (b.gradients for b in store.blocks())
    return GradientScorer.of(variant, queries, Whitening.of(blocks, store.columns, 0.1, False) if needs else None)


def by_formula(variant):
    g, q = ROWS.astype(float), QUERIES.astype(float)
    inverse = np.zeros((10, 10))
    for where in (slice(0, 6), slice(6, 10)):
        moments = g[:, where].T @ g[:, where] / 50
        size = len(moments)
        inverse[where, where] = np.linalg.inv(moments + 0.1 * np.trace(moments) / size * np.eye(size))
    middle = inverse if variant in VARIANTS[2:] else np.eye(10)
    scores = q @ middle @ g.T
    if "cosine" in variant:
        scores /= np.sqrt(np.einsum("qk,kl,ql->q", q, middle, q))[:, None]
        scores /= np.sqrt(np.einsum("mk,kl,ml->m", g, middle, g))
    return scores


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_the_formula_in_the_order_asked(variant, store):
    order = np.random.default_rng(2).permutation(50)[:40]
    found = scorer(variant, store).all(store, [IDS[i] for i in order])
    wanted = by_formula(variant)[:, order]
    assert found.dtype == np.float32 and np.allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("variant", ["cosine", "whitened cosine"])
def test_a_cosine_does_not_hear_how_loud_an_example_or_a_query_is(variant, store, tmp_path):
    loud = GradientStore.begin(tmp_path / "loud", MADE_FROM, "float32")
    loud.append(IDS, ROWS, {})
    one = scorer(variant, store)
    assert np.allclose(one(ROWS * 7), one(ROWS), atol=1e-5) and np.abs(one(ROWS)).max() <= 1 + 1e-5
    assert np.allclose(scorer(variant, loud, QUERIES * 9)(ROWS), one(ROWS), atol=1e-5)
    assert not one(np.zeros((1, 10), np.float32)).any()


def test_the_best_of_a_stream_are_the_best_of_all_scores(store):
    made = scorer("dot", store)
    found = top_k(made.stream(store, most=7), 5)
    scores = made.all(store, IDS)
    for ids, row in zip(found.ids, scores, strict=True):
        assert ids == tuple(IDS[i] for i in np.argsort(-row, kind="stable")[:5])


def test_refuses_queries_that_point_nowhere(store):
    queries = QUERIES.copy()
    queries[2] = 0
    with pytest.raises(EvidenceError, match=r"queries \[2\] of 4 have a gradient that is nought or not finite"):
        scorer("dot", store, queries)
    queries[2], queries[3] = 1, np.nan
    with pytest.raises(EvidenceError, match=r"queries \[3\] of 4"):
        scorer("dot", store, queries)


def test_refuses_examples_that_are_not_stored(store):
    with pytest.raises(EvidenceError, match=r"no finite score for examples \['new'\] in .*Fill the store first"):
        scorer("dot", store).all(store, ["e1", "new"])


def test_refuses_a_variant_it_does_not_know_or_whose_whitening_is_missing(store):
    with pytest.raises(SettingError, match="unknown variant 'trak'. Known: dot, cosine, preconditioned, whitened"):
        GradientScorer.of("trak", QUERIES)
    with pytest.raises(SettingError, match="variant 'preconditioned' needs whitening"):
        GradientScorer.of("preconditioned", QUERIES)
    blocks = (b.gradients for b in store.blocks())
    with pytest.raises(SettingError, match="variant 'dot' takes no whitening"):
        GradientScorer.of("dot", QUERIES, Whitening.of(blocks, store.columns, 0.1, False))
