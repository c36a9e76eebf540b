"""Tiny causal LMs of several architectures, with random weights: for tests only."""

import torch

SIZES = {"vocab_size": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DEEP = {**SIZES, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def made(kind, **config):
    """A model of transformers by the name of its family, in float32."""
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = getattr(transformers, f"{kind}ForCausalLM" if kind != "GPT2" else "GPT2LMHeadModel")(
            getattr(transformers, f"{kind}Config")(**config)
        )
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3) if weight.ndim > 1 else None
    return model.float().eval()
