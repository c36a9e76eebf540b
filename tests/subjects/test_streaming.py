from itertools import count, islice

import numpy as np
import pytest
import torch

from bumperlane.detect.internals.moments import Moments
from bumperlane.errors import EvidenceError, ModelError, SettingError
from bumperlane.subjects.activations import CaptureSettings, blocks_of
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.chunk import Chunk, Input
from bumperlane.subjects.streaming import batches, stream
from bumperlane.subjects.subject import Subject
from bumperlane.types import Activations, Context
from tiny_adapter import ask

RNG = np.random.default_rng(0)
ITEMS = [ask("Why? " * int(n), Context("c", "x", None)) for n in RNG.permutation(23) + 1]


@pytest.fixture
def subject(tiny_subject, adapter_dirs):
    return tiny_subject.sibling(adapter_dirs[0], step=8)


def sequences(n, longest=12):
    lengths = RNG.integers(1, longest, n)
    return [Encoded(f"s{i}", tuple(RNG.integers(3, 200, k).tolist()), int(k)) for i, k in enumerate(lengths)]


def test_streamed_rows_are_the_captured_ones_under_their_ids(subject):
    whole, found = subject.activations(ITEMS, [0, "layers.1.mlp"]), {}
    for chunk in subject.stream_activations(iter(ITEMS), [0, "layers.1.mlp"], rows_per_chunk=5):
        assert len(chunk.ids) <= 5 and chunk[0].step == 8 and chunk[0].layer == 0
        assert chunk["layers.1.mlp"].layer == "layers.1.mlp"
        pairs = zip(chunk[0].rows, chunk["layers.1.mlp"].rows, strict=True)
        found |= dict(zip(chunk.ids, pairs, strict=True))
    assert found.keys() == {i.id for i in ITEMS}
    for k, item in enumerate(ITEMS):
        np.testing.assert_allclose(found[item.id][0], whole[0][k], atol=1e-5)
        np.testing.assert_allclose(found[item.id][1], whole["layers.1.mlp"][k], atol=1e-5)


@pytest.mark.parametrize("rows_per_chunk", [1, 7, 30, 10_000])
def test_chunks_keep_to_their_rows_and_never_part_the_tokens_of_an_item(subject, rows_per_chunk):
    given, seen = sequences(40), []
    for chunk in stream(subject.model, given, CaptureSettings((0,), "all", rows_per_chunk=rows_per_chunk), 0):
        assert len(chunk.ids) <= rows_per_chunk or len(set(chunk.ids)) == 1
        seen.append((set(chunk.ids), list(zip(chunk.ids, chunk.tokens.tolist(), strict=True))))
    assert sorted(pair for _, pairs in seen for pair in pairs) == sorted(
        (s.id, t) for s in given for t in range(len(s.tokens))
    )
    assert sum(len(ids) for ids, _ in seen) == len(given)


def test_an_endless_iterator_is_read_one_window_ahead_and_no_further(subject):
    pulled = count()

    def endless():
        for i in pulled:
            yield Encoded(str(i), tuple(range(3, 6 + i % 5)), 1)

    settings = CaptureSettings((0,), window=16, rows_per_chunk=8)
    for k, chunk in enumerate(islice(stream(subject.model, endless(), settings, 0), 20)):
        n_given = (k + 1) * len(chunk.ids)
        assert len(chunk.ids) == 8 and next(pulled) - k <= n_given + 16  # `next` itself counts one a round


def test_sequences_of_like_length_share_a_batch_and_keep_to_the_token_budget():
    settings = CaptureSettings((0,), token_budget=24, window=20)
    groups = [[len(s.tokens) for s in batch] for batch, _ in batches(sequences(40), settings)]
    assert sum(map(len, groups)) == 40 and all(len(g) * max(g) <= 24 for g in groups)
    assert all(g == sorted(g) for g in groups)
    grown = [[len(s.tokens) for s in batch] for batch, _ in batches(sequences(40), settings, to_come=3)]
    assert all(len(g) * (max(g) + 3) <= 24 for g in grown)


