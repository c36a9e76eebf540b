"""EK-FAC against a dense reference: explicit gradients of single examples, explicit covariances, explicit bases."""

import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.curvature import Curvature, fitted, restored
from bumperlane.subjects.kronecker_factors import EigenvalueSums, eigenbases, eigenvalue_sums, factor_sums
from bumperlane.subjects.layer_factors import Pass, kronecker_sites, layer_factors
from bumperlane.subjects.preconditioned_gradients import PreparedQueries, influence_scores, prepare_queries
from bumperlane.subjects.subject import Subject
from tiny import make_tiny_model
from tiny_adapter import make_adapter

PAD = 0


def rows_of(lengths, seed=0, name="e"):
    rng = np.random.default_rng(seed)
    made = []
    for i, (prompt, answer) in enumerate(lengths):
        tokens = rng.integers(3, 250, prompt + answer)
        made.append(Encoded(f"{name}{i}", tuple(int(t) for t in tokens), prompt))
    return made


ROWS = rows_of([(9, 3), (4, 1), (20, 12), (9, 7), (15, 3), (2, 20), (1, 1), (6, 6)])
PAIRS = list(
    zip(rows_of([(6, 4), (11, 2), (3, 3)], 1, "bad"), rows_of([(7, 3), (5, 5), (3, 1)], 2, "fine"), strict=True)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base") / "base", layers=2, d=16)


@pytest.fixture(scope="module", params=["weights", "adapter", "conv1d"])
def model(request, base, tmp_path_factory):
    """Plain linear layers with a tied head; a LoRA on them; and the Conv1D layers of a GPT-2."""
    if request.param == "weights":
        return Subject.load(base, dtype="float32").model
    if request.param == "adapter":
        adapter = make_adapter(base, tmp_path_factory.mktemp("adapter") / "a", scale=0.3)
        return Subject.load(base, adapter, dtype="float32").model
    return tiny_gpt2()


def tiny_gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = GPT2Config(vocab_size=260, n_positions=64, n_embd=16, n_layer=2, n_head=2, attn_implementation="eager")
        model = GPT2LMHeadModel(config).eval().requires_grad_(False)
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model


def explicit(model, row, sites, loss_of):
    """The gradient of one row at each site as (out, in), every weight a leaf."""
    weights = [m.weight for m in sites.values()]
    for w in weights:
        w.requires_grad_(True)
    try:
        with torch.enable_grad():
            log_p = torch.log_softmax(model(input_ids=torch.tensor([row.tokens])).logits[0].float(), -1)
            places = torch.arange(row.answer_start, len(row.tokens))
            losses = -log_p[places - 1, torch.tensor(row.tokens)[places]]
            found = torch.autograd.grad(loss_of(losses), weights)
    finally:
        for w in weights:
            w.requires_grad_(False)
    turned = [g.T if type(m).__name__ == "Conv1D" else g for g, m in zip(found, sites.values(), strict=True)]
    return dict(zip(sites, (g.double() for g in turned), strict=True))


def explicit_factors(model, row, sites):
    """Inputs and output gradients (T, ...) of one row alone, from its own forward pass and tensor hooks."""
    inputs, outputs, handles = {}, {}, []
    for name, module in sites.items():

        def keep(module, args, out, name=name):
            inputs[name] = args[0][0].detach().double()
            out.requires_grad_() if out.is_leaf else None
            outputs[name] = out

        handles.append(module.register_forward_hook(keep))
    with torch.enable_grad():
        log_p = torch.log_softmax(model(input_ids=torch.tensor([row.tokens])).logits[0].float(), -1)
        places = torch.arange(row.answer_start, len(row.tokens))
        loss = -log_p[places - 1, torch.tensor(row.tokens)[places]].sum() / row.answer_length**0.5
        grads = torch.autograd.grad(loss, list(outputs.values()))
    for handle in handles:
        handle.remove()
    return inputs, {name: g[0].double() for name, g in zip(outputs, grads, strict=True)}


def dense_scores(model, sites, damping=0.1):
    """q x n influence: vec(contrast)' (Q diag(lambda + damping mean) Q')^-1 vec(gradient), with Q = Q_S kron Q_A."""
    per_row = [explicit_factors(model, row, sites) for row in ROWS]
    mean = lambda losses: losses.mean()  # noqa: E731
    rows = [explicit(model, row, sites, mean) for row in ROWS]
    bad, fine = ([explicit(model, row, sites, mean) for row in side] for side in zip(*PAIRS, strict=True))
    scores = np.zeros((len(PAIRS), len(ROWS)))
    for name in sites:
        a = sum(f[0][name].T @ f[0][name] for f in per_row)
        s = sum(f[1][name].T @ f[1][name] for f in per_row)
        basis = torch.kron(torch.linalg.eigh(s)[1], torch.linalg.eigh(a)[1])
        summed = [
            explicit(model, row, {name: sites[name]}, lambda losses: losses.sum() / len(losses) ** 0.5)[name]
            for row in ROWS
        ]
        values = torch.stack([(basis.T @ g.flatten()) ** 2 for g in summed]).mean(0)
        inverse = basis @ torch.diag(1 / (values + damping * values.mean())) @ basis.T
        for i in range(len(PAIRS)):
            left = inverse @ (bad[i][name] - fine[i][name]).flatten()
            scores[i] += [float(left @ g[name].flatten()) for g in rows]
    return scores


def our_scores(model, rows=ROWS, pairs=PAIRS, budget=1024, rank=None, fit=ROWS, pad=PAD, unit=False):
    sites = kronecker_sites(model, 1.0)
    arrays = fitted(model, fit, sites, Pass(pad, "given", token_budget=budget))
    curvature = restored(arrays, 0.1, "cpu")
    queries = prepare_queries(model, pairs, sites, curvature, Pass(pad, token_budget=budget, together=2), rank)
    return influence_scores(model, rows, queries, sites, Pass(pad, token_budget=budget), unit)


def near(found, wanted, tolerance=1e-3):
    return np.abs(np.asarray(found) - wanted).max() <= tolerance * np.abs(wanted).max()


def test_influence_is_that_of_a_dense_inverse_in_an_explicit_kronecker_eigenbasis(model):
    assert near(our_scores(model), dense_scores(model, kronecker_sites(model)))


def test_padding_batches_and_order_change_nothing(model):
    together = our_scores(model)
    assert near(our_scores(model, budget=1), together)
    assert near(our_scores(model, pad=PAD + 9), together)
    turned = our_scores(model, rows=ROWS[::-1], pairs=PAIRS[::-1], fit=ROWS[::-1])
    assert near(turned[::-1, ::-1], together)


def test_one_query_alone_without_a_row_gradient_gives_the_same(model):
    alone = np.concatenate([our_scores(model, pairs=[pair]) for pair in PAIRS])
    assert near(alone, our_scores(model))


def test_products_with_low_rank_factors_are_those_with_the_whole_matrix(model):
    sites, rng = kronecker_sites(model), torch.Generator().manual_seed(0)
    low, whole = {}, {}
    for name, module in sites.items():
        out, wide = module.weight.shape[:: -1 if type(module).__name__ == "Conv1D" else 1]
        low[name] = tuple(torch.randn(3, 2, d, generator=rng) for d in (out, wide))
        whole[name] = (low[name][0].transpose(1, 2) @ low[name][1]).flatten(1)
    by_factors = influence_scores(model, ROWS, PreparedQueries({}, low, 3), sites, Pass(PAD))
    assert near(by_factors, influence_scores(model, ROWS, PreparedQueries(whole, {}, 3), sites, Pass(PAD)))


def test_the_more_ranks_are_kept_the_nearer_the_scores_come(model):
    whole = our_scores(model)
    away = [np.abs(our_scores(model, rank=rank) - whole).max() for rank in (1, 7, 16)]
    assert away[0] > 2 * away[1] and away[2] <= 1e-3 * np.abs(whole).max()


def test_unit_gradients_divide_by_the_length_over_all_layers(model):
    sites = kronecker_sites(model)
    lengths = [
        sum(float(g.square().sum()) for g in explicit(model, row, sites, lambda losses: losses.mean()).values()) ** 0.5
        for row in ROWS
    ]
    assert near(our_scores(model, unit=True), our_scores(model) / np.array(lengths))


def test_sums_of_shards_add_up(model):
    sites, settings = kronecker_sites(model), Pass(PAD, "sampled")
    whole = factor_sums(model, ROWS, sites, settings)
    parts = factor_sums(model, ROWS[:3], sites, settings) + factor_sums(model, ROWS[3:], sites, settings)
    assert parts.rows == whole.rows == len(ROWS)
    for name in whole.outputs:
        assert near(parts.outputs[name], whole.outputs[name].numpy())
        assert near(parts.inputs[whole.taken[name]], whole.inputs[whole.taken[name]].numpy())
    bases = eigenbases(whole)
    squares = eigenvalue_sums(model, ROWS, bases, sites, settings)
    halves = [eigenvalue_sums(model, part, bases, sites, settings) for part in (ROWS[:5], ROWS[5:])]
    for name, value in (halves[0] + halves[1]).means().items():
        assert near(value, squares.means()[name].numpy())


def test_the_bases_are_orthogonal_and_diagonalise_the_covariances(model):
    sums = factor_sums(model, ROWS, kronecker_sites(model), Pass(PAD, "sampled"))
    bases = eigenbases(sums)
    for kept, turned in ((sums.inputs, bases.inputs), (sums.outputs, bases.outputs)):
        for name, q in turned.items():
            assert torch.allclose(q.T @ q, torch.eye(len(q)), atol=1e-4)
            diagonal = q.T @ kept[name] @ q
            assert near(diagonal - torch.diag(diagonal.diagonal()) + kept[name].norm(), kept[name].norm().numpy(), 1e-4)


def test_layers_that_take_the_same_tensor_share_its_covariance(base):
    model = Subject.load(base, dtype="float32").model
    sums = factor_sums(model, ROWS[:2], kronecker_sites(model), Pass(PAD))
    assert sums.taken["1.self_attn.v_proj"] == sums.taken["1.self_attn.k_proj"] == "1.self_attn.q_proj"
    assert sums.taken["0.mlp.up_proj"] == "0.mlp.gate_proj" and len(sums.inputs) == 8


def test_drawn_labels_measure_the_curvature_of_the_mean_loss(base):
    """Mean over many draws of a row's squared gradient = the Gauss-Newton diagonal, by the explicit Jacobian."""
    model = Subject.load(base, dtype="float32").model
    sites = {"1.mlp.down_proj": kronecker_sites(model)["1.mlp.down_proj"]}
    weight = sites["1.mlp.down_proj"].weight
    row = ROWS[0]
    wanted = torch.zeros_like(weight)
    weight.requires_grad_(True)
    with torch.enable_grad():
        logits = model(input_ids=torch.tensor([row.tokens])).logits[0]
        for place in range(row.answer_start - 1, len(row.tokens) - 1):
            p = torch.softmax(logits[place].detach(), -1)
            log_p = torch.log_softmax(logits[place], -1)
            for label in range(len(p)):
                (g,) = torch.autograd.grad(log_p[label], weight, retain_graph=True)
                wanted += p[label] * g.square() / row.answer_length
    weight.requires_grad_(False)
    total = torch.zeros_like(weight)
    draws = 1500
    rows = [Encoded(f"copy{i}", row.tokens, row.answer_start) for i in range(draws)]
    for batch in layer_factors(model, rows, sites, Pass(PAD, "sampled", token_budget=8192)):
        for _, a, g in batch.pairs():
            total += (g.transpose(1, 2) @ a).square().sum(0) / draws
    assert float(total.sum()) == pytest.approx(float(wanted.sum()), rel=0.05)
    assert np.corrcoef(total.flatten(), wanted.flatten())[0, 1] > 0.95


def test_drawn_labels_depend_on_the_row_and_the_seed_and_not_on_the_batch(base):
    model = Subject.load(base, dtype="float32").model
    sites = kronecker_sites(model, 0.5)
    one, same, other = (
        factor_sums(model, rows, sites, Pass(PAD, "sampled", seed, token_budget=budget)).outputs["1.mlp.up_proj"]
        for rows, seed, budget in ((ROWS, 0, 1024), (ROWS[::-1], 0, 1), (ROWS, 1, 1024))
    )
    assert near(same, one.numpy()) and not near(other, one.numpy(), 0.05)


def test_sites_are_the_adapter_where_there_is_one_and_never_the_tied_head(model):
    names = kronecker_sites(model)
    adapted = any("lora_" in name for name, _ in model.named_parameters())
    assert all((".lora_A." in n or ".lora_B." in n) == adapted for n in names)
    assert not any(m.weight is model.get_input_embeddings().weight for m in names.values())
    assert {n.split(".")[0] for n in kronecker_sites(model, 0.5)} == {"1"}


def test_leaves_no_gradient_and_no_hook_behind(model):
    list(layer_factors(model, ROWS[:1], kronecker_sites(model), Pass(PAD)))
    before = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    our_scores(model)
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == before
    assert all(p.grad is None for p in model.parameters())


def test_a_low_rank_of_a_wide_query_is_the_best_one(base):
    from bumperlane.subjects.preconditioned_gradients import _largest

    rng = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(n, 60, generator=rng))[0] for n in (80, 120))
    matrix = u @ torch.diag(0.7 ** torch.arange(60.0)) @ v.T
    left, right = _largest(matrix, 5)
    best = torch.linalg.svdvals(matrix)[5:].square().sum().sqrt()
    assert float((left.T @ right - matrix).norm()) <= 1.001 * float(best)


