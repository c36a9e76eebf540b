"""Put a LoRA adapter on a base, at explicitly named modules, with reproducible initial weights."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from ..errors import SettingError, TrainingError
from .models import Lora

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def is_adapter(directory: Path) -> bool:
    return (directory / CONFIG).is_file()


def add_lora(model: Any, settings: Lora, seed: int, base: str) -> Any:
    """A PeftModel with a fresh adapter (B = 0, so the model is unchanged) in the base's dtype.

    Source: Hu et al. 2021, arXiv:2106.09685. Dropout is switched on in the adapter only: the frozen base stays in
    eval mode.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=target_modules(model, settings),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers 5 for a renamed attribute
        wrapped = get_peft_model(model, config, autocast_adapter_dtype=False).eval()
    wrapped.peft_config["default"].base_model_name_or_path = base
    for name, module in wrapped.named_modules():
        if "lora_dropout" in name:
            module.train()
    return wrapped


def load_lora(model: Any, directory: Path) -> None:
    """Put an adapter's saved weights in place. Raises TrainingError when it has another shape."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    try:
        weights = load_file(directory / WEIGHTS)
        found = set_peft_model_state_dict(model, weights)
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"the adapter in {directory} does not fit: {str(error).splitlines()[0]} Keep the lora settings it was "
            "trained with (r, targets, layers), or rewind to the base instead."
        ) from error
    missing = [key for key in found.missing_keys if "lora_" in key]
    if missing or found.unexpected_keys:
        raise TrainingError(
            f"the adapter in {directory} does not fit: {len(missing)} weights missing, {len(found.unexpected_keys)} "
            "unexpected. Keep the lora settings it was trained with (r, targets, layers)."
        )


def save_lora(model: Any, directory: Path) -> None:
    """Write peft's own format; lists in the config are sorted, so that equal adapters are equal bytes."""
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)
    config = json.loads((directory / CONFIG).read_text("utf-8"))
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
    (directory / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def target_modules(model: Any, settings: Lora) -> list[str]:
    """Full names of the modules that get an adapter; never the head.

    Resolved here because peft refuses `all-linear` together with layers. The layer is the first number in a name.

    Raises SettingError when nothing is left, naming what there is.
    """
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear | Conv1D) and m is not head]
    chosen, targets = linear, settings.targets
    if not isinstance(targets, str):
        chosen = [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
    if settings.layers is not None:
        first, last = settings.layers
        chosen = [n for n in chosen if (layer := _layer(n)) is not None and first <= layer <= last]
    if not chosen:
        numbers = [layer for n in linear if (layer := _layer(n)) is not None]
        raise SettingError(
            f"lora targets {targets} in layers {settings.layers} match no linear module. Known targets: "
            f"{', '.join(sorted({n.rpartition('.')[2] for n in linear}))}; layers 0 to {max(numbers, default=0)}."
        )
    return chosen


def _layer(name: str) -> int | None:
    return next((int(part) for part in name.split(".") if part.isdigit()), None)
