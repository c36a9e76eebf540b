"""A recipe for checkpoints that another trainer left: what can be read there is filled in, what cannot is marked.

Only JSON is read (config.json, adapter_config.json, trainer_state.json, training_args.json). `training_args.bin` and
weights in .bin or .pt are pickles, which can run code: they are named and left alone.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from .run import CHECKPOINTS, RECIPE

STEP = re.compile(r"(?:checkpoint|ckpt|global_?step|step|iter|model)?[-_]?0*(\d+)$", re.IGNORECASE)
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
DTYPES = ("float32", "bfloat16", "float16")
SCHEDULES = {"constant": "constant", "linear": "linear", "cosine": "cosine", "constant_with_warmup": "constant"}


@dataclass(frozen=True)
class Adopted:
    """What was found.

    Attributes:
        checkpoints: (optimiser step, directory), by step.
        unusable: directory name -> why it cannot be loaded.
        values: what was read, by the key of a recipe: base, dtype, seed, steps, batch, lr, lora ...
        sources: the same keys -> the file that said so.
        data: JSONL files that may be tranches, by name.
    """

    directory: Path
    checkpoints: tuple[tuple[int, Path], ...]
    unusable: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    data: dict[str, Path] = field(default_factory=dict)


def adopt(directory: Path, tranches: Sequence[tuple[str, Path]] = ()) -> Adopted:
    """Look at a directory of checkpoints. `tranches`: names and files that the user gives.

    Raises RecipeError when there is no checkpoint that can be loaded, when two have the same step or another base, or a
    JSON file is broken.
    """
    if not directory.is_dir():
        raise RecipeError(f"there is no directory {directory}. Give the one that holds your checkpoints.")
    found, unusable = _checkpoints(directory)
    if not found:
        why = "; ".join(f"{name}: {text}" for name, text in unusable.items()) or "no directory ends in a step number"
        raise RecipeError(
            f"{directory} holds no checkpoint that can be loaded ({why}). Wanted are directories such as "
            "checkpoint-100 or step-100 with config.json and *.safetensors, or adapter_config.json and "
            "adapter_model.safetensors."
        )
    values, sources = _read(directory, [place for _, place in found])
    data = dict(tranches)
    if len(data) < len(tranches):
        names = [name for name, _ in tranches]
        twice = next(name for name in data if names.count(name) > 1)
        raise RecipeError(f"two files are given as tranche {twice!r}. Give each a name of its own.")
    for name, file in data.items():
        if not file.is_file():
            raise RecipeError(f"tranche {name!r}: there is no file {file}. Correct the path.")
    return Adopted(directory, tuple(found), unusable, values, sources, data)


def link_checkpoints(adopted: Adopted, out: Path) -> int:
    """Put out/checkpoints/step-<n> links to the checkpoints, where they do not stand so already; returns how many.

    Raises RecipeError where another thing stands in a link's place.
    """
    made = 0
    for step, place in adopted.checkpoints:
        link = out / CHECKPOINTS / f"step-{step:06d}"
        if any(p.is_dir() and p.resolve() == place.resolve() for p in _same_step(out, step)):
            continue
        if link.exists() or link.is_symlink():
            raise RecipeError(
                f"{link} is there already and is not {place}. Move it, or choose another directory with -o."
            )
        link.parent.mkdir(parents=True, exist_ok=True)
        inside = place.resolve().is_relative_to(out.resolve())  # a link inside moves along with the directory
        link.symlink_to(os.path.relpath(place.resolve(), link.parent.resolve()) if inside else place.resolve())
        made += 1
    return made


def _same_step(out: Path, step: int) -> list[Path]:
    folder = out / CHECKPOINTS
    return [p for p in folder.iterdir() if re.fullmatch(rf"step-0*{step}", p.name)] if folder.is_dir() else []


def _checkpoints(directory: Path) -> tuple[list[tuple[int, Path]], dict[str, str]]:
    """((step, place) by step, name -> why not). A run's own checkpoints/ is looked into as well."""
    found: dict[int, Path] = {}
    unusable = {}
    folders = [f for f in (directory, directory / CHECKPOINTS) if f.is_dir()]
    for place in sorted(p for folder in folders for p in folder.iterdir() if p.is_dir()):
        named = STEP.fullmatch(place.name)
        if named is None:
            continue
        why = _unloadable(place)
        if why:
            unusable[place.name] = why
            continue
        step = int(named[1])
        if step in found and found[step].resolve() == place.resolve():
            continue  # a link that an earlier call made
        if step in found:
            raise RecipeError(f"{found[step]} and {place} are both step {step}. Keep one of the two in {directory}.")
        found[step] = place
    if not found and not unusable and not _unloadable(directory):
        found[_whole(_json(directory / "trainer_state.json").get("global_step")) or 1] = directory  # the end alone
    return sorted(found.items()), unusable


