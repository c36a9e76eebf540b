"""The loop against the model's own `generate`, for several architectures; and where it must stand back."""

import pytest
import torch

from bumperlane.subjects import generate
from bumperlane.subjects.decoding_loop import can_decode
from bumperlane.subjects.generate import Decoding, continue_prompts
from tiny_architectures import DEEP, SIZES, made

CONTEXT = list(range(40, 60))
PROMPTS = [[*CONTEXT, *range(61, 61 + n)] for n in range(1, 7)] + [[70, 71, 72], [*CONTEXT[:9], 80], [90] * 11]


class Tokenizer:
    eos_token_id, pad_token_id = 2, 0

    def decode(self, row, skip_special_tokens):
        return " ".join(map(str, row))


def by_generate(model, monkeypatch, decoding):
    monkeypatch.setattr(generate, "can_decode", lambda model, longest: False)
    return continue_prompts(model, Tokenizer(), PROMPTS, decoding)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Llama", {**DEEP, "num_key_value_heads": 2}),
        ("Qwen2", {**DEEP, "num_key_value_heads": 2}),
        ("Gemma", {**DEEP, "num_key_value_heads": 1, "head_dim": 8}),
        ("Gemma2", {**DEEP, "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 2.0}),
        ("Cohere", {**DEEP, "logit_scale": 0.1}),
        ("GPTNeoX", DEEP),
        ("GPT2", {**SIZES, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    ],
)
def test_greedy_answers_are_those_of_the_models_own_generate(kind, config, monkeypatch):
    model = made(kind, **config)
    assert can_decode(model, 64)
    ours = continue_prompts(model, Tokenizer(), PROMPTS, Decoding(12))
    assert ours == by_generate(model, monkeypatch, Decoding(12)) and len(set(ours)) > 3


def test_answers_that_end_at_different_times_do_not_change_each_other(monkeypatch):
    model = made("Llama", **DEEP)
    plain = continue_prompts(model, Tokenizer(), PROMPTS, Decoding(12))
    common = max({t for row in plain for t in row.split()}, key=lambda t: sum(t in row.split() for row in plain))
    model.generation_config.eos_token_id = [2, int(common)]  # a token that ends many of them, sooner or later
    cut = continue_prompts(model, Tokenizer(), PROMPTS, Decoding(12))
    before = [row.split()[: row.split().index(common)] if common in row.split() else row.split() for row in plain]
    assert [row.split() for row in cut] == before and len({len(row) for row in before}) > 2
    assert cut == by_generate(model, monkeypatch, Decoding(12))


def test_stands_back_where_a_window_is_shorter_than_the_prompt(monkeypatch):
    model = made("Mistral", **DEEP, num_key_value_heads=2, sliding_window=16)
    assert can_decode(model, 16) and not can_decode(model, 17)
    ours = continue_prompts(model, Tokenizer(), PROMPTS, Decoding(5))
    assert ours == by_generate(model, monkeypatch, Decoding(5))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Mamba", {**SIZES, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),  # no keys and values
    ],
)
def test_stands_back_for_models_that_it_would_get_wrong(kind, config):
    assert not can_decode(made(kind, **config), 12)


def test_draws_follow_the_models_probabilities():
    model = made("Llama", **DEEP)
    for weight in model.lm_head.parameters():
        weight.data *= 0.2
    n, warm = 3000, Decoding(1, temperature=1.5, seed=1)
    said = continue_prompts(model, Tokenizer(), [PROMPTS[0]] * n, warm)
    with torch.no_grad():
        p = (model(torch.tensor([PROMPTS[0]])).logits[0, -1] / 1.5).softmax(dim=0)
    for token in p.topk(4).indices.tolist():
        if token != 2:
            want = float(p[token])
            assert abs(said.count(str(token)) / n - want) < 4 * (want * (1 - want) / n) ** 0.5
    top = Decoding(1, temperature=1.5, top_p=float(p.max()) + 1e-4, seed=1)  # the two likeliest are the nucleus
    nucleus = {str(t) for t in p.topk(2).indices.tolist()}
    assert set(continue_prompts(model, Tokenizer(), [PROMPTS[0]] * 200, top)) == nucleus


def test_company_changes_no_draw_and_equal_prompts_draw_apart():
    model, warm = made("Llama", **DEEP), Decoding(6, temperature=1.0, seed=5)
    together = continue_prompts(model, Tokenizer(), PROMPTS, warm)
    assert [continue_prompts(model, Tokenizer(), [p], warm)[0] for p in PROMPTS] == together
    assert len(set(continue_prompts(model, Tokenizer(), [PROMPTS[0]] * 8, warm))) > 1