def test_answers_are_read_where_they_stand(subject):
    given = [subject.encode(i, "It is four.") for i in ITEMS[:3]]
    (chunk,) = subject.stream_activations(given, [1], "answer")
    (every,) = subject.stream_activations(given, [1], "all")
    tail = len(given[0].tokens) - given[0].answer_start
    assert tail == given[0].answer_length == len("It is four.") + 1  # a token a byte, and the end of sequence
    for item, row in zip(chunk.ids, chunk[1].rows, strict=True):
        own = every[1].rows[[i == item for i in every.ids]][-tail:]
        np.testing.assert_allclose(row, own.mean(axis=0), atol=1e-5)
    assert (chunk.tokens == -1).all() and chunk.position == "answer"


def test_a_sibling_used_between_two_chunks_changes_nothing(subject, adapter_dirs):
    """They share one host: whoever was asked last has left its adapter on."""
    other = subject.sibling(adapter_dirs[1])
    alone = [chunk[1].rows for chunk in subject.stream_activations(ITEMS, [1], rows_per_chunk=6)]
    mixed, theirs = [], []
    both = zip(
        subject.stream_activations(ITEMS, [1], rows_per_chunk=6),
        other.stream_activations(ITEMS, [1], rows_per_chunk=6),
        strict=True,
    )
    for ours, other_chunk in both:
        mixed.append(ours[1].rows)
        theirs.append(other_chunk[1].rows)
    np.testing.assert_array_equal(np.concatenate(mixed), np.concatenate(alone))
    assert np.abs(np.concatenate(theirs) - np.concatenate(alone)).max() > 0.01


def test_moments_are_fitted_while_streaming_without_a_store(subject):
    whole = subject.activations(ITEMS, [1])[1]
    ids = tuple(i.id for i in ITEMS)
    exact = Moments.of(Activations(whole.astype(np.float64), ids, 1))
    for rows_per_chunk in (1, 5, 1000):
        shards = (c[1] for c in subject.stream_activations(iter(ITEMS), [1], rows_per_chunk=rows_per_chunk))
        found = Moments.stream(shards)
        assert (found.n, found.layer) == (len(ITEMS), 1)
        np.testing.assert_allclose(found.mean, exact.mean, atol=1e-5)
        np.testing.assert_allclose(found.scatter, exact.scatter, atol=1e-4 * np.abs(exact.scatter).max())


def test_gradients_stay_on_for_the_caller_between_chunks(subject):
    for _ in subject.stream_activations(ITEMS, [1], rows_per_chunk=6):
        assert torch.is_grad_enabled()


def test_rows_that_are_not_finite_are_refused_with_the_ids(subject, monkeypatch):
    handle = blocks_of(subject.model)[0].register_forward_hook(
        lambda m, i, out: out.masked_fill(torch.tensor(out.shape[1] > 60), float("nan"))
    )
    try:
        with pytest.raises(EvidenceError, match=r"activations at layer 0, step 8 are not finite .*c\|Why\?"):
            list(subject.stream_activations(ITEMS, [0]))
    finally:
        handle.remove()


def test_nothing_given_is_no_chunk(subject):
    assert list(subject.stream_activations([], [0])) == []


def test_settings_are_refused_at_once_and_not_at_the_first_chunk(subject):
    with pytest.raises(SettingError, match="unknown position 'lst'"):
        subject.stream_activations(ITEMS, [0], "lst")


def test_a_bare_module_without_a_tokenizer_says_so():
    with pytest.raises(ModelError, match="no tokenizer"):
        Subject.load(torch.nn.Linear(2, 2)).stream_activations(ITEMS, ["0"])


def test_a_chunk_holds_the_same_items_at_every_site():
    one, other = (Activations(np.zeros((2, 3)), ids, 0) for ids in (("a", "b"), ("a", "c")))
    assert dict(Chunk({0: one}, np.zeros(2, int))) == {0: one}
    with pytest.raises(EvidenceError, match="the same items at every site"):
        Chunk({0: one, 1: other}, np.zeros(2, int))
    with pytest.raises(EvidenceError, match="3,.*token indices"):
        Chunk({0: one}, np.zeros(3, int))
    with pytest.raises(EvidenceError, match="no sites"):
        Chunk({}, np.zeros(0, int))


def test_an_input_is_named_by_its_module(subject):
    (chunk,) = subject.stream_activations(ITEMS[:2], [Input("layers.1")])
    assert chunk[Input("layers.1")].place == ("input of layers.1", 32)
