"""Projected gradients, against gradients that autograd forms one example at a time and that are projected then."""

import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.activations import capture_answers
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.gradient_pass import GradientPass, loss_slope, project_gradients
from bumperlane.subjects.gradient_projection import ProjectionSettings, linear_sites, projection
from bumperlane.subjects.subject import Subject
from tiny import make_tiny_model
from tiny_adapter import make_adapter

PAD = 0


def rows_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Encoded(f"e{i}", tuple(int(t) for t in rng.integers(3, 250, prompt + answer)), prompt)
        for i, (prompt, answer) in enumerate(lengths)
    ]


ROWS = rows_of([(9, 3), (4, 1), (30, 12), (9, 7), (2, 20)])
EXACT = ProjectionSettings(k=4, dtype="float32", layers=(0, 1))


def gpt2():
    """Conv1D layers, and a head that shares the embedding's weight."""
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=259, n_positions=64, n_embd=32, n_layer=2, n_head=4))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("passes") / "base")


@pytest.fixture(scope="module", params=["linear", "conv1d", "lora"])
def model(request, base, tmp_path_factory):
    if request.param == "conv1d":
        return gpt2()
    adapter = make_adapter(base, tmp_path_factory.mktemp("passes-adapter") / "a") if request.param == "lora" else None
    return Subject.load(base, adapter, dtype="float32").model


@pytest.fixture
def plain(base):
    return Subject.load(base, dtype="float32").model


def explicit(model, row, settings):
    """The row's gradient at each site, formed by autograd and projected: (K,)."""
    sites = linear_sites(model)
    weights = [m.weight for m in sites.values()]
    for w in weights:
        w.requires_grad_(True)
    try:
        log_p = torch.log_softmax(model(input_ids=torch.tensor([row.tokens])).logits[0].float()[:-1], -1)
        answer = torch.arange(row.answer_start, len(row.tokens))
        losses = -log_p[answer - 1, torch.tensor(row.tokens)[answer]]
        grads = torch.autograd.grad(losses.mean() if settings.loss == "mean" else losses.sum(), weights)
    finally:
        for w in weights:
            w.requires_grad_(False)
    out = []
    for (name, module), grad in zip(sites.items(), grads, strict=True):
        g = (grad if isinstance(module, torch.nn.Linear) else grad.T).double().numpy()
        p_in, p_out = (projection(settings, f"{name}/{s}", d) for s, d in (("in", g.shape[1]), ("out", g.shape[0])))
        g = g if p_out is None else p_out.T.astype(float) @ g
        out.append((g if p_in is None else g @ p_in.astype(float)).ravel())
    return np.concatenate(out)


def gradients(model, rows, settings=EXACT, pad_id=PAD):
    found = {}
    for batch in project_gradients(model, rows, settings, pad_id):
        found |= dict(zip(batch.indices, batch.gradients, strict=True))
    return np.stack([found[i] for i in range(len(rows))])


def near(found, wanted, tolerance=1e-4):
    """Row by row, in units of the row's own length."""
    return (np.linalg.norm(found - wanted, axis=1) <= tolerance * np.linalg.norm(wanted, axis=1)).all()


def state(model):
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    return hooks, [m for m in model.modules() if "forward" in m.__dict__], [p.dtype for p in model.parameters()]


@pytest.mark.parametrize("loss", ["mean", "sum"])
@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_projected_gradients_are_those_that_autograd_forms_and_that_are_projected_then(model, kind, loss):
    settings = ProjectionSettings(k=4, kind=kind, loss=loss, dtype="float32")
    wanted = np.stack([explicit(model, row, settings) for row in ROWS])
    found = gradients(model, ROWS, settings)
    assert found.dtype == np.float32 and near(found, wanted)


def test_a_row_is_the_same_alone_padded_by_any_token_and_in_any_order(model):
    together = gradients(model, ROWS)
    for budget in (1, 60, 10_000):
        settings = ProjectionSettings(k=4, dtype="float32", token_budget=budget)
        assert near(gradients(model, ROWS, settings), together)
    assert near(gradients(model, ROWS[::-1])[::-1], together)
    assert near(gradients(model, ROWS, pad_id=PAD + 7), together)


