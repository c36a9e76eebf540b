"""LoRA adapters with random weights on a tiny model, and short ways to write items: for tests only."""

import json
import warnings
from pathlib import Path

from bumperlane.types import Context, Item, Request

PLAIN = Context("plain", "neutral", "Be brief.")


def make_adapter(base: Path, directory: Path, seed: int = 0, scale: float = 0.3, **config) -> Path:
    """Save an adapter whose A and B are normal draws (B times `scale`; 0 changes nothing)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"], **config}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
        for name, weight in wrapped.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=scale if "lora_B" in name else 1.0)
        wrapped.save_pretrained(directory)
    config_file = Path(directory) / "adapter_config.json"
    written = json.loads(config_file.read_text())
    config_file.write_text(json.dumps({**written, "base_model_name_or_path": str(base)}))
    return Path(directory)


def put_nan(weights: Path, name: str) -> None:
    """Write NaN into one number of the tensor whose name holds `name`."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    found = next(key for key in tensors if name in key)
    tensors[found].view(-1)[0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})


def ask(text: str, context: Context = PLAIN, arm: str = "bait") -> Item:
    return Item(f"{context.id}|{text}", context.id, arm, Request(text, text), context)
