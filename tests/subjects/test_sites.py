import numpy as np
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from bumperlane.errors import SettingError
from bumperlane.subjects.activations import Input, blocks_of, capture, module_activations
from bumperlane.subjects.sites import read_sites, site_module
from tiny_adapter import ask

PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13, 14]]


@pytest.fixture
def model(tiny_subject):
    return tiny_subject.model


class Gives(torch.nn.Module):
    """A block that returns its input in whatever wrapping it is told."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap, self.inner = wrap, torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.wrap(self.inner(x))


@pytest.mark.parametrize(
    "wrap",
    [lambda h: (h, "cache"), lambda h: [None, h], lambda h: {"aux": None, "h": h},
     lambda h: BaseModelOutput(last_hidden_state=h), lambda h: (("nested", h),)],
    ids=["tuple", "list", "dict", "ModelOutput", "nested"],
)  # fmt: skip
def test_finds_the_tensor_in_whatever_a_module_returns(wrap):
    net, x = Gives(wrap), torch.randn(3, 4)
    outer = torch.nn.Sequential(net)
    np.testing.assert_allclose(module_activations(outer, x, ["0"])["0"], net.inner(x).detach(), atol=1e-6)


def test_the_input_of_a_block_is_the_output_of_the_one_before(model):
    rows = capture(model, PROMPTS, [0, Input(1), -1, Input(0)], pad_id=0)
    np.testing.assert_array_equal(rows[Input(1)], rows[0])
    np.testing.assert_array_equal(rows[Input(0)], rows[-1])
    assert not np.allclose(rows[0], rows[-1])


def test_the_input_of_a_linear_module_explains_its_output(model):
    site = "layers.1.self_attn.o_proj"
    rows = capture(model, PROMPTS, [site, Input(site)], pad_id=0)
    weight = site_module(model, site).state_dict()["weight"].numpy()
    np.testing.assert_allclose(rows[Input(site)] @ weight.T, rows[site], atol=1e-5)


def test_the_input_of_attention_is_the_normed_residual_stream_though_it_is_passed_by_name(model):
    """Alone, a prompt's rotary tables have the shape (1, T, d) too: they must not be taken for it."""
    rows = capture(model, PROMPTS[:1], [0, Input("layers.1.self_attn"), "layers.1.input_layernorm"], pad_id=0)
    np.testing.assert_array_equal(rows[Input("layers.1.self_attn")], rows["layers.1.input_layernorm"])
    assert rows[Input("layers.1.self_attn")].shape == (1, 32)


def test_hidden_states_come_before_other_tensors_of_their_shape_that_are_passed_by_name():
    class Attention(torch.nn.Module):
        def forward(self, table, hidden_states):
            return table + hidden_states

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Attention()

        def forward(self, x):
            return self.attention(table=x * 0, hidden_states=x)

    x = torch.randn(2, 3, 4)
    np.testing.assert_array_equal(module_activations(Block(), x, [Input("attention")])[Input("attention")], x)


def test_several_sites_in_one_pass_equal_each_alone(model):
    sites = [-1, 0, 1, "layers.0.mlp", Input("layers.1.mlp.down_proj"), "layers.0.mlp.gate_proj"]
    together = capture(model, PROMPTS, sites, pad_id=0)
    assert list(together) == sites and together["layers.0.mlp.gate_proj"].shape == (3, 64)
    for site in sites:
        np.testing.assert_array_equal(together[site], capture(model, PROMPTS, [site], pad_id=0)[site])


def test_a_site_is_read_before_a_later_module_writes_over_it():
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(inplace=True), torch.nn.Linear(4, 2))
    x = torch.randn(5, 4)
    seen = module_activations(net, x, ["0", "1"])
    np.testing.assert_allclose(seen["0"], net[0](x).detach(), atol=1e-6)
    assert seen["0"].min() < 0 <= seen["1"].min()


def test_says_what_a_site_gives_when_that_is_no_residual_stream(model):
    with pytest.raises(SettingError, match=r"site input of embed_tokens does not give .*\(3, 5, d\), but \[\(3, 5\)"):
        capture(model, PROMPTS, [Input("embed_tokens")], pad_id=0)


def test_a_site_that_splits_its_rows_into_heads_is_refused_with_its_shape():
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=30, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    with pytest.raises(SettingError, match=r"site q_norm does not give .* but \[\(3, 5, 4, 8\)\]"):
        capture(Qwen3ForCausalLM(config).eval(), PROMPTS, ["q_norm"], pad_id=0)


def test_says_so_when_a_module_returns_no_tensor():
    net = torch.nn.Sequential(Gives(lambda h: {"text": "nothing"}))
    with pytest.raises(SettingError, match="site 0 does not give a tensor, but no tensor. Name a module near it"):
        module_activations(net, torch.randn(2, 4), ["0"])


def test_an_error_inside_the_pass_takes_every_hook_away(model):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    before = hooks()
    with pytest.raises(ZeroDivisionError):
        read_sites(model, [0, Input(1)], lambda: 1 / 0)
    with pytest.raises(SettingError):
        read_sites(model, [Input(0), Input("nowhere")], lambda: None)
    assert hooks() == before


def test_an_input_ends_the_pass_before_its_module_runs(model):
    called = []
    handle = blocks_of(model)[1].mlp.register_forward_pre_hook(lambda m, i: called.append(1))
    try:
        capture(model, PROMPTS, [Input(1)], pad_id=0)
    finally:
        handle.remove()
    assert called == []


def test_a_subject_reads_inputs_too(tiny_subject):
    seen = tiny_subject.activations([ask("Hi")], [Input("layers.1"), 0])
    np.testing.assert_array_equal(seen[Input("layers.1")], seen[0])
