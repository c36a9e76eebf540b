import pytest
import torch

from bumperlane.errors import TrainingError
from bumperlane.recipes.adamw import MasterAdamW, learning_rate, read_moments
from bumperlane.recipes.models import Optimiser

SETTINGS = Optimiser(betas=(0.8, 0.95), weight_decay=0.1)


def parameters(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"w": (4, 3), "b": (5,)}
    return [(n, torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype))) for n, s in shapes.items()]


def give_gradients(named, step):
    generator = torch.Generator().manual_seed(100 + step)
    for _, p in named:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def test_agrees_with_torch_in_float32():
    ours, theirs = parameters(), parameters()
    optimiser = MasterAdamW(ours, SETTINGS)
    groups = [{"params": [theirs[0][1]], "weight_decay": 0.1}, {"params": [theirs[1][1]], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95))
    for step in range(5):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in theirs], 2.0)
        assert float(optimiser.step(0.01, 2.0)) == pytest.approx(float(norm), rel=1e-6)
        reference.step()
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_small_steps_add_up_although_the_model_is_bfloat16():
    named = [("w", torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16)))]
    optimiser = MasterAdamW(named, Optimiser())
    for _ in range(20):
        named[0][1].grad = torch.ones(1, dtype=torch.bfloat16)
        optimiser.step(1e-3, 1.0)
    assert float(optimiser.masters) == pytest.approx(0.98, abs=1e-4)
    assert float(named[0][1].detach()) == pytest.approx(0.98, abs=4e-3)


def test_a_saved_state_goes_on_bit_for_bit(tmp_path):
    named, again = parameters(torch.bfloat16), parameters(torch.bfloat16, seed=9)
    first, second = MasterAdamW(named, SETTINGS), MasterAdamW(again, SETTINGS)
    give_gradients(named, 0)
    first.step(0.1, 1.0)
    first.save(tmp_path)
    second.restore(tmp_path)
    for pair, optimiser in ((named, first), (again, second)):
        give_gradients(pair, 1)
        optimiser.step(0.1, 1.0)
    assert torch.equal(first.masters, second.masters) and torch.equal(named[0][1], again[0][1])
    moments = read_moments(tmp_path)
    assert {n: m.shape for n, (m, _) in moments.items()} == {"w": (4, 3), "b": (5,)}
    with pytest.raises(TrainingError, match="holds 2 parameters of other names or shapes than the 1"):
        MasterAdamW(named[:1], SETTINGS).restore(tmp_path)


def test_a_parameter_without_gradient_stays():
    named = parameters()
    before = named[1][1].detach().clone()
    optimiser = MasterAdamW(named, SETTINGS)
    named[0][1].grad = torch.ones(4, 3)
    optimiser.step(0.1, 1.0)
    assert torch.equal(named[1][1], before)


def test_the_rate_warms_up_and_falls():
    rates = [learning_rate(1.0, Optimiser(warmup_steps=3, schedule="linear"), s, 7) for s in range(1, 8)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25])
    cosine = [learning_rate(1.0, Optimiser(schedule="cosine"), s, 4) for s in range(1, 5)]
    assert cosine == pytest.approx([1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    assert learning_rate(0.3, Optimiser(), 9, 9) == 0.3
