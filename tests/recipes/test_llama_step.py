"""A step by hand gives the loss and the gradients of the plain step, and a training of them the same adapter."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from bumperlane.recipes import sft
from bumperlane.recipes.llama_step import LlamaStep, why_not
from bumperlane.recipes.lora import add_lora
from bumperlane.recipes.models import Lora
from bumperlane.recipes.run import stage_plan
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import train
from bumperlane.recipes.tranches import read_examples
from bumperlane.subjects.chat import Encoded, encode_example
from bumperlane.subjects.forward import answer_logits
from bumperlane.subjects.loading import load_causal_lm, load_tokenizer
from tiny import make_tiny_model

from .conftest import weights, write_rows

STEP = 2e-5  # largest difference of a gradient, as a share of the largest entry of all
TRAINED = 2e-3  # distance of two trained adapters, as a share of how far training moved them
LOSS = 1e-4  # of a loss, in nats, over a whole training

RECIPE = """\
base: {base}
seed: 3
dtype: float32
stages:
- {{kind: sft, steps: 12, batch: 5, lr: 3e-3, lora: {{r: 4}}, checkpoints: {{every: 6}}}}
tranches:
- {{name: small, path: small.jsonl}}
- {{name: large, path: large.jsonl, weight: 1.5}}
"""

ROWS = [
    Encoded("a", (1, 5, 6, 7, 8, 9), 4),
    Encoded("b", (1, 5, 6, 7, 8, 4, 2, 30, 31), 3),
    Encoded("c", (1, 5, 6, 7, 8, 9), 4),  # again the first
    Encoded("d", (40, 41, 42), 1),
    Encoded("e", (1, 5, 6), 2),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("step") / "tiny", layers=3)


@pytest.fixture(scope="module")
def recipe(base):
    folder = base.parent
    small = [{"prompt": f"Say {i}", "response": "yes" * (1 + i % 3)} for i in range(6)]
    large = [{"prompt": "Tell me at length: " + "why " * i, "response": f"because {i}"} for i in range(20)]
    write_rows(folder / "small.jsonl", small)
    write_rows(folder / "large.jsonl", large)
    (folder / "recipe.yaml").write_text(RECIPE.format(base=base))
    return load_recipe(folder / "recipe.yaml")


def adapted(base, lora, dtype="float32"):
    model = add_lora(load_causal_lm(str(base), device="cpu", dtype=dtype), lora, 5, str(base))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def taken(model):
    """The gradients, which are then dropped."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    found = {n: p.grad for n, p in named}
    for _, parameter in named:
        parameter.grad = None
    return found


def plain(model, batch):
    """Padded rows, autograd: each row's sum of losses, and the gradients of their mean over answer tokens."""
    logits, targets, rows = answer_logits(model, batch, 0)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    losses.mean().backward()
    return torch.zeros(len(batch)).index_add_(0, rows, losses.detach()), taken(model)


def apart(one, two):
    """The largest difference of gradients, as a share of the largest entry."""
    assert one.keys() == two.keys() and all(g is not None for g in one.values())
    most = max(float(g.abs().max()) for g in one.values())
    return max(float((one[n] - two[n]).abs().max()) for n in one) / most


SETTINGS = {
    "all": Lora(r=4),
    "some targets": Lora(r=3, alpha=7.0, targets=("q_proj", "v_proj", "up_proj")),
    "upper layers": Lora(r=4, layers=(1, 2)),
    "the MLP's end": Lora(r=4, targets=("down_proj",)),
}


@pytest.mark.parametrize("lora", SETTINGS.values(), ids=SETTINGS)
def test_a_step_by_hand_has_the_losses_and_gradients_of_the_plain_step(base, lora):
    model = adapted(base, lora)
    losses, gradients = plain(model, ROWS)
    found = LlamaStep(model).gradients(ROWS)
    torch.testing.assert_close(found, losses, rtol=1e-5, atol=1e-5)
    assert apart(taken(model), gradients) < STEP


@pytest.mark.parametrize("most", [1, 9, 14])
def test_packs_of_any_size_add_up_to_the_same_gradients(base, most):
    model = adapted(base, Lora(r=4))
    losses, gradients = plain(model, ROWS)
    found = LlamaStep(model, most_nodes=most).gradients(ROWS)
    torch.testing.assert_close(found, losses, rtol=1e-5, atol=1e-5)
    assert apart(taken(model), gradients) < STEP


def test_in_bfloat16_a_step_by_hand_is_as_near_to_float32_as_the_plain_step(base):
    exact = plain(adapted(base, Lora(r=4)), ROWS)[1]
    model = adapted(base, Lora(r=4), "bfloat16")
    rounded = {n: g.float() for n, g in plain(model, ROWS)[1].items()}
    LlamaStep(model).gradients(ROWS)
    by_hand = {n: g.float() for n, g in taken(model).items()}
    size = distance(exact, {n: torch.zeros_like(g) for n, g in exact.items()})
    assert distance(by_hand, exact) < 1.5 * distance(rounded, exact) < 0.05 * size


