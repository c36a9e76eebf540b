"""Recipe files: YAML in and out, and errors that name file, line and the nearest valid key."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import RecipeError
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
from .rewards import reward_source
from .tranches import read_tranche, unknown_edit
from .yaml_lines import LinedYaml, read_yaml

STAGES: dict[Any, type[BaseModel]] = {"sft": SftStage, "command": CommandStage, "grpo": GrpoStage}
PARTS: dict[Any, type[BaseModel]] = {
    **STAGES,
    "tranches": Tranche,
    "rewind": Rewind,
    "optimiser": Optimiser,
    "lora": Lora,
    "checkpoints": Schedule,
    "environments": Environment,
    "rewards": Reward,
    "checks": Check,
}


def load_recipe(path: Path | str, check_files: bool = True) -> Recipe:
    """Read and check a recipe. Relative paths are taken from the recipe's folder.

    Args:
        check_files: also check that base, tranches and held-out file exist, and the ids that edits name.

    Raises:
        RecipeError: names file, line and the nearest valid key; or the tranche file that is missing, or the id that
            `drop` or `relabel` names and no example has.
    """
    file = Path(path)
    lined = read_yaml(file)
    try:
        recipe = Recipe.model_validate(lined.data, context={"folder": file.absolute().parent})
    except ValidationError as error:
        lines = dict.fromkeys(_explain(problem, lined) for problem in error.errors())
        raise RecipeError("\n".join(list(lines)[:5])) from error
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


def nearest(name: str, known: Iterable[str], noun: str) -> str:
    """`Did you mean 'x'? Known nouns: ...`, to close an error about an unknown name."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return (f"Did you mean {close[0]!r}? " if close else "") + f"Known {noun}: {shown or 'none'}."


def _refuse_missing(recipe: Recipe, lined: LinedYaml) -> None:
    if recipe.base.startswith("/") and not Path(recipe.base).is_dir():
        raise RecipeError(f"{lined.where('base')}: no model directory {recipe.base}. Correct the path.")
    if recipe.held_out and not recipe.held_out.is_file():
        raise RecipeError(f"{lined.where('held_out')}: there is no file {recipe.held_out}. Correct the path.")
    for i, tranche in enumerate(recipe.tranches):
        if not tranche.path.is_file():
            raise RecipeError(
                f"{lined.where('tranches', i, 'path')}: tranche {tranche.name!r}: there is no file {tranche.path}. "
                "Correct the path; relative ones are taken from the recipe's folder."
            )
        if tranche.drop or tranche.relabel:
            found = unknown_edit(tranche, [e.id for e in read_tranche(tranche.path, tranche.name)])
            if found:
                key, wrong, hint = found
                raise RecipeError(f"{lined.where('tranches', i, key, wrong)}: {key} names {hint}")
    for i, stage in enumerate(recipe.stages):
        if isinstance(stage, GrpoStage | CommandStage):
            _refuse_missing_of_stage(stage, i, lined)


def _refuse_missing_of_stage(stage: GrpoStage | CommandStage, index: int, lined: LinedYaml) -> None:
    """Environments must exist and hold what `drop` names; a grpo stage's functions must be defined somewhere."""
    at = ("stages", index)
    for i, environment in enumerate(stage.environments):
        if not environment.path.is_file():
            raise RecipeError(
                f"{lined.where(*at, 'environments', i, 'path')}: environment {environment.name!r}: there is no file "
                f"{environment.path}. Correct the path; relative ones are taken from the recipe's folder."
            )
        prompts = read_environment(environment.path, environment.name) if environment.drop else ()
        wrong = unknown_drop(environment, [p.id for p in prompts])
        if wrong:
            place, hint = wrong
            raise RecipeError(f"{lined.where(*at, 'environments', i, 'drop', place)}: drop names {hint}")
    if isinstance(stage, GrpoStage):
        for key, terms in (("rewards", stage.rewards), ("checks", stage.checks)):
            for i, term in enumerate(terms):
                try:
                    reward_source(term.function)
                except RecipeError as error:
                    raise RecipeError(f"{lined.where(*at, key, i, 'function')}: {error}") from error


def _explain(problem: Any, lined: LinedYaml) -> str:
    """One line about one schema problem."""
    keys, kind = tuple(problem["loc"]), problem["type"]
    shown = ".".join(str(k) for k in keys if k not in STAGES) or "the recipe"
    where = lined.where(*keys)
    if kind == "extra_forbidden":
        return f"{where}: unknown key {keys[-1]!r}. {nearest(keys[-1], _part(keys[:-1]).model_fields, 'keys')}"
    if kind == "missing":
        return f"{where}: {shown.rpartition('.')[0] or 'the recipe'} lacks the key {keys[-1]!r}. Add it."
    if kind == "union_tag_not_found":
        return f"{where}: {shown} lacks the key 'kind'. Known kinds: {', '.join(STAGES)}."
    if kind == "union_tag_invalid":
        where, tag = lined.where(*keys, "kind"), str(problem["ctx"]["tag"])
        return f"{where}: {shown} has the unknown kind {tag!r}. {nearest(tag, STAGES, 'kinds')}"
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if isinstance(problem["input"], dict | BaseModel) else f", got {problem['input']!r}"
    return f"{where}: {shown}: {message}{'' if kind == 'value_error' else got}. Correct it."


def _part(keys: tuple[Any, ...]) -> type[BaseModel]:
    """The model that a path of keys leads to."""
    part: type[BaseModel] = Recipe
    for key in keys:
        part = PARTS.get(key, part)
    return part


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
