import numpy as np
import pytest
import torch

from bumperlane.errors import SettingError
from bumperlane.subjects.activations import blocks_of, capture, module_activations, pool, read_sites, site_module
from bumperlane.subjects.chat import encode_prompt
from bumperlane.types import Context
from tiny_adapter import ask

ITEMS = [ask("Hi"), ask("What is two and two?"), ask("Name a colour, please.", Context("c", "x", None))]


@pytest.fixture
def subject(tiny_subject, adapter_dirs):
    return tiny_subject.sibling(adapter_dirs[0])


@pytest.fixture
def prompts(subject):
    return [encode_prompt(subject.tokenizer, i.request, i.context) for i in ITEMS]


def hidden_states(model, prompt):
    with torch.no_grad():
        return model(torch.tensor([prompt]), output_hidden_states=True).hidden_states


@pytest.mark.parametrize("position", ["last", "mean"])
def test_equals_the_hidden_states_of_one_unpadded_prompt_at_a_time(subject, prompts, position):
    rows = subject.activations(ITEMS, [-1, 0], position)
    for site in (-1, 0):
        states = [hidden_states(subject.model, p)[site + 1][0] for p in prompts]
        by_hand = [s[-1] if position == "last" else s.mean(0) for s in states]
        np.testing.assert_allclose(rows[site], torch.stack(by_hand), atol=1e-5)
        assert rows[site].dtype == np.float32


def test_after_the_last_block_stands_the_residual_stream_before_the_final_norm(subject, prompts):
    rows = torch.tensor(subject.activations(ITEMS, [1])[1])
    normed = torch.stack([hidden_states(subject.model, p)[-1][0, -1] for p in prompts])
    np.testing.assert_allclose(subject.model.base_model.model.model.norm(rows), normed, atol=1e-5)


def test_a_forward_stops_after_the_last_site_and_runs_through_all_before_it(subject):
    called = []
    blocks = blocks_of(subject.model)
    handles = [b.register_forward_pre_hook(lambda m, i, n=n: called.append(n)) for n, b in enumerate(blocks)]
    try:
        subject.activations(ITEMS[:1], [0])
        assert called == [0]
        subject.activations(ITEMS[:1], [1])
        assert called == [0, 0, 1]
    finally:
        for handle in handles:
            handle.remove()


def test_stopping_early_leaves_nothing_behind_in_the_model(subject, prompts):
    def hooks():
        return sum(len(m._forward_hooks) for m in subject.model.modules())

    before, hooked = hidden_states(subject.model, prompts[0])[-1], hooks()
    subject.activations(ITEMS, [0])
    with pytest.raises(SettingError):
        subject.activations(ITEMS, [0, "nowhere"])
    assert hooks() == hooked
    torch.testing.assert_close(hidden_states(subject.model, prompts[0])[-1], before, atol=0, rtol=0)


def test_company_and_order_do_not_change_a_row(subject, prompts):
    together = subject.activations(ITEMS, [1])[1]
    alone = np.concatenate([subject.activations([item], [1])[1] for item in ITEMS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(subject.activations(ITEMS[::-1], [1])[1][::-1], together, atol=1e-5)
    np.testing.assert_allclose(capture(subject.model, prompts, [1], pad_id=7)[1], together, atol=1e-5)


def test_a_named_site_is_found_by_the_end_of_its_name(subject):
    rows = subject.activations(ITEMS, ["layers.1.mlp", 0, 1, "layers.1"])
    assert rows["layers.1.mlp"].shape == (3, 32)
    np.testing.assert_array_equal(rows["layers.1"], rows[1])
    assert not np.allclose(rows["layers.1.mlp"], rows[1])


@pytest.mark.parametrize("side", ["left", "right"])
def test_pools_the_last_and_the_mean_of_unmasked_tokens_with_padding_on_either_side(side):
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[1, 1, 1], [0, 1, 1] if side == "left" else [1, 1, 0]])
    kept = [hidden[1, 1:] if side == "left" else hidden[1, :2]][0]
    assert pool(hidden, mask, "last").tolist() == [[4, 5], kept[-1].tolist()]
    assert pool(hidden, mask, "mean").tolist() == [[2, 3], kept.mean(0).tolist()]


def test_reads_any_torch_module_at_named_sites(tiny_dir):
    from bumperlane.subjects.subject import Subject

    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x = torch.randn(5, 3)
    found = module_activations(net, x, ["0", "1"])
    np.testing.assert_allclose(found["1"], net[0](x).relu().detach(), atol=1e-6)
    np.testing.assert_array_equal(Subject.load(net).activations(x, ["1"])["1"], found["1"])


def test_the_blocks_are_the_outermost_list_and_not_the_experts_inside():
    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(8))

    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList(Block() for _ in range(3))
    assert blocks_of(model) is model.layers


def test_an_unknown_site_lists_what_is_near(subject):
    with pytest.raises(SettingError, match=r"site 'layers.1.mpl' names 0 modules. Near it: .*layers.1.mlp"):
        site_module(subject.model, "layers.1.mpl")


def test_a_site_that_is_meant_twice_is_refused(subject):
    with pytest.raises(SettingError, match="site 'mlp' names 2 modules"):
        site_module(subject.model, "mlp")


@pytest.mark.parametrize("site", [2, -2])
def test_a_layer_outside_the_model_is_refused(subject, site):
    with pytest.raises(SettingError, match=rf"layer {site} is outside 0\.\.1"):
        site_module(subject.model, site)


def test_a_module_without_blocks_has_no_layer_numbers():
    with pytest.raises(SettingError, match="no list of blocks.*Name the site instead"):
        site_module(torch.nn.Linear(2, 2), 0)


def test_says_which_sites_a_forward_pass_never_reached():
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    with pytest.raises(SettingError, match=r"sites \['1'\] were not reached"):
        read_sites(net, ["0", "1"], lambda: net[0](torch.zeros(1, 3)))


def test_refuses_a_position_it_does_not_know(subject):
    with pytest.raises(SettingError, match="unknown position 'first'. Known: last, mean"):
        subject.activations(ITEMS, [0], "first")