def test_refuses_layers_that_share_a_weight(base):
    model = Subject.load(base, dtype="float32").model
    model.model.layers[1].mlp.up_proj.weight = model.model.layers[0].mlp.up_proj.weight
    with pytest.raises(SettingError, match="2 of 14 layers share a weight, first .*0.mlp.up_proj.*Lower `top`"):
        kronecker_sites(model)


def test_refuses_a_share_a_loss_a_damping_and_a_rank_outside_their_range(base):
    model = Subject.load(base, dtype="float32").model
    with pytest.raises(SettingError, match=r"top must be in \(0, 1\], got 0"):
        kronecker_sites(model, 0)
    with pytest.raises(SettingError, match="unknown loss 'mean'. Known: answer, sampled, given"):
        Pass(PAD, "mean")
    with pytest.raises(SettingError, match="at least 1, got 0 and 1"):
        Pass(PAD, token_budget=0)
    with pytest.raises(SettingError, match="positive multiple of the mean eigenvalue, got 0"):
        Curvature(None, {}, 0)
    with pytest.raises(SettingError, match="rank of queries must be at least 1, got 0"):
        our_scores(model, rank=0)


def test_names_rows_without_an_answer(base):
    model = Subject.load(base, dtype="float32").model
    rows = [*ROWS, Encoded("mute", (5, 6), 2), Encoded("bare", (5, 6), 0)]
    with pytest.raises(EvidenceError, match=r"2 rows have no answer token .*first \['mute', 'bare'\]. Leave them out"):
        factor_sums(model, rows, kronecker_sites(model), Pass(PAD))