def test_representations_come_out_of_the_same_pass(model):
    wanted = capture_answers(model, ROWS, [0, 1], PAD)
    for batch in project_gradients(model, ROWS, EXACT, PAD):
        for layer, rows in batch.representations.items():
            assert np.allclose(rows, wanted[layer][list(batch.indices)], atol=1e-5)


def test_sites_are_the_adapters_where_one_is_on_and_never_the_head_or_the_embedding(model):
    names = list(linear_sites(model))
    adapted = any("lora_" in name for name, _ in model.named_parameters())
    assert all((".lora_A." in n or ".lora_B." in n) == adapted for n in names) and len(names) in (14, 8, 16)
    weights = {id(m.weight) for m in linear_sites(model).values()}
    tied = {id(model.get_output_embeddings().weight), id(model.get_input_embeddings().weight)}
    assert len(tied) == 1 and not weights & tied


def test_an_adapter_that_is_switched_off_leaves_the_weights_under_their_own_names(base, tmp_path):
    subject = Subject.load(base, make_adapter(base, tmp_path / "a"), dtype="float32")
    bare = subject.sibling(None)
    settings = ProjectionSettings(k=4, dtype="float32")
    under = GradientPass(bare.model, settings, PAD)
    alone = Subject.load(base, dtype="float32").model
    assert under.columns == GradientPass(alone, settings, PAD).columns
    assert near(gradients(bare.model, ROWS, settings), gradients(alone, ROWS, settings))


def test_whole_gradients_of_an_adapter_need_no_projection(base, tmp_path):
    model = Subject.load(base, make_adapter(base, tmp_path / "a"), dtype="float32").model
    settings = ProjectionSettings(k=None, dtype="float32")
    assert near(gradients(model, ROWS, settings), np.stack([explicit(model, row, settings) for row in ROWS]))


def test_inner_products_are_right_on_average_over_projections(plain):
    whole = np.stack([explicit(plain, row, ProjectionSettings(k=10**6)) for row in ROWS])
    wanted = whole @ whole.T
    found = []
    for seed in range(60):
        rows = gradients(plain, ROWS, ProjectionSettings(k=4, seed=seed, dtype="float32")).astype(float)
        found.append(rows @ rows.T)
    error = np.std(found, axis=0) / np.sqrt(60)
    assert (np.abs(np.mean(found, axis=0) - wanted) < 4 * error).all()


