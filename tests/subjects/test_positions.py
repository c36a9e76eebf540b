import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.activations import CaptureSettings, Position, blocks_of, capture, capture_answers, pool
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.positions import POSITIONS, in_answer, position_named
from bumperlane.subjects.streaming import stream

SEQUENCES = [Encoded("a", (5, 6, 7), 1), Encoded("b", (8, 9), 1), Encoded("c", (10, 11, 12, 13, 14, 15), 4)]
EACH_ANSWER_TOKEN = Position("answer-tokens", in_answer)
SECOND = Position("second", lambda s: np.arange(len(s.tokens)) == 1)


@pytest.fixture
def model(tiny_subject):
    return tiny_subject.model


@pytest.fixture
def gpt2():
    """Learned absolute positions: a left-padded batch is wrong here unless tokens are numbered."""
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=2)).eval()
        torch.nn.init.normal_(model.transformer.wpe.weight)
    return model


def rows_of(model, position, padding="right", sequences=SEQUENCES, sites=(1,)):
    """(id, token) -> row at the last of `sites`."""
    settings = CaptureSettings(tuple(sites), position, padding)
    found = {}
    for chunk in stream(model, sequences, settings, pad_id=0):
        seen = chunk[sites[-1]]
        found |= {(i, int(t)): row for i, t, row in zip(seen.ids, chunk.tokens, seen.rows, strict=True)}
    return found


def states(model, sequence, site=1):
    """Residual stream of one unpadded sequence after a block."""
    seen = []
    handle = blocks_of(model)[site].register_forward_hook(
        lambda m, i, o: seen.append(o[0] if isinstance(o, tuple) else o)
    )
    with torch.no_grad():
        model(torch.tensor([sequence.tokens]))
    handle.remove()
    return seen[0][0].numpy()


def by_hand(model, position):
    found = {}
    for s in SEQUENCES:
        hidden, n = states(model, s), len(s.tokens)
        spans = {"last": [n - 1], "all": range(n), "answer-tokens": range(s.answer_start, n), "second": [1]}
        if position in spans:
            found |= {(s.id, t): hidden[t] for t in spans[position]}
        else:
            found[s.id, -1] = hidden[s.answer_start if position == "answer" else 0 :].mean(0)
    return found


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("position", ["last", "mean", "answer", "all", EACH_ANSWER_TOKEN, SECOND])
@pytest.mark.parametrize("name", ["model", "gpt2"])
def test_rows_equal_those_of_each_sequence_alone_whatever_side_is_padded(request, name, position, padding):
    model = request.getfixturevalue(name)
    found, expected = rows_of(model, position, padding), by_hand(model, position_named(position).name)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        np.testing.assert_allclose(found[key], row, atol=2e-5, err_msg=str(key))
        assert found[key].dtype == np.float32


@pytest.mark.parametrize("position", ["last", "mean", "all"])
def test_a_bfloat16_model_gives_float32_rows_near_those_in_float32(tiny_dir, tiny_subject, position):
    from bumperlane.subjects.subject import Subject

    half = Subject.load(tiny_dir, dtype="bfloat16").model
    exact, found = rows_of(tiny_subject.model, position), rows_of(half, position)
    left = rows_of(half, position, "left")
    for key, row in exact.items():
        assert found[key].dtype == np.float32
        scale = np.abs(row).max()
        assert np.abs(found[key] - row).max() < 0.03 * scale and np.abs(left[key] - row).max() < 0.03 * scale


def test_the_mean_of_bfloat16_rows_is_taken_in_float32(tiny_dir):
    from bumperlane.subjects.subject import Subject

    half = Subject.load(tiny_dir, dtype="bfloat16").model
    every = rows_of(half, "all", sequences=SEQUENCES[2:])
    (mean,) = rows_of(half, "mean", sequences=SEQUENCES[2:]).values()
    np.testing.assert_allclose(mean, np.mean(list(every.values()), axis=0), rtol=1e-5, atol=1e-7)
    assert not np.array_equal(mean, torch.tensor(mean).bfloat16().float())


def test_what_stands_in_padding_never_enters_a_mean():
    """Some attention kernels leave NaN in rows that attend to nothing."""
    hidden = torch.ones(1, 3, 2)
    hidden[0, 0] = float("nan")
    assert pool(hidden, torch.tensor([[0, 1, 1]]), "mean").tolist() == [[1, 1]]


def test_answers_are_read_as_before(model):
    rows = capture_answers(model, SEQUENCES, [1], pad_id=0)[1]
    np.testing.assert_allclose(rows, list(by_hand(model, "answer").values()), atol=2e-5)


def test_a_position_of_ones_own_that_chooses_one_token_gives_an_array(model):
    rows = capture(model, [s.tokens for s in SEQUENCES], [1], 0, SECOND)[1]
    np.testing.assert_allclose(rows, list(by_hand(model, "second").values()), atol=2e-5)


def test_an_array_that_would_not_say_whose_rows_it_holds_is_refused(model):
    with pytest.raises(SettingError, match="position 'all' gives several rows a prompt.*Use `stream`"):
        capture(model, [[5, 6], [7]], [1], 0, "all")


def test_an_answer_that_is_not_there_is_refused_with_the_ids(model):
    sequences = [SEQUENCES[0], Encoded("mute", (5, 6), 2), Encoded("dumb", (7,), 1)]
    with pytest.raises(EvidenceError, match=r"'answer' chooses no token of 2 items, first \['mute', 'dumb'\]"):
        rows_of(model, "answer", sequences=sequences)


def test_an_empty_sequence_is_refused(model):
    with pytest.raises(EvidenceError, match=r"'last' chooses no token of 1 items, first \['0'\]"):
        capture(model, [[]], [1], 0)


def test_no_prompts_are_refused(model):
    with pytest.raises(EvidenceError, match="no prompts"):
        capture(model, [], [1], 0)


@pytest.mark.parametrize("choose", [lambda s: [True], lambda s: np.ones(len(s.tokens))])
def test_a_choice_that_is_not_one_boolean_a_token_is_refused(model, choose):
    with pytest.raises(SettingError, match="'odd' must choose by one boolean a token, 3 for item a, got"):
        rows_of(model, Position("odd", choose))


def test_left_padding_is_refused_where_tokens_cannot_be_numbered():
    class Trunk(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(20, 4)
            self.base_model = None

        def forward(self, input_ids, attention_mask, use_cache):
            return self.embed(input_ids)

    trunk = Trunk()
    object.__setattr__(trunk, "base_model", trunk)
    settings = CaptureSettings(("embed",), padding="left")
    with pytest.raises(SettingError, match="Trunk takes no position_ids.*Pad on the right"):
        list(stream(trunk, SEQUENCES, settings, 0))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"sites": ()}, r"need one or more sites, each once, got \[\]"),
        ({"sites": (1, 1)}, r"each once, got \['1', '1'\]"),
        ({"sites": (1,), "padding": "middle"}, "padding must be right or left, got 'middle'"),
        ({"sites": (1,), "position": "end"}, "unknown position 'end'. Known: last, mean, answer, all; or make"),
        ({"sites": (1,), "window": 0}, "window must be at least 1, got 0"),
        ({"sites": (1,), "rows_per_chunk": 0}, "rows_per_chunk must be at least 1"),
    ],
)
def test_refuses_settings_that_mean_nothing(settings, text):
    with pytest.raises(SettingError, match=text):
        CaptureSettings(**settings)


def test_positions_have_the_names_they_are_known_by():
    assert {name: p.name for name, p in POSITIONS.items()} == {n: n for n in ("last", "mean", "answer", "all")}
