import numpy as np
import pytest

from bumperlane.subjects.shared_prefixes import batches

CONTEXT, OTHER = tuple(range(20)), tuple(range(50, 65))
TALK = [(*start, *(100 + i, 200 + i)) for start in (CONTEXT, OTHER) for i in range(5)]


def read(prompts, batch):
    """The tokens that a batch reads for each of its rows."""
    for place, i in enumerate(batch.rows):
        begun = batch.prefixes[batch.of[place]] if batch.prefixes else ()
        yield i, begun, prompts[i][len(begun) :]


def test_what_prompts_begin_with_in_common_is_read_once():
    (batch,) = batches(TALK, to_come=4, token_budget=8192)
    assert set(batch.prefixes) == {CONTEXT, OTHER} and sorted(batch.rows) == list(range(10))
    assert all((*begun, *rest) == TALK[i] and len(rest) == 2 for i, begun, rest in read(TALK, batch))


@pytest.mark.parametrize("budget", [1, 60, 300, 8192])
@pytest.mark.parametrize("seed", range(5))
def test_every_prompt_is_read_whole_once_and_keeps_a_token_of_its_own(seed, budget):
    rng = np.random.default_rng(seed)
    prompts = [tuple(rng.integers(0, 2, rng.integers(1, 12)).tolist()) for _ in range(40)]
    made = list(batches(prompts, 3, budget))
    assert sorted(i for b in made for i in b.rows) == list(range(40))
    for batch in made:
        parts = list(read(prompts, batch))
        assert all((*begun, *rest) == prompts[i] and rest for i, begun, rest in parts)
        assert len(batch.rows) == 1 or len(batch.rows) * (max(len(prompts[i]) for i in batch.rows) + 3) <= budget


def test_equal_prompts_share_all_but_their_last_token():
    (batch,) = batches([(1, 2, 3, 4)] * 6, 2, 8192)
    assert batch.prefixes == ((1, 2, 3),) and set(batch.of) == {0}


def test_a_short_common_beginning_is_not_worth_a_pass():
    (batch,) = batches([(1, *range(10 * i, 10 * i + 9)) for i in range(3, 9)], 2, 8192)
    assert batch.prefixes == () and batch.of == ()


def test_nothing_is_no_batch():
    assert list(batches([(5,)], 1, 10))[0].rows == (0,)
