"""When two trainings are the same: equal settings on equal bytes, wherever the files lie."""

from pathlib import Path
from typing import Any

from ..subjects.smollm2 import resolve_model
from .models import Check, CommandStage, GrpoStage, Recipe, SftStage
from .provenance import content_key, model_files, sha256_file, sha256_files
from .rewards import reward_source
from .run import Run


def inputs_of(recipe: Recipe) -> dict[str, Any]:
    """Hashes of everything a recipe reads: base files, tranches, held-out file, the checkpoint it is rewound to,
    environments (by `<stage>/<name>`) and the files that define reward functions (by `<stage>/<name>`).

    A built-in reward function stands with its name, as the trainers do; so does what a command stage names.

    Raises RunError for a missing file or checkpoint, ModelError for a known model that is not fetched.
    """
    rewind = recipe.rewind
    start = Run.open(rewind.run, allow_partial=True).at(rewind.step) if rewind else None
    return {
        "base": model_files(resolve_model(recipe.base)),
        "tranches": {t.name: sha256_file(t.path) for t in recipe.tranches},
        "held_out": sha256_file(recipe.held_out) if recipe.held_out else None,
        "rewind": content_key(_weights(start.path)) if start else None,
        "environments": {
            f"{i}/{e.name}": sha256_file(e.path) for i, stage in _with_environments(recipe) for e in stage.environments
        },
        "rewards": {
            f"{i}/{term.name}": sha256_file(source)
            for i, stage in _with_environments(recipe)
            for term in _terms(stage)
            if (source := reward_source(term.function)) is not None
        },
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
    for i, _ in _with_environments(recipe):
        _hash_stage(dump["stages"][i], i, inputs)
    return content_key(dump)


def _with_environments(recipe: Recipe) -> list[tuple[int, GrpoStage | CommandStage]]:
    return [(i, stage) for i, stage in enumerate(recipe.stages) if not isinstance(stage, SftStage)]


def _terms(stage: GrpoStage | CommandStage) -> tuple[Check, ...]:
    """The terms whose functions are called here; those of a command are its own matter."""
    return (*stage.rewards, *stage.checks) if isinstance(stage, GrpoStage) else ()


def _hash_stage(dump: dict[str, Any], index: int, inputs: dict[str, Any]) -> None:
    """Put hashes where paths stand. A command without environments has the key it had before there were any."""
    for environment in dump["environments"]:
        environment["path"] = inputs["environments"][f"{index}/{environment['name']}"]
        environment["drop"] = sorted(environment["drop"])
    for term in (*dump["rewards"], *dump.get("checks", ())):
        digest = inputs["rewards"].get(f"{index}/{term['name']}")
        if digest:
            term["function"] = f"{digest}:{term['function'].rpartition(':')[2]}"
    if dump["kind"] == "command":
        for key in ("environments", "rewards"):
            if not dump[key]:
                del dump[key]


def _weights(checkpoint: Path) -> dict[str, str]:
    """Adapter or model, and the optimiser's state; not the adapter's config, which names where the base lies."""
    return sha256_files(checkpoint.glob("*.safetensors"), checkpoint)


def changed_inputs(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of the inputs whose bytes differ, for an error message."""
    names = [f"tranche {n}" for n, h in after["tranches"].items() if before.get("tranches", {}).get(n) != h]
    for part in ("environments", "rewards"):
        old, noun = before.get(part, {}), part.removesuffix("s")
        names += [f"{noun} {n.partition('/')[2]}" for n, h in after[part].items() if old.get(n) != h]
    return names + [name for name in ("base", "rewind") if before.get(name) != after[name]]


def base_path(recipe: Recipe) -> str:
    """Where the base lies: a directory, or a hub name."""
    where = resolve_model(recipe.base)
    return str(Path(where).absolute()) if Path(where).is_dir() else where
