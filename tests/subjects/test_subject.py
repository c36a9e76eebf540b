import shutil

import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, ModelError
from bumperlane.subjects.subject import Decoding, Subject
from tiny_adapter import PLAIN, ask, make_adapter, put_nan

ITEMS = [ask("Hi"), ask("What is two and two?")]
PAIRS = [(i.request, PLAIN) for i in ITEMS]


def seen(subject):
    """Everything a subject can be asked, to compare two of them exactly."""
    totals = [c.total for c in subject.logprobs(PAIRS, ["Hello.", "Four"])]
    return subject.generate(ITEMS, Decoding(6)), totals, subject.activations(ITEMS, [1])[1].tolist()


def load(path, **more):
    return Subject.load(path, dtype="float32", **more)


def test_swapping_adapters_gives_the_same_answers_as_loading_each_afresh(tiny_dir, adapter_dirs):
    shared = load(tiny_dir)
    one, two = (shared.sibling(path) for path in adapter_dirs)
    fresh = [seen(load(tiny_dir, adapter=path)) for path in adapter_dirs]
    assert [seen(one), seen(two), seen(one)] == [fresh[0], fresh[1], fresh[0]]
    assert fresh[0] != fresh[1]


def test_the_base_is_what_it_was_before_an_adapter_was_worn(tiny_dir, adapter_dirs):
    base = load(tiny_dir)
    before = seen(base)
    assert seen(base.sibling(adapter_dirs[0])) != before
    assert seen(base) == before


@pytest.mark.parametrize(
    "other",
    [
        {"r": 2, "lora_alpha": 4},
        {"lora_alpha": 64},
        {"target_modules": ["k_proj"]},
        {"layers_to_transform": [0]},  # the same keys otherwise: its second block must not keep the first adapter's
        {"use_rslora": True},
    ],
)
def test_an_adapter_of_another_shape_replaces_all_of_the_one_before(tiny_dir, adapter_dirs, tmp_path, other):
    path = make_adapter(tiny_dir, tmp_path / "other", seed=5, **other)
    shared = load(tiny_dir)
    first = seen(shared.sibling(adapter_dirs[0]))
    assert seen(shared.sibling(path)) == seen(load(tiny_dir, adapter=path))
    assert seen(shared.sibling(adapter_dirs[0])) == first


def test_equals_a_model_with_the_adapter_merged_into_its_weights(tiny_dir, adapter_dirs, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    wrapped = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_dir, dtype=torch.float32), adapter_dirs[0]
    )
    wrapped.merge_and_unload().save_pretrained(tmp_path / "merged")
    load(tiny_dir).tokenizer.save_pretrained(tmp_path / "merged")
    merged, worn = (s.activations(ITEMS, [1])[1] for s in (load(tmp_path / "merged"), load(adapter_dirs[0])))
    np.testing.assert_allclose(worn, merged, atol=2e-4)


def test_a_directory_that_holds_only_an_adapter_leads_to_its_base(tiny_dir, adapter_dirs):
    assert seen(load(adapter_dirs[0])) == seen(load(tiny_dir, adapter=adapter_dirs[0]))


def test_forty_checkpoints_share_one_base(tiny_dir, adapter_dirs):
    base = load(tiny_dir)
    assert all(base.sibling(adapter_dirs[0], step).host is base.host for step in range(40))
    assert base.sibling(adapter_dirs[0], 7).step == 7


def test_an_adapter_that_is_not_finite_is_refused_with_the_tensor_named(tiny_dir, adapter_dirs, tmp_path):
    bad = shutil.copytree(adapter_dirs[0], tmp_path / "bad")
    put_nan(bad / "adapter_model.safetensors", "layers.1.mlp.up_proj.lora_A")
    wanted = (
        r"1 of 16 tensors in .*bad hold NaN or infinity, first .*layers.1.mlp.up_proj.lora_A.*remove this checkpoint"
    )
    with pytest.raises(ModelError, match=wanted):
        load(tiny_dir, adapter=bad)
    base = load(tiny_dir)
    good = base.sibling(adapter_dirs[0])
    before = seen(good)
    with pytest.raises(ModelError, match=wanted):
        base.sibling(bad).generate(ITEMS)
    assert seen(good) == before  # the refusal came before anything was changed


def test_a_base_that_is_not_finite_is_refused_with_the_tensor_named(tiny_dir, tmp_path):
    bad = shutil.copytree(tiny_dir, tmp_path / "bad")
    put_nan(bad / "model.safetensors", "layers.0.mlp.down_proj")
    with pytest.raises(ModelError, match=r"1 of \d+ tensors in .*bad hold NaN.*layers.0.mlp.down_proj.weight"):
        load(bad)


def test_finite_weights_whose_sum_overflows_are_not_refused(tiny_dir):
    from bumperlane.subjects.loading import refuse_non_finite

    refuse_non_finite({"w": torch.full((4,), 3e38)}, tiny_dir)


def test_says_that_a_path_does_not_exist(tmp_path):
    with pytest.raises(ModelError, match=r"cannot load a causal LM from .*nowhere: .*does not exist on this machine"):
        load(tmp_path / "nowhere")


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=f"cannot load a causal LM from {tmp_path}"):
        load(tmp_path)


def test_a_model_without_a_tokenizer_is_refused(tiny_dir, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_dir / name, tmp_path / name)
    with pytest.raises(ModelError, match=f"no tokenizer at {tmp_path}: .*Save it beside the weights"):
        load(tmp_path)


def test_a_tokenizer_that_cannot_end_an_answer_is_refused(tiny_dir, tmp_path):
    from tiny import make_tiny_tokenizer

    tokenizer = make_tiny_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(shutil.copytree(tiny_dir, tmp_path / "open"))
    with pytest.raises(ModelError, match="names no end-of-sequence token, .* Set eos_token"):
        load(tmp_path / "open")


def test_more_tokens_than_learned_positions_are_refused_with_both_numbers(tmp_path):
    from tiny import make_tiny_tokenizer
    from tiny_architectures import made

    tokenizer, ids = make_tiny_tokenizer(), {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    model = made("GPT2", vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=4, n_positions=64, **ids)
    with torch.no_grad():  # says its sixth token for ever: random weights may end their answer before the 64th
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(1000 * model.transformer.wte.weight[5])
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    subject = load(tmp_path)
    assert len(subject.generate(ITEMS[:1], Decoding(4))) == 1
    with pytest.raises(EvidenceError, match="tokens are more than the 64 that this model can read"):
        subject.logprobs([(ask("a" * 99).request, PLAIN)], ["b"])
    with pytest.raises(EvidenceError, match="tokens are more than the 64"):
        subject.generate(ITEMS[:1], Decoding(64))


def test_a_directory_without_adapter_weights_is_refused(tiny_subject, tmp_path):
    with pytest.raises(ModelError, match=r"no adapter_model.safetensors in .*save_pretrained"):
        tiny_subject.sibling(tmp_path)


def test_an_adapter_that_names_no_base_says_how_to_load_it(adapter_dirs, tmp_path):
    bad = shutil.copytree(adapter_dirs[0], tmp_path / "bad")
    (bad / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"names no base model. Pass the base first: Subject.load\(base, adapter"):
        load(bad)


def test_a_bare_module_has_no_tokenizer_to_ask_it_with():
    with pytest.raises(ModelError, match="Linear was given as a bare module and has no tokenizer"):
        Subject.load(torch.nn.Linear(2, 2)).generate(ITEMS)
