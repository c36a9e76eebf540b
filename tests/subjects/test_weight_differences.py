"""Spectra of weight differences from files, against the dense difference of models that transformers and PEFT load."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bumperlane.errors import EvidenceError, ModelError
from bumperlane.subjects.spectrum import FEATURES, spectrum_features
from bumperlane.subjects.weight_differences import kind_of, singular_values, spectral_norm, weight_differences
from bumperlane.subjects.weight_files import Tensors
from tiny import make_tiny_model
from tiny_adapter import make_adapter, put_nan

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=GENERATOR)


def merged(base, adapter):
    """All weights of the base with the adapter multiplied out, by PEFT, in float64."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False).double().merge_and_unload()
    return {name.removesuffix(".weight"): p.detach() for name, p in model.named_parameters() if p.ndim == 2}


def dense(now, before, base):
    """name -> features, by the singular values of the difference itself."""
    found = {}
    for name, weight in base.items():
        gap = (now[name] - before[name]).numpy()
        if np.abs(gap).max() > 1e-12:
            values, own = (np.linalg.svd(m, compute_uv=False) for m in (gap, weight.numpy()))
            values[values < 1e-9 * values[0]] = 0
            found[name] = spectrum_features(values, max(gap.shape), np.linalg.norm(own), own[0])
    return found


def assert_same(found, wanted, tolerance=1e-4):
    assert set(found.names) == set(wanted)
    for name, row in zip(found.names, found.rows, strict=True):
        np.testing.assert_allclose(row, wanted[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    "shapes", [((30, 4), (4, 50)), ((30, 4), (4, 4)), ((4, 4), (4, 50)), ((3, 8), (8, 5)), ((40, 1), (1, 7))]
)
def test_singular_values_of_factors_are_those_of_their_product(shapes):
    b, a = normal(*shapes[0]).double(), normal(*shapes[1]).double()
    found, wanted = singular_values(b, a), np.linalg.svd((b @ a).numpy(), compute_uv=False)
    np.testing.assert_allclose(found[: len(wanted)], wanted[: len(found)], rtol=1e-10, atol=1e-10)


def test_factors_that_cancel_leave_nothing():
    b, a = normal(30, 4), normal(4, 50)
    assert not singular_values(torch.cat([b, -b], dim=1), torch.cat([a, a])).any()
    assert not singular_values(torch.zeros(30, 4), a).any()


def test_the_spectral_norm_is_the_largest_singular_value():
    for matrix in (
        normal(60, 90),
        normal(90, 3),
        normal(1, 5),
        torch.diag(torch.tensor([5.0, 5.0, 1.0])),
        torch.zeros(4, 4),
    ):
        assert spectral_norm(matrix) == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=2e-3)


