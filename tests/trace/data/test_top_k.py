"""The best of a stream, against a full sort."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.data.top_k import top_k


def blocks_of(scores, sizes):
    ids = [f"e{i}" for i in range(scores.shape[1])]
    ends = np.cumsum([0, *sizes])
    return [(ids[a:b], scores[:, a:b]) for a, b in zip(ends, ends[1:], strict=False)]


def by_full_sort(scores, k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return tuple(tuple(f"e{i}" for i in row) for row in order), np.take_along_axis(scores, order, 1)


@pytest.mark.parametrize("k", [1, 7, 300, 1000])
@pytest.mark.parametrize("sizes", [[300], [1] * 300, [100, 3, 0, 197]])
@pytest.mark.parametrize("ties", [False, True])
def test_is_what_a_full_stable_sort_gives_in_blocks_of_any_size(k, sizes, ties):
    scores = np.random.default_rng(k).normal(size=(5, 300)).astype(np.float32)
    scores = np.round(scores) if ties else scores
    found = top_k(blocks_of(scores, sizes), k)
    ids, values = by_full_sort(scores, k)
    assert found.ids == ids and np.array_equal(found.scores, values)


def test_holds_one_block_and_the_best_only():
    """A stream of two million scores that never stands in memory together."""

    def stream():
        for start in range(0, 1_000_000, 10_000):
            yield range(start, start + 10_000), np.arange(start, start + 10_000, dtype=np.float32)[None] * [[1], [-1]]

    found = top_k(stream(), 3)
    assert found.ids == ((999_999, 999_998, 999_997), (0, 1, 2))


def test_refuses_what_it_cannot_order():
    scores = np.zeros((2, 4), np.float32)
    scores[1, 2] = np.nan
    with pytest.raises(EvidenceError, match=r"scores are not finite for examples \['e2'\]"):
        top_k(blocks_of(scores, [4]), 1)
    with pytest.raises(EvidenceError, match="no scores to take the best of. Fill the store first"):
        top_k([], 1)
    with pytest.raises(SettingError, match="k must be 1 or more, got 0"):
        top_k(blocks_of(scores, [4]), 0)
