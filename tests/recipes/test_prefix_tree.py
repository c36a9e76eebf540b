"""A batch as trees of tokens."""

import torch

from bumperlane.recipes.prefix_tree import packs
from bumperlane.subjects.chat import Encoded

ROWS = [
    Encoded("a", (1, 5, 6, 7), 2),
    Encoded("b", (1, 5, 8), 2),
    Encoded("c", (1, 5, 6, 7), 3),
    Encoded("d", (2, 5), 1),
]


def test_rows_that_begin_alike_share_their_beginning_and_see_nothing_of_each_other():
    (pack,) = packs(ROWS)
    assert pack.tokens.tolist() == [1, 5, 6, 7, 8, 2, 5] and pack.depth.tolist() == [0, 1, 2, 3, 2, 0, 1]
    seen = [(~row).nonzero().flatten().tolist() for row in pack.hidden]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5], [5, 6]]


def test_each_answer_token_is_read_at_the_token_before_it_and_belongs_to_its_row():
    (pack,) = packs(ROWS)
    told = sorted(
        zip(pack.rows.tolist(), pack.tokens[pack.read[pack.which]].tolist(), pack.targets.tolist(), strict=True)
    )
    assert told == [(0, 5, 6), (0, 6, 7), (1, 5, 8), (2, 6, 7), (3, 2, 5)]
    assert pack.read.tolist() == [1, 2, 5]


def test_a_batch_that_is_too_large_is_split_between_rows_and_loses_none():
    found = list(packs(ROWS, most_nodes=4))
    assert [len(p.tokens) for p in found] == [4, 3, 2]
    assert sorted(torch.cat([p.rows for p in found]).tolist()) == [0, 0, 1, 2, 3]
    assert [len(p.tokens) for p in packs(ROWS, most_nodes=1)] == [4, 3, 2]  # a row stays whole