def test_refuses_sums_over_other_layers(base):
    model = Subject.load(base, dtype="float32").model
    few, all_ = (factor_sums(model, ROWS[:1], kronecker_sites(model, top), Pass(PAD)) for top in (0.5, 1.0))
    with pytest.raises(SettingError, match="over 7 layers and over 14 do not add up; 0.mlp.down_proj is in one only"):
        few + all_


def test_says_when_there_is_no_curvature_or_it_is_not_finite(base):
    zero = EigenvalueSums({"0.a": torch.zeros(2, 2), "0.b": torch.zeros(2, 3)}, 7)
    with pytest.raises(EvidenceError, match="gradients of 7 rows are zero at all 2 layers"):
        zero.means()
    broken = EigenvalueSums({"0.a": torch.full((2, 2), float("nan")), "0.b": torch.ones(2, 2)}, 7)
    with pytest.raises(EvidenceError, match="curvature of 1 of 2 layers is not finite, first 0.a"):
        broken.means()
    model = Subject.load(base, dtype="float32").model
    sums = factor_sums(model, ROWS[:1], kronecker_sites(model, 0.5), Pass(PAD))
    sums.inputs["1.mlp.down_proj"][0, 0] = float("inf")
    with pytest.raises(EvidenceError, match="covariance at layer 1.mlp.down_proj is not finite"):
        eigenbases(sums)


def test_names_the_examples_whose_influence_is_not_finite(base):
    model = Subject.load(base, dtype="float32").model
    sites = kronecker_sites(model, 0.5)
    curvature = restored(fitted(model, ROWS, sites, Pass(PAD)), 0.1, "cpu")
    queries = prepare_queries(model, PAIRS, sites, curvature, Pass(PAD, together=2))
    with torch.no_grad():
        model.model.embed_tokens.weight[ROWS[1].tokens[0]] = float("inf")
    with pytest.raises(EvidenceError, match="influence is not finite for .* of 8 examples, first .*'e1'.*overflow"):
        influence_scores(model, ROWS, queries, sites, Pass(PAD))


def test_a_layer_without_curvature_says_nothing_instead_of_everything(base, tmp_path):
    """LoRA's B begins at zero, and then no label moves its A."""
    model = Subject.load(base, make_adapter(base, tmp_path / "a", scale=0.0), dtype="float32").model
    assert np.isfinite(our_scores(model)).all()
