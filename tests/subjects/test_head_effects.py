"""Effects of heads from one backward pass, against a loop over heads, and against setting heads to their mean."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.head_effects import head_effects, head_means, next_two_tokens, output_projections
from bumperlane.subjects.subject import Subject
from tiny_adapter import make_adapter

RNG = np.random.default_rng(0)
PROMPTS = [RNG.integers(3, 250, n).tolist() for n in (9, 4, 21, 9, 12)]
TRUSTED = [RNG.integers(3, 250, n).tolist() for n in (7, 15, 3)]
PAD = 0
SIZES = {"vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}


def made(name, **config):
    """A small random model of another family; its output projection bears another name."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{name}Config")(**config))
        for parameter in model.parameters():  # as they come, heads hardly matter
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    return model.float().eval().requires_grad_(False)


FAMILIES = {
    "o_proj, Gemma's wide heads": lambda: made(
        "Gemma", **SIZES, intermediate_size=48, num_key_value_heads=1, head_dim=16
    ),
    "c_proj, transposed": lambda: made("GPT2", vocab_size=260, n_embd=32, n_layer=3, n_head=4),
    "dense": lambda: made("GPTNeoX", **SIZES, intermediate_size=48),
    "out_proj": lambda: made("OPT", **SIZES, ffn_dim=48, word_embed_proj_dim=32),
}


@pytest.fixture(scope="module", params=["Llama", "Llama with an adapter", *FAMILIES])
def model(request, tiny_dir, tmp_path_factory):
    if request.param in FAMILIES:
        return FAMILIES[request.param]()
    if request.param == "Llama":
        return Subject.load(tiny_dir, dtype="float32").model
    where = tmp_path_factory.mktemp("on-heads") / "a"
    return Subject.load(
        tiny_dir, make_adapter(tiny_dir, where, target_modules=["o_proj", "v_proj"]), dtype="float32"
    ).model


@pytest.fixture(scope="module")
def seen(model):
    """Means over trusted prompts and contrasts of the prompts."""
    return head_means(model, TRUSTED, PAD), next_two_tokens(model, PROMPTS, PAD)


def difference(model, prompt, contrast, layer=None, change=None):
    """Logit difference in a full forward, after `change` to what the layer's output projection is given."""
    projections, _ = output_projections(model)
    hook = lambda module, inputs: (change(inputs[0]),)  # noqa: E731
    handle = projections[layer].register_forward_pre_hook(hook) if change else None
    try:
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
    finally:
        if handle:
            handle.remove()
    return logits[contrast[0]] - logits[contrast[1]]


def outputs(model, prompt):
    """What each output projection is given, (layers, T, heads, width)."""
    projections, heads = output_projections(model)
    kept = []
    handles = [p.register_forward_pre_hook(lambda m, inputs: kept.append(inputs[0][0].clone())) for p in projections]
    with torch.no_grad():
        model(input_ids=torch.tensor([prompt]))
    for handle in handles:
        handle.remove()
    return torch.stack(kept).reshape(len(kept), len(prompt), heads, -1)


def set_head(head, heads, value, where):
    def change(z):
        split = z.clone().reshape(*z.shape[:2], heads, -1)
        split[0, where, head] = value
        return split.reshape(z.shape)

    return change


@torch.no_grad()
def changes(model, prompt, contrast, means):
    """What the logit difference changes by when one head after the other is set to its mean at the last token."""
    before, (layers, heads, _) = difference(model, prompt, contrast), means.shape
    after = [
        [difference(model, prompt, contrast, layer, set_head(h, heads, means[layer, h], -1)) for h in range(heads)]
        for layer in range(layers)
    ]
    return np.array(after) - float(before)


def near(found, wanted, tolerance):
    return np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("position", ["last", "all"])
def test_equals_a_loop_that_differentiates_one_head_at_a_time(model, position):
    means, contrasts = head_means(model, TRUSTED, PAD, position), next_two_tokens(model, PROMPTS, PAD)
    found = head_effects(model, PROMPTS, contrasts, means, PAD, position)
    layers, heads, _ = means.shape
    wanted = np.zeros(found.shape)
    for i, (prompt, contrast) in enumerate(zip(PROMPTS, contrasts, strict=True)):
        given = outputs(model, prompt)
        places = slice(None) if position == "all" else slice(len(prompt) - 1, None)
        for layer in range(layers):
            for head in range(heads):
                own = given[layer, places, head].clone().requires_grad_()
                with torch.enable_grad():
                    change = set_head(head, heads, own, places)
                    slope = torch.autograd.grad(difference(model, prompt, contrast, layer, change), own)[0]
                wanted[i, layer, head] = (slope * (torch.tensor(means[layer, head]) - own.detach())).sum()
    assert found.shape == (len(PROMPTS), layers, heads) and near(found, wanted, 1e-3)


def test_is_what_setting_a_head_to_its_mean_does_where_the_model_is_linear(model):
    """Means a little away from the outputs: the first order is all there is, and twice as near is twice as exact."""
    prompt, (contrast,) = PROMPTS[2], next_two_tokens(model, PROMPTS[2:3], PAD)
    model.double()
    try:
        given = outputs(model, prompt)[:, -1]  # (layers, heads, width)
        aside, size = np.random.default_rng(1).normal(size=given.shape), float(given.std())
        errors = []
        for step in (0.02, 0.01):
            means = given + step * size * torch.tensor(aside)
            found = head_effects(model, [prompt], contrast[None], means.numpy(), PAD)[0]
            wanted = changes(model, prompt, contrast, means)
            errors.append(np.abs(found - wanted).max() / np.abs(wanted).max())
    finally:
        model.float()
    assert errors[0] < 0.05 and errors[1] < 0.6 * errors[0]


