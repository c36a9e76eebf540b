"""When two trainings are the same: equal settings on equal bytes, wherever the files lie."""

from pathlib import Path
from typing import Any

from ..subjects.smollm2 import resolve_model
from .models import Recipe
from .provenance import content_key, model_files, sha256_file, sha256_files
from .run import Run


def inputs_of(recipe: Recipe) -> dict[str, Any]:
    """Hashes of everything a recipe reads: base files, tranches, held-out file and the checkpoint it is rewound to.

    Raises RunError for a missing file or checkpoint, ModelError for a known model that is not fetched.
    """
    rewind = recipe.rewind
    start = Run.open(rewind.run, allow_partial=True).at(rewind.step) if rewind else None
    return {
        "base": model_files(resolve_model(recipe.base)),
        "tranches": {t.name: sha256_file(t.path) for t in recipe.tranches},
        "held_out": sha256_file(recipe.held_out) if recipe.held_out else None,
        "rewind": content_key(_weights(start.path)) if start else None,
    }


def recipe_key(recipe: Recipe, inputs: dict[str, Any] | None = None) -> str:
    """The hash under which a training can be looked up: the recipe with every path replaced by its file's hash.

    The held-out file is left out: it is never trained on. A base that is not on disk stands with its name.
    """
    inputs = inputs_of(recipe) if inputs is None else inputs
    dump = recipe.model_dump(mode="json", exclude={"held_out"})
    dump["base"] = inputs["base"] or recipe.base
    for tranche in dump["tranches"]:
        tranche["path"] = inputs["tranches"][tranche["name"]]
        tranche["drop"] = sorted(tranche["drop"])
    if dump["rewind"]:
        dump["rewind"]["run"] = inputs["rewind"]
    return content_key(dump)


def _weights(checkpoint: Path) -> dict[str, str]:
    """Adapter or model, and the optimiser's state; not the adapter's config, which names where the base lies."""
    return sha256_files(checkpoint.glob("*.safetensors"), checkpoint)


def changed_inputs(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of the inputs whose bytes differ, for an error message."""
    names = [f"tranche {n}" for n, h in after["tranches"].items() if before.get("tranches", {}).get(n) != h]
    return names + [name for name in ("base", "rewind") if before.get(name) != after[name]]


def base_path(recipe: Recipe) -> str:
    """Where the base lies: a directory, or a hub name."""
    where = resolve_model(recipe.base)
    return str(Path(where).absolute()) if Path(where).is_dir() else where