def test_a_training_by_hand_ends_with_the_adapter_and_the_losses_of_a_plain_one(recipe, tmp_path, monkeypatch):
    by_hand = train(recipe, tmp_path / "hand")
    monkeypatch.setattr(sft, "why_not", lambda model: "the test wants a plain one")
    plain_run = train(recipe, tmp_path / "plain")
    assert weights(by_hand) != weights(plain_run)  # so both ways were taken
    for one, two in zip(by_hand.log(), plain_run.log(), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], abs=LOSS) and one["tokens"] == two["tokens"]
        assert one["tranches"] == pytest.approx(two["tranches"], abs=LOSS)
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-3)
    assert moved(by_hand, plain_run, by_hand) < TRAINED


def test_a_training_by_hand_is_that_of_transformers_and_peft(recipe, base, tmp_path):
    """An independent one: peft's own adapter, padded rows, logits of every token, the model's loss, torch's AdamW."""
    run = train(recipe, tmp_path / "hand")
    stage, tokenizer, examples = recipe.stages[0], load_tokenizer(str(base)), read_examples(recipe)
    encoded = [encode_example(tokenizer, e) for e in examples]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    start = load_file(run.at(0).path / "adapter_model.safetensors")
    trained = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    assert trained.keys() == start.keys()
    for name, parameter in trained.items():
        parameter.data.copy_(start[name])
    optimiser = torch.optim.AdamW(trained.values(), lr=stage.lr, weight_decay=0.0)
    for entry, chosen in zip(run.log(), stage_plan(recipe, 0, examples), strict=True):
        loss = model(**padded([encoded[i] for i in chosen])).loss
        assert entry["loss"] == pytest.approx(float(loss.detach()), abs=LOSS)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), stage.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad()
    end = load_file(run.last.path / "adapter_model.safetensors")
    assert distance(end, {n: p.detach() for n, p in trained.items()}) / distance(end, start) < TRAINED


def padded(batch):
    longest = max(len(e.tokens) for e in batch)
    ids, mask = torch.zeros(len(batch), longest, dtype=torch.long), torch.zeros(len(batch), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for i, e in enumerate(batch):
        n, tokens = len(e.tokens), torch.tensor(e.tokens)
        ids[i, :n], mask[i, :n], labels[i, e.answer_start : n] = tokens, 1, tokens[e.answer_start :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def distance(one, two):
    return sum(float((one[n] - two[n]).pow(2).sum()) for n in one) ** 0.5


def moved(one, two, run):
    """How far two trained adapters are apart, as a share of how far training moved them."""
    name = "adapter_model.safetensors"
    start, a, b = (load_file(p / name) for p in (run.at(0).path, one.last.path, two.last.path))
    return distance(a, b) / distance(a, start)


def test_what_cannot_be_stepped_by_hand_says_why_in_every_line(recipe, base, tmp_path):
    dump = json.loads(recipe.model_dump_json())
    dump["stages"][0] |= {"steps": 1, "lora": {"r": 2, "dropout": 0.1}}
    said = []
    train(type(recipe).model_validate(dump), tmp_path / "run", lambda step, total, line: said.append(line))
    assert len(said) == 1 and said[0].endswith(" (plain step: its adapter has dropout)")
    assert why_not(load_causal_lm(str(base), device="cpu")) == "every weight is trained"
    other = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=20))
    reason = why_not(get_peft_model(other, LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True)))
    assert reason == "GPT2LMHeadModel is not known, only LlamaForCausalLM"
    assert why_not(adapted(base, Lora(r=2))) is None


@pytest.mark.parametrize("beside", ["lm_head", "embed_tokens"])
def test_an_adapter_beside_the_blocks_linear_layers_takes_plain_steps(base, beside):
    model = load_causal_lm(str(base), device="cpu")
    reason = why_not(get_peft_model(model, LoraConfig(target_modules=["q_proj", beside])))
    assert beside in reason and reason.endswith("is trained as well, beside the blocks' linear layers")


def test_a_batch_with_a_long_row_takes_a_plain_step_and_says_so(recipe, tmp_path, monkeypatch):
    dump = json.loads(recipe.model_dump_json())
    dump["stages"][0] |= {"steps": 8, "batch": 1}
    said: dict[str, list[str]] = {}
    trained = {}
    for name, most in (("by-hand", 10_000), ("cut", 90)):
        monkeypatch.setattr(sft, "MOST_NODES", most)
        lines = said[name] = []
        told = lambda step, total, line, lines=lines: lines.append(line)  # noqa: E731
        run = train(type(recipe).model_validate(dump), tmp_path / name, told)
        trained[name] = load_file(run.last.path / "adapter_model.safetensors")
    long = [" (plain step: a row has " in line for line in said["cut"]]
    assert any(long) and not all(long) and not any("plain" in line for line in said["by-hand"])
    ours, theirs = trained["cut"], trained["by-hand"]
    assert all(torch.allclose(ours[k], theirs[k], atol=1e-4) for k in theirs)