SETTINGS = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True},
    "patterns": {"rank_pattern": {"layers.1.*.q_proj": 2}, "alpha_pattern": {"layers.1.*.q_proj": 32, "up_proj": 3}},
    "a module saved whole and the embeddings": {
        "modules_to_save": ["o_proj"], "target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_adapter_in_factors_agrees_with_the_one_that_peft_multiplies_out(tiny_dir, tmp_path, settings):
    adapter = make_adapter(tiny_dir, tmp_path / "a", **SETTINGS[settings])
    if "modules_to_save" in SETTINGS[settings]:
        for name in ("o_proj", "embed_tokens.base_layer"):  # embeddings have factors and a weight of their own
            change(adapter / "adapter_model.safetensors", name, lambda t: t + 0.1 * normal(*t.shape))
    base, now = merged(tiny_dir, None), merged(tiny_dir, adapter)
    if "modules_to_save" in SETTINGS[settings]:  # merging unties nothing: the head is the embedding
        now.pop("lm_head", None)
    found = weight_differences(adapter)
    assert_same(found, dense(now, base, base))
    assert found.kinds == tuple(map(kind_of, found.names))


def change(file, name, how):
    tensors = load_file(file)
    found = [key for key in tensors if name in key]
    assert found
    save_file(
        {k: how(t).contiguous() if k in found else t for k, t in tensors.items()}, file, metadata={"format": "pt"}
    )


def test_the_difference_of_two_adapters_agrees_with_the_dense_one(tiny_dir, adapter_dirs):
    base, *both = (merged(tiny_dir, adapter) for adapter in (None, *adapter_dirs))
    assert_same(weight_differences(adapter_dirs[1], before=adapter_dirs[0]), dense(both[1], both[0], base))


def test_full_checkpoints_agree_with_their_dense_difference_whole_or_in_shards(tiny_dir, tmp_path):
    from transformers import AutoModelForCausalLM

    later = make_tiny_model(tmp_path / "later", seed=5)
    base, now = merged(tiny_dir, None), merged(later, None)
    wanted = dense(now, base, base)
    found = weight_differences(later, before=tiny_dir)
    assert_same(found, wanted, 1e-3)
    assert found.unchanged == 0 and "model.layers.0.mlp.down_proj" in found.names  # norms are vectors: not among them
    model = AutoModelForCausalLM.from_pretrained(later, dtype=torch.float32)
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
    again = weight_differences(tmp_path / "shards", base=tiny_dir)
    assert again.names == found.names or set(again.names) == set(found.names)
    assert_same(again, wanted, 1e-3)


def test_a_change_between_checkpoints_is_measured_against_the_base(tiny_dir, tmp_path):
    paths = [make_tiny_model(tmp_path / str(seed), seed=seed) for seed in (5, 6)]
    base, before, now = (merged(path, None) for path in (tiny_dir, *paths))
    assert_same(weight_differences(paths[1], paths[0], tiny_dir), dense(now, before, base), 1e-3)


def test_experts_that_are_stored_in_one_tensor_are_read_one_by_one(tmp_path):
    weights = [{"layers.0.experts.up": normal(3, 6, 8), "norm.weight": normal(8)} for _ in range(2)]
    for name, tensors in zip("ab", weights, strict=True):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
    found = weight_differences(tmp_path / "b", tmp_path / "a")
    assert found.names == tuple(f"layers.0.experts.up[{i}]" for i in range(3))
    assert set(found.kinds) == {"experts.up[*]"}
    gap = (weights[1]["layers.0.experts.up"] - weights[0]["layers.0.experts.up"])[2]
    assert found.rows[2, 2] == pytest.approx(2 * np.log(np.linalg.norm(gap) / np.linalg.norm(gap, 2)), rel=1e-4)


def test_unchanged_matrices_are_counted_and_left_out(tiny_dir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_dir, copy)
    change(copy / "model.safetensors", "layers.1.mlp", lambda t: t * 1.5)
    found = weight_differences(copy, tiny_dir)
    assert set(found.kinds) == {"mlp.up_proj", "mlp.down_proj", "mlp.gate_proj"} and found.unchanged == 12
    np.testing.assert_allclose(found.rows[:, :2], np.log(0.5), atol=1e-4)  # half the weight itself
    assert len(FEATURES) == found.rows.shape[1]


def test_what_is_left_out_is_not_read(tiny_dir, adapter_dirs):
    said = []
    found = weight_differences(
        adapter_dirs[0], leave_out=["q_proj", "mlp"], say=lambda done, total: said.append((done, total))
    )
    assert set(found.kinds) == {"self_attn.v_proj"} and said == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.layers.13.self_attn.q_proj", "self_attn.q_proj"),
        ("transformer.h.0.mlp.c_proj", "mlp.c_proj"),
        ("model.layers.3.mlp.experts.7.w1", "mlp.experts.*.w1"),
        ("model.layers.3.mlp.experts.up[5]", "mlp.experts.up[*]"),
        ("model.embed_tokens", "model.embed_tokens"),
    ],
)
def test_a_kind_is_a_name_without_its_block(name, kind):
    assert kind_of(name) == kind


