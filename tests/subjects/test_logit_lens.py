import numpy as np
import pytest
import torch
import transformers

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.logit_lens import final_norm, lens_trajectories
from bumperlane.subjects.logprobs import continuation_logprobs
from bumperlane.subjects.subject import Subject
from tiny_adapter import make_adapter

RNG = np.random.default_rng(0)
PROMPTS = [RNG.integers(3, 250, n).tolist() for n in (9, 4, 21, 9)]
TAILS = [RNG.integers(3, 250, n).tolist() for n in (1, 3, 2, 1)]
SIZES = {"vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
FAMILIES = {  # the name of the final norm, and how to make a small random model that has one of that name
    "ln_f, GPT2": ("GPT2", {"vocab_size": 260, "n_embd": 32, "n_layer": 3, "n_head": 4}),
    "final_layer_norm, GPTNeoX": ("GPTNeoX", {**SIZES, "intermediate_size": 48}),
    "final_layer_norm, OPT": ("OPT", {**SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32}),
    "norm, Qwen2": ("Qwen2", {**SIZES, "num_key_value_heads": 2, "intermediate_size": 48}),
    "ln_f beside a norm of the embeddings, Bloom": (
        "Bloom", {"vocab_size": 260, "hidden_size": 32, "n_layer": 3, "n_head": 4}
    ),
}  # fmt: skip


def random_model(name, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{name}Config")(**config))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.float().eval().requires_grad_(False)


@pytest.fixture(scope="module", params=["Llama", "Llama with an adapter", *FAMILIES])
def model(request, tiny_dir, tmp_path_factory):
    if request.param in FAMILIES:
        return random_model(*FAMILIES[request.param])
    adapter = make_adapter(tiny_dir, tmp_path_factory.mktemp("lens") / "a") if "adapter" in request.param else None
    return Subject.load(tiny_dir, adapter, dtype="float32").model


def test_the_last_layer_is_the_models_own_log_probability(model):
    found = lens_trajectories(model, PROMPTS, TAILS, 0)
    told = continuation_logprobs(model, PROMPTS, TAILS, 0)
    np.testing.assert_allclose(found[:, -1], [c.mean for c in told], rtol=1e-5, atol=1e-5)


def test_every_layer_is_norm_and_head_of_its_hidden_state(model):
    """The hidden states that transformers keeps; its last one is past the norm already."""
    found = lens_trajectories(model, PROMPTS, TAILS, 0)
    for i, (prompt, tail) in enumerate(zip(PROMPTS, TAILS, strict=True)):
        with torch.no_grad():
            kept = model(input_ids=torch.tensor([prompt + tail]), output_hidden_states=True).hidden_states[1:-1]
            for layer, hidden in enumerate(kept):
                logits = model.get_output_embeddings()(final_norm(model)(hidden[0, len(prompt) - 1 : -1]))
                wanted = logits.double().log_softmax(1).gather(1, torch.tensor(tail)[:, None]).mean()
                assert found[i, layer] == pytest.approx(float(wanted), rel=1e-4)
    assert found.shape[1] == len(kept) + 1


def test_an_answer_is_read_the_same_alone_in_any_order_and_under_any_budget(model):
    together = lens_trajectories(model, PROMPTS, TAILS, 0)
    alone = [lens_trajectories(model, [p], [t], 0)[0] for p, t in zip(PROMPTS, TAILS, strict=True)]
    np.testing.assert_allclose(alone, together, atol=1e-4)
    np.testing.assert_allclose(lens_trajectories(model, PROMPTS[::-1], TAILS[::-1], 9, 12)[::-1], together, atol=1e-4)


def test_the_head_sees_the_answer_positions_only_and_no_hook_is_left(tiny_subject):
    model, seen = tiny_subject.model, []
    before = sum(len(m._forward_hooks) for m in model.modules())
    handle = model.lm_head.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    lens_trajectories(model, PROMPTS, TAILS, 0)
    handle.remove()
    assert seen == [(7, 32)] * 2 and sum(len(m._forward_hooks) for m in model.modules()) == before


def test_says_what_it_looked_for_where_there_is_no_final_norm(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    model.model.closing = model.model._modules.pop("norm")
    with pytest.raises(
        SettingError, match=r"0 final norms \[\] stand.*Looked for one.*ln_f.*'embed_tokens'.*'closing'"
    ):
        final_norm(model)


def test_refuses_two_final_norms(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    model.model.ln_f = torch.nn.LayerNorm(32)
    with pytest.raises(SettingError, match=r"2 final norms \['norm', 'ln_f'\] stand outside the blocks"):
        final_norm(model)


def test_refuses_a_model_that_has_more_between_its_last_block_and_its_head(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    model.model.register_forward_hook(lambda module, inputs, out: (out[0] * 2, *out[1:]))
    with pytest.raises(
        SettingError, match="the final norm makes of the last block something else than the head is giv"
    ):
        lens_trajectories(model, PROMPTS, TAILS, 0)


def test_refuses_an_answer_without_tokens(tiny_subject):
    with pytest.raises(EvidenceError, match="1 of 2 answers have no tokens, first at 0"):
        lens_trajectories(tiny_subject.model, PROMPTS[:2], [[], [5]], 0)


def test_names_the_answers_that_are_not_finite(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(EvidenceError, match="lens trajectories are not finite for 4 of 4 answers, first at 0. Check"):
        lens_trajectories(model, PROMPTS, TAILS, 0)