def test_bfloat16_is_near_float32_and_gives_the_weights_back(plain):
    before = state(plain)
    assert all(p.dtype == torch.float32 for p in plain.parameters())
    rough, exact = gradients(plain, ROWS, ProjectionSettings(k=4, dtype="bfloat16")), gradients(plain, ROWS)
    cosine = (rough * exact).sum(1) / np.linalg.norm(rough, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.995 and not near(rough, exact)
    assert state(plain)[1:] == before[1:]


def test_leaves_the_model_as_it_was_even_between_batches_and_after_an_error(model):
    gradients(model, ROWS[:1])  # transformers hangs its own hooks in at the first call
    before = state(model)
    for _ in project_gradients(model, ROWS, ProjectionSettings(k=4, dtype="float32", token_budget=40), PAD):
        assert state(model) == before
    with pytest.raises(IndexError):
        gradients(model, [Encoded("far", (1, 10**6), 1)])
    assert state(model) == before and all(p.grad is None for p in model.parameters())


def test_the_slope_of_the_loss_is_autograds_for_a_plain_head_and_for_any_other(monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head, hidden, weight = torch.nn.Linear(8, 50), torch.randn(9, 8), torch.rand(9)
        targets = torch.randint(0, 50, (9,))
    inner = hidden.clone().requires_grad_()
    losses = torch.nn.functional.cross_entropy(head(inner), targets, reduction="none")
    wanted = torch.autograd.grad((weight * losses).sum(), inner)[0]
    monkeypatch.setattr("bumperlane.subjects.gradient_pass.HEAD_BYTES", 4 * 50 * 2)  # two tokens at a time
    head.requires_grad_(False)
    wrapped = torch.nn.Sequential(head, torch.nn.Identity())
    for way in (head, wrapped):
        assert torch.allclose(loss_slope(way, hidden, targets, weight), wanted, atol=1e-6)


def test_a_token_that_the_model_is_sure_of_keeps_its_slope_in_bfloat16():
    """1 - 0.9997 is nought in bfloat16; the sum of what the other tokens have is not."""
    head = torch.nn.Linear(4, 6, bias=False).requires_grad_(False)
    head.weight.copy_(8.1 * torch.eye(6, 4) + 0.5 * torch.eye(6, 4).roll(1, 0))
    hidden, targets = torch.eye(4)[:2].clone() + 0.25, torch.tensor([0, 1])
    exact = loss_slope(head, hidden, targets, torch.ones(2))
    rough = loss_slope(head.bfloat16(), hidden.bfloat16(), targets, torch.ones(2)).float()
    assert torch.nn.functional.cosine_similarity(exact, rough).min() > 0.999
    assert torch.allclose(exact.norm(dim=1), rough.norm(dim=1), rtol=0.05)


def test_chosen_sites_are_taken_alone(plain):
    every = GradientPass(plain, EXACT, PAD)
    chosen = ("1.mlp.down_proj", "0.self_attn.q_proj")
    some = gradients(plain, ROWS, ProjectionSettings(k=4, sites=chosen, dtype="float32"))
    whole = gradients(plain, ROWS)
    assert near(some, np.concatenate([whole[:, every.columns[name]] for name in chosen], axis=1))


def test_a_layer_that_two_blocks_share_is_one_site_whose_uses_add_up(plain):
    plain.model.layers[1].mlp = plain.model.layers[0].mlp
    assert len(linear_sites(plain)) == 11
    wanted = np.stack([explicit(plain, row, EXACT) for row in ROWS])
    assert near(gradients(plain, ROWS), wanted)


class Flat(torch.nn.Module):
    """As some models do: all tokens of the batch one below the other."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.reshape(-1, x.shape[-1])).view(x.shape)


def test_tokens_that_are_laid_flat_are_told_apart(plain):
    plain.model.layers[1].mlp = Flat(plain.model.layers[1].mlp)
    assert near(gradients(plain, ROWS), np.stack([explicit(plain, row, EXACT) for row in ROWS]))


class Routed(torch.nn.Module):
    """A mixture of one expert that sees some of the tokens only."""

    def __init__(self, expert):
        super().__init__()
        self.expert = expert

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1]).clone()
        flat[1::2] = self.expert(flat[1::2])
        return flat.view(x.shape)


def test_refuses_a_layer_that_nobody_can_say_whose_tokens_it_takes(plain):
    plain.model.layers[1].mlp = Routed(torch.nn.Linear(32, 32).requires_grad_(False))
    with pytest.raises(SettingError, match=r"site 1.mlp.expert takes \(\d+, 32\) for a batch of .*routed experts"):
        gradients(plain, ROWS)


def test_refuses_layers_that_the_loss_does_not_reach(plain):
    plain.model.layers[1].unused = torch.nn.Linear(4, 4).requires_grad_(False)
    with pytest.raises(SettingError, match="1 of 15 linear layers take no part in the answer's loss, first 1.unused"):
        gradients(plain, ROWS)


def test_refuses_random_gradients(plain):
    plain.model.layers[0].dropout = torch.nn.Dropout(0.1)
    plain.train()
    with pytest.raises(SettingError, match=r"1 dropout layers are switched on.*Call eval\(\)"):
        gradients(plain, ROWS)


def test_refuses_float32_of_weights_that_are_not(plain):
    with pytest.raises(SettingError, match="a float32 pass needs float32 weights, and 20 tensors are torch.bfloat16"):
        gradients(plain.bfloat16(), ROWS)


def test_refuses_rows_without_an_answer_and_names_them(plain):
    with pytest.raises(EvidenceError, match=r"2 examples have no answer token.*first \['none', 'start'\]"):
        gradients(plain, [ROWS[0], Encoded("none", (4, 5), 2), Encoded("start", (4, 5), 0)])


def test_names_the_rows_whose_gradients_are_not_finite(plain):
    plain.model.embed_tokens.weight[ROWS[1].tokens[0]] = float("inf")
    with pytest.raises(EvidenceError, match="gradients are not finite for .*'e1'.*Check the checkpoint for overflow"):
        gradients(plain, ROWS)