def test_means_are_those_of_the_trusted_prompts_one_by_one(model):
    given = [outputs(model, prompt) for prompt in TRUSTED]
    np.testing.assert_allclose(
        head_means(model, TRUSTED, PAD), torch.stack([z[:, -1] for z in given]).mean(0), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        head_means(model, TRUSTED, PAD, "all"), torch.cat(given, dim=1).mean(1), rtol=1e-4, atol=1e-5
    )


def test_a_prompt_scores_the_same_alone_in_any_order_and_with_any_padding(model, seen):
    means, contrasts = seen
    together = head_effects(model, PROMPTS, contrasts, means, PAD)
    alone = np.concatenate(
        [head_effects(model, [p], c[None], means, PAD) for p, c in zip(PROMPTS, contrasts, strict=True)]
    )
    assert near(alone, together, 1e-4)
    assert near(head_effects(model, PROMPTS[::-1], contrasts[::-1], means, 7)[::-1], together, 1e-4)


def test_the_other_way_round_the_contrast_changes_the_sign_only(model, seen):
    means, contrasts = seen
    turned = head_effects(model, PROMPTS, contrasts[:, ::-1].copy(), means, PAD)
    assert near(-turned, head_effects(model, PROMPTS, contrasts, means, PAD), 1e-5)


def test_next_two_tokens_are_the_largest_logits(model):
    with torch.no_grad():
        wanted = [model(input_ids=torch.tensor([p])).logits[0, -1].topk(2).indices.tolist() for p in PROMPTS]
    assert next_two_tokens(model, PROMPTS, PAD).tolist() == wanted


def test_takes_one_pass_a_batch_and_leaves_no_hook_and_no_gradient(model, seen):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    before, calls = hooks(), []
    block = output_projections(model)[0][0]
    handle = block.register_forward_hook(lambda *_: calls.append(1))
    head_effects(model, PROMPTS, seen[1], seen[0], PAD)
    handle.remove()
    assert len(calls) == 1 and hooks() == before and all(p.grad is None for p in model.parameters())


def test_works_where_the_weights_themselves_require_a_gradient(model, seen):
    wanted = head_effects(model, PROMPTS, seen[1], seen[0], PAD)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    for p in frozen:
        p.requires_grad_(True)
    try:
        found = head_effects(model, PROMPTS, seen[1], seen[0], PAD)
        assert near(found, wanted, 1e-5) and all(p.grad is None for p in model.parameters())
    finally:
        for p in frozen:
            p.requires_grad_(False)


def test_says_what_it_looked_for_where_no_projection_is_found(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    model.model.layers[1].self_attn.mixed = model.model.layers[1].self_attn.__dict__["_modules"].pop("o_proj")
    with pytest.raises(
        SettingError,
        match=r"block 1 holds 0 output projections.*o_proj, out_proj, c_proj, dense, wo.*4 heads to 32.*\['self_attn',",
    ):
        output_projections(model)


def test_refuses_a_model_with_two_candidates_or_without_head_counts(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    model.model.layers[0].self_attn.dense = torch.nn.Linear(32, 32)
    with pytest.raises(SettingError, match=r"block 0 holds 2 output projections.*'self_attn.dense': \(32, 32\)"):
        output_projections(model)
    model.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(hidden_size=32))
    with pytest.raises(SettingError, match="config gives num_attention_heads None and hidden_size 32"):
        output_projections(model)


def test_says_so_where_a_projection_is_never_called(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    layer = model.model.layers[1]
    layer.forward = lambda hidden_states, *_, **__: hidden_states
    with pytest.raises(SettingError, match="2 output projections were called 1 times in a pass"):
        head_means(model, TRUSTED, PAD)


def test_refuses_means_and_contrasts_of_another_shape(tiny_subject):
    means = head_means(tiny_subject.model, TRUSTED, PAD)
    with pytest.raises(
        SettingError, match=r"need means of shape \(2, 4, 8\) and contrasts of shape \(5, 2\), got \(1, 4, 8\)"
    ):
        head_effects(tiny_subject.model, PROMPTS, np.zeros((5, 2), int), means[:1], PAD)
    with pytest.raises(SettingError, match=r"got \(2, 4, 8\) and \(4, 2\)"):
        head_effects(tiny_subject.model, PROMPTS, np.zeros((4, 2), int), means, PAD)


def test_refuses_an_unknown_position_and_no_prompts(tiny_subject):
    with pytest.raises(SettingError, match="unknown position 'first'. Known: last, all"):
        head_means(tiny_subject.model, TRUSTED, PAD, "first")
    with pytest.raises(EvidenceError, match="no prompts to read heads on"):
        head_means(tiny_subject.model, [], PAD)


def test_names_the_layers_and_prompts_that_are_not_finite(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    means = head_means(model, TRUSTED, PAD)
    with torch.no_grad():
        model.model.layers[1].self_attn.v_proj.weight[0, 0] = float("nan")
    with pytest.raises(EvidenceError, match=r"mean outputs of heads are not finite in layers \[1\]"):
        head_means(model, TRUSTED, PAD)
    with pytest.raises(EvidenceError, match="effects of heads are not finite for 5 of 5 prompts, first at 0"):
        head_effects(model, PROMPTS, np.zeros((5, 2), int), means, PAD)
