"""Recipe files: YAML in and out, and errors that show the place and name the nearest valid key."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ..errors import RecipeError
from .config_file import checked, nearest
from .grpo_prompts import read_environment, unknown_drop
from .models import (
    Check,
    CommandStage,
    Environment,
    GrpoStage,
    Lora,
    Optimiser,
    Recipe,
    Reward,
    Rewind,
    Schedule,
    SftStage,
    Stage,
    Tranche,
)
from .place import On
from .rewards import reward_source
from .tranches import read_tranche, unknown_edit
from .yaml_lines import LinedYaml, read_yaml


def load_recipe(path: Path | str, check_files: bool = True) -> Recipe:
    """Read and check a recipe. Relative paths are taken from the recipe's folder.

    Args:
        check_files: also check that base, tranches and held-out file exist, and the ids that edits name.

    Raises:
        RecipeError: shows file, line and column, and names the nearest valid key; or the tranche file that is missing,
            or the id that `drop` or `relabel` names and no example has.
    """
    lined = read_yaml(Path(path))
    recipe = checked(lined, Recipe, RecipeError, "recipe")
    if check_files:
        _refuse_missing(recipe, lined)
    return recipe


def dump_recipe(recipe: Recipe, path: Path | str) -> Path:
    """Write a recipe, paths absolute and defaults spelled out; `load_recipe` gives back an equal one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    part.write_text(text, "utf-8")
    os.replace(part, path)
    return path


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, for editors and other programs."""
    return Recipe.model_json_schema()


def _refuse_missing(recipe: Recipe, lined: LinedYaml) -> None:
    at = lined.place.at
    if recipe.base.startswith("/") and not Path(recipe.base).is_dir():
        raise at("base").fault(f"no model directory {recipe.base}. Correct the path.")
    if recipe.held_out and not recipe.held_out.is_file():
        raise at("held_out").fault(f"there is no file {recipe.held_out}. Correct the path.")
    for i, tranche in enumerate(recipe.tranches):
        if not tranche.path.is_file():
            raise at("tranches", i, "path").fault(
                f"tranche {tranche.name!r}: there is no file {tranche.path}. "
                "Correct the path; relative ones are taken from the recipe's folder."
            )
        if tranche.drop or tranche.relabel:
            found = unknown_edit(tranche, [e.id for e in read_tranche(tranche.path, tranche.name)])
            if found:
                key, wrong, hint = found
                on: On = "key" if key == "relabel" else "value"
                raise at("tranches", i, key, wrong, on=on).fault(f"{key} names {hint}")
    for i, stage in enumerate(recipe.stages):
        if isinstance(stage, GrpoStage | CommandStage):
            _refuse_missing_of_stage(stage, i, lined)


def _refuse_missing_of_stage(stage: GrpoStage | CommandStage, index: int, lined: LinedYaml) -> None:
    """Environments must exist and hold what `drop` names; a grpo stage's functions must be defined somewhere."""
    at = partial(lined.place.at, "stages", index)
    for i, environment in enumerate(stage.environments):
        if not environment.path.is_file():
            raise at("environments", i, "path").fault(
                f"environment {environment.name!r}: there is no file {environment.path}. Correct the path; relative "
                "ones are taken from the recipe's folder."
            )
        prompts = read_environment(environment.path, environment.name) if environment.drop else ()
        wrong = unknown_drop(environment, [p.id for p in prompts])
        if wrong:
            place, hint = wrong
            raise at("environments", i, "drop", place).fault(f"drop names {hint}")
    if isinstance(stage, GrpoStage):
        for key, terms in (("rewards", stage.rewards), ("checks", stage.checks)):
            for i, term in enumerate(terms):
                try:
                    reward_source(term.function)
                except RecipeError as error:
                    raise at(key, i, "function").fault(str(error)) from error


__all__ = [
    "Check",
    "CommandStage",
    "Environment",
    "GrpoStage",
    "Lora",
    "Optimiser",
    "Recipe",
    "Reward",
    "Rewind",
    "Schedule",
    "SftStage",
    "Stage",
    "Tranche",
    "dump_recipe",
    "load_recipe",
    "nearest",
    "recipe_schema",
]
