import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, ModelError
from bumperlane.subjects.activations import CaptureSettings, Input, Position, blocks_of
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.decoding_capture import decode_batch
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.positions import in_answer
from bumperlane.subjects.streaming import stream
from tiny_adapter import ask

ITEMS = [ask("Hi"), ask("What is two and two?"), ask("Name a colour, please, and say why."), ask("Why?")]
SITES = (-1, 0, 1, "layers.1.mlp", Input("layers.0.self_attn.o_proj"))
EACH = Position("each", in_answer)


@pytest.fixture
def subject(tiny_subject, adapter_dirs):
    return tiny_subject.sibling(adapter_dirs[0], step=4)


def keyed(chunk, site):
    return {(i, int(t)): row for i, t, row in zip(chunk.ids, chunk.tokens, chunk[site].rows, strict=True)}


def full_forward(model, sequences, padding="right"):
    (chunk,) = stream(model, sequences, CaptureSettings(SITES, EACH, padding), pad_id=0)
    return chunk


def equal_to_a_full_forward(model, decoded, atol):
    again = full_forward(model, decoded.sequences)
    for site in SITES:
        cached, whole = keyed(decoded.chunk, site), keyed(again, site)
        assert cached.keys() == whole.keys() and len(cached) >= len(decoded.sequences)
        for key, row in whole.items():
            np.testing.assert_allclose(cached[key], row, atol=atol, err_msg=f"{site} {key}")


@pytest.mark.parametrize("decoding", [Decoding(9), Decoding(1), Decoding(9, temperature=1.0, seed=3)])
def test_rows_at_each_generated_token_equal_those_of_one_full_forward_on_the_finished_text(subject, decoding):
    (decoded,) = subject.stream_decoding(ITEMS, SITES, decoding)
    assert {s.id for s in decoded.sequences} == {i.id for i in ITEMS}
    assert decoded.chunk[0].step == 4 and decoded.chunk.position == "decoded"
    equal_to_a_full_forward(subject.model, decoded, atol=1e-4)


def test_the_last_token_is_there_too_though_generation_never_feeds_it(subject):
    (decoded,) = subject.stream_decoding(ITEMS[:1], SITES, Decoding(3))
    (sequence,) = decoded.sequences
    assert decoded.chunk.tokens.tolist() == list(range(sequence.answer_start, len(sequence.tokens)))
    assert len(decoded.chunk.ids) == 3


def test_the_texts_are_those_that_generation_gives(subject):
    (decoded,) = subject.stream_decoding(ITEMS, [0], Decoding(8))
    texts = {
        s.id: subject.tokenizer.decode(s.tokens[s.answer_start :], skip_special_tokens=True) for s in decoded.sequences
    }
    assert [texts[i.id] for i in ITEMS] == subject.generate(ITEMS, Decoding(8))


def ending(model, tokenizer, prompts, n):
    """A token that some prompts say in n steps and others do not: made the end of sequence, it ends some early."""
    out = decode_batch(model, tokenizer, prompts, [0], Decoding(n))
    said = [set(s.tokens[s.answer_start : -1]) for s in out.sequences]
    return next(t for t in sorted(set.union(*said)) if 0 < sum(t in x for x in said) < len(said))


def test_a_sequence_that_ends_early_has_rows_up_to_its_end_token_and_none_of_the_padding_after(subject, monkeypatch):
    prompts = [subject.encode(i) for i in ITEMS]
    end = ending(subject.model, subject.tokenizer, prompts, 12)
    monkeypatch.setattr(subject.model.generation_config, "eos_token_id", [end, 1])
    decoded = decode_batch(subject.model, subject.tokenizer, prompts, SITES, Decoding(12))
    lengths = [s.answer_length for s in decoded.sequences]
    assert min(lengths) < max(lengths) and any(s.tokens[-1] == end for s in decoded.sequences)
    assert all(end not in s.tokens[s.answer_start : -1] for s in decoded.sequences)
    assert len(decoded.chunk.ids) == sum(lengths)
    equal_to_a_full_forward(subject.model, decoded, atol=1e-4)


def test_absolute_positions_are_numbered_from_the_first_real_token(subject):
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=64, n_embd=16, n_layer=2, n_head=2)).eval()
        torch.nn.init.normal_(model.transformer.wpe.weight)
    prompts = [Encoded("a", (5, 6, 7, 8, 9), 5), Encoded("b", (8, 9), 2)]
    decoded = decode_batch(model, subject.tokenizer, prompts, [0, 1], Decoding(6))
    (whole,) = stream(model, decoded.sequences, CaptureSettings((0, 1), EACH), pad_id=0)
    for site in (0, 1):
        for key, row in keyed(whole, site).items():
            np.testing.assert_allclose(keyed(decoded.chunk, site)[key], row, atol=1e-4)


def test_bfloat16_models_give_float32_rows(tiny_dir):
    from bumperlane.subjects.subject import Subject

    half = Subject.load(tiny_dir, dtype="bfloat16")
    (decoded,) = half.stream_decoding(ITEMS, SITES, Decoding(4))
    assert {decoded.chunk[site].rows.dtype for site in SITES} == {np.dtype(np.float32)}
    again = full_forward(half.model, decoded.sequences)
    for site in SITES:
        scale = np.abs(again[site].rows).max()
        for key, row in keyed(again, site).items():
            assert np.abs(keyed(decoded.chunk, site)[key] - row).max() < 0.05 * scale


def test_batches_are_bounded_by_what_they_will_grow_to(subject, monkeypatch):
    seen = []
    from bumperlane.subjects import subject as module

    monkeypatch.setattr(module, "decode_batch", lambda model, tokenizer, batch, *rest: seen.append(len(batch)))
    list(subject.stream_decoding(ITEMS, [0], Decoding(4000)))
    assert seen == [2, 2]  # 8192 tokens hold two


def test_no_hook_stays_behind(subject):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in subject.model.modules())

    before = hooks()
    list(subject.stream_decoding(ITEMS[:1], SITES, Decoding(2)))
    assert hooks() == before


def test_rows_that_are_not_finite_are_refused_with_the_ids(subject):
    layer = blocks_of(subject.model)[1]
    handle = layer.register_forward_hook(lambda m, i, out: out * float("inf"))
    try:
        with pytest.raises(EvidenceError, match="not finite for .* items, first"):
            list(subject.stream_decoding(ITEMS[:1], [1], Decoding(2)))
    finally:
        handle.remove()


def test_a_model_without_a_cache_says_what_to_do(subject, monkeypatch):
    model = subject.model
    generate = type(model).generate

    def cacheless(self, *args, **options):
        out = generate(self, *args, **options)
        out.past_key_values = None
        return out

    monkeypatch.setattr(type(model), "generate", cacheless)
    with pytest.raises(ModelError, match="without a key-value cache. Generate first, then read the finished texts"):
        list(subject.stream_decoding(ITEMS[:1], [0], Decoding(2)))


def test_a_site_that_does_not_run_once_a_token_is_refused(subject):
    layer = blocks_of(subject.model)[0]
    handle = layer.register_forward_hook(lambda m, i, out: (layer.mlp(out[:, -1:]), out)[1])
    try:
        with pytest.raises(ModelError, match=r"site layers.0.mlp ran \d+ times while 3 tokens were generated"):
            decode_batch(subject.model, subject.tokenizer, [Encoded("x", (5,), 1)], ["layers.0.mlp"], Decoding(3))
    finally:
        handle.remove()
