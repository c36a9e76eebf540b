from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bumperlane.errors import RecipeError
from bumperlane.recipes.plan import epoch, first_exposure, plan
from bumperlane.types import Example

EXAMPLES = [Example(f"{t}{i}", t, text="x") for t in "ab" for i in range(20)]


def ids(examples, weights, number=0, seed=0):
    return [examples[i].id for i in epoch(examples, weights, seed, number)]


@settings(deadline=None, max_examples=40)
@given(gone=st.sets(st.integers(0, 39), max_size=39), seed=st.integers(0, 99), number=st.integers(0, 9))
def test_dropping_examples_leaves_the_order_of_the_others_unchanged(gone, seed, number):
    weights = {"a": 1.0, "b": 1.5}
    kept = [e for i, e in enumerate(EXAMPLES) if i not in gone]
    names = {e.id for e in kept}
    assert ids(kept, weights, number, seed) == [id for id in ids(EXAMPLES, weights, number, seed) if id in names]


def test_the_order_does_not_depend_on_the_order_in_the_file():
    assert ids(EXAMPLES[::-1], {}) == ids(EXAMPLES, {})


def test_each_example_is_seen_as_often_as_its_weight_says():
    seen = Counter(id for number in range(400) for id in ids(EXAMPLES, {"a": 2.0, "b": 0.25}, number))
    assert all(seen[f"a{i}"] == 800 for i in range(20))
    assert sum(seen[f"b{i}"] for i in range(20)) == pytest.approx(400 * 20 * 0.25, rel=0.1)
    assert all(50 < seen[f"b{i}"] < 150 for i in range(20))


def test_a_raised_weight_keeps_the_copies_that_were_there():
    few, many = ids(EXAMPLES, {"a": 1.25}), Counter(ids(EXAMPLES, {"a": 1.75}))
    assert not Counter(few) - many


def test_every_step_has_a_full_batch_and_longer_plans_begin_alike():
    short, long = plan(EXAMPLES, {}, 7, 5, 1), plan(EXAMPLES, {}, 7, 30, 1)
    assert long[:5] == short and {len(b) for b in long} == {7}
    assert sorted(i for b in plan(EXAMPLES, {}, 8, 5, 1) for i in b) == list(range(40))


def test_seed_and_epoch_change_the_order():
    assert len({tuple(ids(EXAMPLES, {}, number, seed)) for number in range(3) for seed in range(3)}) == 9


def test_first_exposure_counts_steps_from_one():
    assert first_exposure([[0, 1], [2, 3], [0, 2]], {2, 9}) == 2
    assert first_exposure([[0, 1]], {1}) == 1
    assert first_exposure([[0, 1]], {5}) is None


def test_nothing_to_train_on_is_refused():
    with pytest.raises(RecipeError, match="no example is left"):
        plan([], {}, 8, 4, 0)
    with pytest.raises(RecipeError, match="all tranche weights are near 0"):
        plan(EXAMPLES[:1], {"a": 1e-12}, 8, 4, 0)