def test_a_module_is_found_under_another_prefix(tiny_dir):
    weights = Tensors.of(tiny_dir)
    assert weights.find("language_model.model.layers.1.mlp.up_proj") == "model.layers.1.mlp.up_proj.weight"
    assert weights.find("layers.1.mlp.up_proj") == "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(ModelError, match=r"0 tensors of .* belong to model.layers.1.mlp.upproj. Near it: \['model.lay"):
        weights.find("model.layers.1.mlp.upproj")
    with pytest.raises(ModelError, match="2 tensors of .* belong to mlp.up_proj"):
        weights.find("mlp.up_proj")


def test_refuses_checkpoints_that_are_equal(tiny_dir, adapter_dirs, tmp_path):
    still = make_adapter(tiny_dir, tmp_path / "still", scale=0)
    with pytest.raises(EvidenceError, match=r"are equal in all 8 matrices. Give two that differ"):
        weight_differences(still)
    with pytest.raises(EvidenceError, match=r"are equal in all 8 matrices. Give two that differ"):
        weight_differences(adapter_dirs[0], adapter_dirs[0])


def test_refuses_what_it_cannot_compare(tiny_dir, adapter_dirs, tmp_path):
    deeper = make_tiny_model(tmp_path / "deeper", layers=3)
    with pytest.raises(ModelError, match=r"7 matrices are in only one of .*, first model.layers.2.mlp.down_proj"):
        weight_differences(deeper, tiny_dir)
    with pytest.raises(
        ModelError, match=r"model.layers.0.mlp.down_proj.weight has the shapes \[\(64, 128\), \(32, 64\)"
    ):
        weight_differences(make_tiny_model(tmp_path / "wider", d=64), tiny_dir, leave_out=["embed_tokens"])
    with pytest.raises(ModelError, match="are an adapter and a full checkpoint. Merge the adapter first"):
        weight_differences(deeper, adapter_dirs[0], tiny_dir)
    other = make_adapter(tiny_dir, tmp_path / "other", target_modules=["q_proj"])
    with pytest.raises(
        ModelError, match=r"6 modules are adapted in only one of .*, first model.layers.0.mlp.down_proj"
    ):
        weight_differences(other, adapter_dirs[0])
    with pytest.raises(ModelError, match=r"the base of .* is not named, no directory here. Pass base="):
        weight_differences(deeper)


def test_refuses_adapters_it_cannot_read_in_factors(tiny_dir, tmp_path):
    with pytest.raises(
        ModelError, match="holds a LORA adapter with DoRA; only plain LoRA is read in factors. Merge it"
    ):
        weight_differences(make_adapter(tiny_dir, tmp_path / "dora", use_dora=True))
    half = make_adapter(tiny_dir, tmp_path / "half")
    tensors = load_file(half / "adapter_model.safetensors")
    save_file({k: t for k, t in tensors.items() if "lora_A" in k}, half / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"holds \['.lora_A.weight'\] of .*; expected a pair A and B"):
        weight_differences(half)
    (half / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="cannot read .*half/adapter_model.safetensors.*Save the checkpoint again"):
        weight_differences(half)


def test_refuses_a_base_that_is_no_directory_here(adapter_dirs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(adapter_dirs[0], copy)
    config = copy / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "someone/model"}))
    with pytest.raises(ModelError, match="the base of .*copy is someone/model, no directory here. Pass base="):
        weight_differences(copy)
    with pytest.raises(ModelError, match="no model.safetensors in .*adapters"):
        weight_differences(copy, base=tmp_path.parent / adapter_dirs[0].parent)


def test_names_the_matrix_that_is_not_finite(tiny_dir, tmp_path):
    adapter = make_adapter(tiny_dir, tmp_path / "a")
    put_nan(adapter / "adapter_model.safetensors", "layers.1.mlp.up_proj.lora_A")
    with pytest.raises(ModelError, match=r"hold NaN or infinity, first model.layers.1.mlp.up_proj"):
        weight_differences(adapter)


def test_refuses_quantised_weights(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        save_file({"w.weight": torch.ones(4, 4, dtype=torch.uint8)}, tmp_path / name / "model.safetensors")
    with pytest.raises(ModelError, match="w.weight in .* is stored as torch.uint8, quantised. Give the checkpoint unq"):
        weight_differences(tmp_path / "a", tmp_path / "b")