def _unloadable(place: Path) -> str:
    names = {p.name for p in place.iterdir()}
    safe = any(n.endswith(".safetensors") for n in names)
    if {"adapter_config.json", "adapter_model.safetensors"} <= names or ("config.json" in names and safe):
        return ""
    pickled = sorted(n for n in names if n.endswith(PICKLES) and "training_args" not in n)
    if pickled and not safe:
        return f"{pickled[0]} is a pickle, which is never loaded; save it anew with safe_serialization=True"
    return f"holds {', '.join(sorted(names)[:4]) or 'nothing'}, no config with weights in safetensors"


def _read(directory: Path, places: list[Path]) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(file: Path, **given: Any) -> None:
        for key, value in given.items():
            if value is not None and key not in values:
                values[key], sources[key] = value, os.path.relpath(file, directory)

    last = places[-1]
    bases = {}
    for place in places:
        adapter = _json(place / "adapter_config.json")
        if adapter:
            bases[str(adapter.get("base_model_name_or_path") or "")] = place
    if len(bases) > 1:
        shown = "; ".join(f"{place.name}: {base or 'none'}" for base, place in bases.items())
        raise RecipeError(f"the adapters in {directory} are of different bases ({shown}). Adopt each run on its own.")
    adapter, config = _json(last / "adapter_config.json"), _json(last / "config.json")
    if adapter:
        take(
            last / "adapter_config.json", base=_base(adapter.get("base_model_name_or_path"), last), lora=_lora(adapter)
        )
    if config:
        stated = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
        base = None if adapter else _base(config.get("_name_or_path"), last)
        take(last / "config.json", base=base, dtype=stated if stated in DTYPES else None)
    for folder in (last, directory):
        args = _json(folder / "training_args.json")
        if args:
            take(folder / "training_args.json", **_arguments(args))
        state = _json(folder / "trainer_state.json")
        if state:
            take(folder / "trainer_state.json", **_state(state))
    return values, sources


def _arguments(args: dict[str, Any]) -> dict[str, Any]:
    """Keys of transformers' TrainingArguments, as a recipe names them."""
    batch = _whole(args.get("per_device_train_batch_size"))
    accumulated = _whole(args.get("gradient_accumulation_steps")) or 1
    return {
        "seed": _whole(args.get("seed"), least=0),
        "lr": _number(args.get("learning_rate")),
        "batch": batch * accumulated if batch else None,
        "steps": _whole(args.get("max_steps")),
        "schedule": SCHEDULES.get(str(args.get("lr_scheduler_type"))),
        "warmup_steps": _whole(args.get("warmup_steps"), least=0),
        "weight_decay": _number(args.get("weight_decay"), least=0.0),
        "max_tokens": _whole(args.get("max_seq_length") or args.get("max_length"), least=2),
    }


def _state(state: dict[str, Any]) -> dict[str, Any]:
    """What a trainer_state.json says; the learning rate is the highest that was logged, which is its peak."""
    history = state.get("log_history")
    rows = [row for row in history if isinstance(row, dict)] if isinstance(history, list) else []
    rates = [rate for row in rows if (rate := _number(row.get("learning_rate"))) is not None]
    return {
        "steps": _whole(state.get("max_steps")) or _whole(state.get("global_step")),
        "every": _whole(state.get("save_steps")),
        "batch": _whole(state.get("train_batch_size")),
        "lr": max(rates, default=None),
    }


def _lora(adapter: dict[str, Any]) -> dict[str, Any] | None:
    r, alpha = _whole(adapter.get("r")), _number(adapter.get("lora_alpha"))
    if str(adapter.get("peft_type", "LORA")).upper() != "LORA" or not r or not alpha:
        return None
    targets = adapter.get("target_modules")
    named = sorted(map(str, targets)) if isinstance(targets, list) and targets else "all-linear"
    return {"r": r, "alpha": alpha, "dropout": _number(adapter.get("lora_dropout"), least=0.0) or 0.0, "targets": named}


def _base(stated: Any, place: Path) -> str | None:
    """The base as a recipe may name it. A config that names its own directory says nothing."""
    text = str(stated or "").strip()
    if not text or (os.path.isdir(text) and Path(text).resolve() == place.resolve()):
        return None
    return str(Path(text).resolve()) if os.path.isdir(text) else text


def _json(file: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{file} cannot be read as JSON: {error}. Restore it, or move it away.") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{file} holds a {type(content).__name__}, wanted is an object. Restore it, or move it away.")
    return content


def _whole(value: Any, least: int = 1) -> int | None:
    number = _number(value, least)
    return int(number) if number is not None and number.is_integer() else None


def _number(value: Any, least: float = 1e-300) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= sys.float_info.max
    return float(value) if usable else None


__all__ = ["RECIPE", "Adopted", "adopt", "link_checkpoints"]
