"""Logits as the model's own forward pass gives them, whatever the architecture does after the head."""

import pytest
import torch

from bumperlane.errors import ModelError
from bumperlane.subjects.gradient_pass import loss_slope
from bumperlane.subjects.head import AdjustedHead, head_of, trunk_of
from bumperlane.subjects.logprobs import continuation_logprobs
from tiny_architectures import DEEP, made

ADJUSTED = [
    ("Gemma2", {**DEEP, "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 2.0}),
    ("Cohere", {**DEEP, "logit_scale": 0.1}),
    ("Granite", {**DEEP, "num_key_value_heads": 2, "logits_scaling": 8.0}),
]


@pytest.mark.parametrize(("kind", "config"), ADJUSTED)
def test_log_probabilities_are_those_of_the_models_own_forward_pass(kind, config):
    model = made(kind, **config)
    prompt, tail = [5, 9, 33], [40, 7]
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([[*prompt, *tail]])).logits[0].log_softmax(dim=1)
    (found,) = continuation_logprobs(model, [prompt], [tail], pad_id=0)
    assert found.total == pytest.approx(float(logp[2, 40] + logp[3, 7]), abs=1e-4)
    assert isinstance(head_of(model), AdjustedHead) and head_of(model) is head_of(model)


@pytest.mark.parametrize(("kind", "config"), ADJUSTED)
def test_the_slope_of_the_loss_is_that_of_autograd(kind, config):
    model = made(kind, **config)
    ids, targets, weight = torch.tensor([[5, 9, 33, 40]]), torch.tensor([9, 33, 40]), torch.tensor([1.0, 0.5, 2.0])
    hidden = trunk_of(model)(input_ids=ids, use_cache=False)[0][0, :3].detach()
    free = hidden.clone().requires_grad_()
    logits = head_of(model)(free)
    loss = (weight * torch.nn.functional.cross_entropy(logits, targets, reduction="none")).sum()
    (by_autograd,) = torch.autograd.grad(loss, free)
    assert torch.allclose(loss_slope(head_of(model), hidden, targets, weight), by_autograd, atol=1e-5)
    assert float(by_autograd.abs().max()) > 1e-3


def test_a_plain_head_is_the_models_own_module():
    model = made("Llama", **DEEP)
    assert head_of(model) is model.get_output_embeddings()


def test_refuses_a_model_that_does_something_unknown_after_its_head():
    from transformers import LlamaForCausalLM

    class Squashed(LlamaForCausalLM):
        def forward(self, *args, **kwargs):
            out = super().forward(*args, **kwargs)
            out.logits = out.logits.sin()
            return out

    model = made("Llama", **DEEP)
    model.__class__ = Squashed
    with pytest.raises(ModelError, match="Squashed does something to its logits after the head"):
        head_of(model)


def test_trying_it_out_leaves_a_model_in_training_as_it_was():
    model = made("Granite", **DEEP, num_key_value_heads=2, logits_scaling=8.0).train()
    head_of(model)
    assert model.training and all(module.training for module in model.modules())


def test_a_hook_on_an_adjusted_head_is_met_by_the_models_own_forward_pass():
    model = made("Cohere", **DEEP, logit_scale=0.1)
    before = model(input_ids=torch.tensor([[3, 4]])).logits
    handle = head_of(model).register_forward_hook(lambda head, inputs, logits: logits + 10.0)
    assert torch.allclose(model(input_ids=torch.tensor([[3, 4]])).logits, before + 1.0, atol=1e-5)
    handle.remove()
    assert torch.equal(model(input_ids=torch.tensor([[3, 4]])).logits, before)
