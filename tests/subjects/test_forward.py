import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.forward import answer_logits, length_batches, pad

ROWS = [Encoded("a", (5, 9, 12, 40), 2), Encoded("b", (7, 8, 9, 10, 11, 12, 13), 4), Encoded("c", (30, 31), 1)]


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(1, 500))
def test_batches_hold_every_index_once_and_keep_to_the_budget(lengths, budget):
    batches = list(length_batches(lengths, budget))
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert all(batches)
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget for b in batches)


def test_batches_are_filled_from_the_shortest_on():
    assert list(length_batches([9, 1, 2, 9], token_budget=18)) == [[1, 2], [0, 3]]


def test_pads_on_the_side_that_was_asked_for():
    left, left_mask = pad([[1, 2, 3], [4]], 0, "left", "cpu")
    right, right_mask = pad([[1, 2, 3], [4]], 0, "right", "cpu")
    assert left.tolist() == [[1, 2, 3], [0, 0, 4]] and left_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert right.tolist() == [[1, 2, 3], [4, 0, 0]] and right_mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_answer_logits_are_those_of_the_full_forward_one_row_at_a_time(tiny_subject):
    model, pad_id = tiny_subject.model, tiny_subject.tokenizer.pad_token_id
    with torch.no_grad():
        logits, targets, owner = answer_logits(model, ROWS, pad_id)
        full = [model(input_ids=torch.tensor([r.tokens])).logits[0, r.answer_start - 1 : -1] for r in ROWS]
    assert targets.tolist() == [12, 40, 11, 12, 13, 31] and owner.tolist() == [0, 0, 1, 1, 1, 2]
    torch.testing.assert_close(logits, torch.cat(full), atol=1e-5, rtol=1e-5)


def test_the_head_never_sees_a_token_outside_the_answers(tiny_subject):
    seen = []
    head = tiny_subject.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    try:
        answer_logits(tiny_subject.model, ROWS, 0)
    finally:
        handle.remove()
    assert seen == [(6, 32)]


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_logits_are_float32_whatever_the_weights_are(tiny_dir, dtype):
    from bumperlane.subjects.loading import load_causal_lm

    model = load_causal_lm(str(tiny_dir), dtype=dtype)
    assert model.dtype == dtype and answer_logits(model, ROWS, 0)[0].dtype == torch.float32
