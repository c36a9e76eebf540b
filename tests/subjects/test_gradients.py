"""Gradients from factors, against gradients that autograd forms one example at a time."""

import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.gradients import gradient_similarity, gradient_sites, mean_gradient
from bumperlane.subjects.subject import Subject
from tiny import make_tiny_model
from tiny_adapter import make_adapter

PAD = 0


def rows_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for i, (prompt, answer) in enumerate(lengths):
        tokens = rng.integers(3, 250, prompt + answer)
        made.append(Encoded(f"e{i}", tuple(int(t) for t in tokens), prompt))
    return made


ROWS = rows_of([(9, 3), (4, 1), (30, 12), (9, 7), (15, 3), (2, 20)])
QUERY = rows_of([(6, 4), (11, 2)], seed=1)


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("deep") / "base", layers=4)


@pytest.fixture(scope="module", params=["weights", "adapter"])
def model(request, deep, tmp_path_factory):
    """A model with four blocks: plain linear layers, or one that wears a LoRA adapter."""
    if request.param == "weights":
        return Subject.load(deep, dtype="float32").model
    adapter = make_adapter(deep, tmp_path_factory.mktemp("deep-adapter") / "a", scale=0.3)
    return Subject.load(deep, adapter, dtype="float32").model


def by_autograd(model, row, sites):
    """The example's gradient at each site, with every parameter of the sites a leaf."""
    weights = [m.weight for m in sites.values()]
    before = [w.requires_grad for w in weights]
    for w in weights:
        w.requires_grad_(True)
    try:
        with torch.enable_grad():
            logits = model(input_ids=torch.tensor([row.tokens])).logits[0].float()
            log_p = torch.log_softmax(logits[:-1], -1)
            answer = torch.arange(row.answer_start, len(row.tokens))
            loss = -log_p[answer - 1, torch.tensor(row.tokens)[answer]].mean()
            return dict(zip(sites, torch.autograd.grad(loss, weights), strict=True))
    finally:
        for w, flag in zip(weights, before, strict=True):
            w.requires_grad_(flag)


def near(found, wanted, tolerance=1e-4):
    return np.abs(np.asarray(found) - wanted).max() <= tolerance * np.abs(wanted).max()


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("top", [0.25, 1.0])
def test_dots_and_norms_are_those_of_explicit_gradients(model, top):
    sites = gradient_sites(model, top)
    query = mean_gradient(model, QUERY, sites, PAD)
    explicit = [by_autograd(model, row, sites) for row in QUERY]
    for name in sites:
        assert near(query[name], (sum(g[name] for g in explicit) / 2).numpy())
    seen = gradient_similarity(model, ROWS, query, sites, PAD)
    each = [by_autograd(model, row, sites) for row in ROWS]
    dots = np.array([sum(float((g[name] * query[name]).sum()) for name in sites) for g in each])
    norms = np.array([np.sqrt(sum(float(g[name].square().sum()) for name in sites)) for g in each])
    assert near(seen.dots, dots) and near(seen.norms, norms)
    assert np.allclose(seen.cosines, dots / norms, rtol=1e-3, atol=1e-4 * norms.max())


def test_an_example_scores_the_same_alone_padded_and_in_any_order(model):
    sites = gradient_sites(model, 0.5)
    query = mean_gradient(model, QUERY, sites, PAD)
    together = gradient_similarity(model, ROWS, query, sites, PAD)
    alone = [gradient_similarity(model, [row], query, sites, PAD) for row in ROWS]
    turned = gradient_similarity(model, ROWS[::-1], query, sites, PAD)
    assert near(together.dots, np.array([a.dots[0] for a in alone]))
    assert near(together.norms, np.array([a.norms[0] for a in alone]))
    assert near(turned.dots[::-1], together.dots) and near(turned.norms[::-1], together.norms)
    other_pad = gradient_similarity(model, ROWS, query, sites, PAD + 7)
    assert near(other_pad.dots, together.dots)


def test_an_example_is_most_like_itself(model):
    sites = gradient_sites(model, 0.5)
    query = mean_gradient(model, ROWS[2:3], sites, PAD)
    seen = gradient_similarity(model, ROWS, query, sites, PAD)
    size = np.sqrt(sum(float(g.square().sum()) for g in query.values()))
    assert int(seen.cosines.argmax()) == 2 and seen.cosines[2] == pytest.approx(size, rel=1e-4)


def test_looks_at_the_adapter_where_there_is_one_and_only_in_the_last_blocks(model):
    adapted = any("lora_" in name for name, _ in model.named_parameters())
    for top, blocks in ((0.25, {"3"}), (0.5, {"2", "3"}), (1.0, {"0", "1", "2", "3"})):
        names = gradient_sites(model, top)
        assert {n.split(".")[0] for n in names} == blocks
        assert all((".lora_A." in n or ".lora_B." in n) == adapted for n in names)


def test_leaves_no_gradient_and_no_hook_behind(model):
    sites = gradient_sites(model, 0.5)
    query = mean_gradient(model, QUERY, sites, PAD)
    before = hooks(model)  # transformers hangs its own ones in at the first call
    gradient_similarity(model, ROWS, query, sites, PAD)
    mean_gradient(model, QUERY, sites, PAD)
    assert all(p.grad is None for p in model.parameters()) and hooks(model) == before
    assert not hooks(next(iter(sites.values())))


def test_refuses_a_share_outside_its_range(model):
    with pytest.raises(SettingError, match=r"top must be in \(0, 1\], got 0"):
        gradient_sites(model, 0)


def test_names_the_examples_whose_gradients_are_not_finite(deep):
    model = Subject.load(deep, dtype="float32").model
    sites = gradient_sites(model, 0.25)
    query = mean_gradient(model, QUERY, sites, PAD)
    with torch.no_grad():
        model.model.embed_tokens.weight[ROWS[1].tokens[0]] = float("inf")
    with pytest.raises(EvidenceError, match="gradients are not finite for .*'e1'.*Check the checkpoint for overflow"):
        gradient_similarity(model, ROWS, query, sites, PAD)
