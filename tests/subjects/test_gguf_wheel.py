"""Conversion of GGUF weights, checked on a small llama written here block by block. The rest is in test_smollm2.py."""

import json

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file

from bumperlane.subjects.gguf_wheel import convert_gguf

D, HEADS, KV_HEADS, FF, LAYERS, VOCAB = 64, 4, 2, 96, 2, 260
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_letters() -> list[str]:
    """The 256 characters that stand for bytes in GPT-2's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def shapes() -> dict[str, tuple[int, ...]]:
    out = {"token_embd.weight": (VOCAB, D), "output_norm.weight": (D,)}
    for i in range(LAYERS):
        layer = {
            "attn_q": (D, D),
            "attn_k": (D // HEADS * KV_HEADS, D),
            "attn_v": (D // HEADS * KV_HEADS, D),
            "attn_output": (D, D),
            "ffn_gate": (FF, D),
            "ffn_up": (FF, D),
            "ffn_down": (D, FF),
            "attn_norm": (D,),
            "ffn_norm": (D,),
        }
        out |= {f"blk.{i}.{name}.weight": shape for name, shape in layer.items()}
    return out


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """(directory of the converted model, its tensors, the tensors of the GGUF file dequantised by gguf itself)."""
    place, rng, stored = tmp_path_factory.mktemp("gguf"), np.random.default_rng(0), {}
    writer = GGUFWriter(place / "small.gguf", "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(D)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e5)
    writer.add_rope_dimension_count(D // HEADS)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*SPECIAL, *byte_letters(), "ĠĠ"])
    writer.add_token_types([3] * 3 + [1] * 257)
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, shape in shapes().items():
        values = rng.normal(size=shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values)
            stored[name] = values
            continue
        kind = GGMLQuantizationType.Q8_0 if name.startswith("token") else GGMLQuantizationType.Q4_1
        blocks = quantize(values, kind)
        writer.add_tensor(name, blocks, raw_dtype=kind)
        stored[name] = dequantize(blocks, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    convert_gguf(place / "small.gguf", place / "out")
    return place / "out", load_file(place / "out" / "model.safetensors"), stored


def rotary_order(rows: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp keeps the two halves of a rotary pair side by side, transformers keeps them half a head apart."""
    per_head = rows.reshape(heads, rows.shape[0] // heads // 2, 2, rows.shape[1])
    return per_head.transpose(0, 2, 1, 3).reshape(rows.shape)


NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


@pytest.mark.parametrize("part", NAMES)
def test_every_weight_equals_the_dequantised_block_rounded_once_to_bf16(converted, part):
    _, tensors, stored = converted
    for i in range(LAYERS):
        rows = stored[f"blk.{i}.{part}.weight"]
        if part in ("attn_q", "attn_k"):
            rows = rotary_order(rows, HEADS if part == "attn_q" else KV_HEADS)
        expected = torch.from_numpy(np.ascontiguousarray(rows)).to(torch.bfloat16)
        assert torch.equal(tensors[f"model.layers.{i}.{NAMES[part]}.weight"], expected)


def test_embeddings_are_kept_and_nothing_stays_packed(converted):
    where, tensors, stored = converted
    expected = torch.from_numpy(stored["token_embd.weight"]).to(torch.bfloat16)
    assert torch.equal(tensors["model.embed_tokens.weight"], expected)
    assert len(tensors) == len(stored) and {t.dtype for t in tensors.values()} == {torch.bfloat16}
    config = json.loads((where / "config.json").read_text())
    assert "quantization_config" not in config and config["tie_word_embeddings"] is True


def test_the_converted_model_can_be_trained(converted):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(converted[0], dtype=torch.float32)
    ids = torch.arange(3, 19)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_tokenizer_cuts_digits_apart_before_it_looks_at_spaces(converted):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted[0])
    assert tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]
    assert tokenizer("<|im_start|>a").input_ids[0] == 1 and tokenizer.eos_token == "<|im_end|>"
