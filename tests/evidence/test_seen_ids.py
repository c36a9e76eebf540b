import numpy as np
import pytest

from bumperlane.evidence.seen_ids import SeenIds


def test_agrees_with_a_dictionary_whatever_the_order():
    rng, seen, by_hand = np.random.default_rng(0), SeenIds(), {}
    for code in range(4):
        fresh = [f"item {k}" for k in rng.permutation(2000)[:300] if f"item {k}" not in by_hand]
        seen.add(fresh, code)
        by_hand |= dict.fromkeys(fresh, code)
        asked = [f"item {k}" for k in rng.permutation(2000)]
        assert seen.codes_of(asked).tolist() == [by_hand.get(i, -1) for i in asked]
    assert len(seen) == len(by_hand)


def test_nothing_seen_and_nothing_asked():
    assert SeenIds().codes_of(["a", "b"]).tolist() == [-1, -1]
    assert SeenIds().codes_of([]).tolist() == []


def test_takes_nine_bytes_an_id():
    seen = SeenIds()
    seen.add([str(k) for k in range(1000)])
    assert sum(value.nbytes for value in vars(seen).values()) == 9 * 1000


@pytest.mark.parametrize("id", ["", "é ü 漢", "\ud800"])
def test_any_text_is_an_id(id):
    seen = SeenIds()
    seen.add([id], 3)
    assert seen.codes_of([id, "other"]).tolist() == [3, -1]
