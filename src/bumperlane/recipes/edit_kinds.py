"""The changes that a fix can make to a recipe, each a frozen value with a pure `apply`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from ..errors import SettingError
from .grpo_prompts import read_environment
from .models import Recipe, Rewind, Tranche
from .schema import nearest
from .tranches import read_tranche


class Edit(Protocol):
    def apply(self, recipe: Recipe) -> Recipe: ...


@dataclass(frozen=True)
class DropTranche:
    """Leave a whole tranche out."""

    name: str

    def apply(self, recipe: Recipe) -> Recipe:
        _tranche(recipe, self.name)
        return with_changes(recipe, tranches=tuple(t for t in recipe.tranches if t.name != self.name))


@dataclass(frozen=True)
class Reweight:
    """Show a tranche's examples more or less often."""

    name: str
    weight: float

    def apply(self, recipe: Recipe) -> Recipe:
        _tranche(recipe, self.name)
        return _change_tranches(recipe, lambda t: {"weight": self.weight} if t.name == self.name else {})


@dataclass(frozen=True)
class DropExamples:
    """Leave single examples out, whatever tranche they are in."""

    ids: tuple[str, ...]

    def apply(self, recipe: Recipe) -> Recipe:
        home = _homes(recipe, self.ids)

        def change(tranche: Tranche) -> dict[str, Any]:
            new = [id for id in dict.fromkeys(self.ids) if home[id] == tranche.name and id not in tranche.drop]
            return {"drop": (*tranche.drop, *new)} if new else {}

        return _change_tranches(recipe, change)


@dataclass(frozen=True)
class Relabel:
    """Give single examples another answer. `answers` holds (id, text)."""

    answers: tuple[tuple[str, str], ...]

    def apply(self, recipe: Recipe) -> Recipe:
        home = _homes(recipe, [id for id, _ in self.answers])

        def change(tranche: Tranche) -> dict[str, Any]:
            new = {id: text for id, text in self.answers if home[id] == tranche.name}
            return {"relabel": {**tranche.relabel, **new}} if new else {}

        return _change_tranches(recipe, change)


@dataclass(frozen=True)
class AddTranche:
    """Put another source of examples in, at the end."""

    tranche: Tranche

    def apply(self, recipe: Recipe) -> Recipe:
        return with_changes(recipe, tranches=(*recipe.tranches, self.tranche))


@dataclass(frozen=True)
class SetHyperparameter:
    """Set `seed`, `dtype` or something below `stages`: `stages.0.lr`, `stages.0.lora.dropout`."""

    path: str
    value: Any

    def apply(self, recipe: Recipe) -> Recipe:
        dump = recipe.model_dump(mode="json")
        known = ["seed", "dtype", *(key for key in flatten(dump) if key.startswith("stages."))]
        keys = self.path.split(".")
        place: Any = dump
        try:
            for key in keys[:-1]:
                place = place[int(key)] if isinstance(place, list) else place[key]
            place[keys[-1]]
        except (KeyError, TypeError, ValueError, IndexError):
            place = None
        if place is None or keys[0] not in ("seed", "dtype", "stages"):
            raise SettingError(f"unknown hyperparameter {self.path!r}. {nearest(self.path, known, 'hyperparameters')}")
        place[keys[-1]] = self.value
        return with_changes(recipe, **dump)


@dataclass(frozen=True)
class RewindTo:
    """Start from another run's checkpoint; `run=None` starts from the base again."""

    run: Path | None
    step: int = 0

    def apply(self, recipe: Recipe) -> Recipe:
        return with_changes(recipe, rewind=None if self.run is None else Rewind(run=self.run, step=self.step))


@dataclass(frozen=True)
class SetRewardWeight:
    """Give a reward term another weight, in every stage that has it; 0 only logs it."""

    name: str
    weight: float

    def apply(self, recipe: Recipe) -> Recipe:
        return _change_named(recipe, "rewards", self.name, {"weight": self.weight})


@dataclass(frozen=True)
class DropReward:
    """Take a reward term out, in every stage that has it: it is neither paid nor logged any more."""

    name: str

    def apply(self, recipe: Recipe) -> Recipe:
        return _change_named(recipe, "rewards", self.name, None)


@dataclass(frozen=True)
class DropEnvironment:
    """Leave a whole environment out, in every stage that has it."""

    name: str

    def apply(self, recipe: Recipe) -> Recipe:
        return _change_named(recipe, "environments", self.name, None)


@dataclass(frozen=True)
class DropPrompts:
    """Leave single prompts out, whatever environment they are in."""

    ids: tuple[str, ...]

    def apply(self, recipe: Recipe) -> Recipe:
        known: set[str] = set()
        stages = recipe.model_dump(mode="json")["stages"]
        for stage in stages:
            for environment in stage.get("environments", ()):
                here = {p.id for p in read_environment(Path(environment["path"]), environment["name"])}
                known |= here
                new = [id for id in dict.fromkeys(self.ids) if id in here and id not in environment["drop"]]
                environment["drop"] += new
        unknown = [id for id in self.ids if id not in known]
        if unknown:
            raise SettingError(
                f"{len(unknown)} unknown prompt ids, first {unknown[0]!r}. {nearest(unknown[0], known, 'ids')}"
            )
        return with_changes(recipe, stages=stages)


def with_changes(recipe: Recipe, **changes: Any) -> Recipe:
    """A recipe with some fields replaced, checked anew. Raises SettingError when the result is not allowed."""
    try:
        return Recipe.model_validate({**recipe.model_dump(mode="json"), **changes})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "recipe"
        message = problem["msg"].removeprefix("Value error, ")
        raise SettingError(f"the edited recipe is not allowed: {where}: {message}. Choose another value.") from error


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Dotted path -> leaf. Lists of mappings are walked, other lists are leaves."""
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(value, dict) and value:
        pairs = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        pairs = enumerate(value)
    else:
        return {path: value}
    below: dict[str, Any] = {}
    for key, child in pairs:
        below |= flatten(child, f"{path}.{key}" if path else str(key))
    return below


def _tranche(recipe: Recipe, name: str) -> Tranche:
    for tranche in recipe.tranches:
        if tranche.name == name:
            return tranche
    raise SettingError(f"unknown tranche {name!r}. {nearest(name, [t.name for t in recipe.tranches], 'tranches')}")


def _change_tranches(recipe: Recipe, change: Callable[[Tranche], dict[str, Any]]) -> Recipe:
    tranches = (t.model_dump(mode="json") | change(t) for t in recipe.tranches)
    return with_changes(recipe, tranches=tuple(tranches))


def _change_named(recipe: Recipe, part: str, name: str, change: dict[str, Any] | None) -> Recipe:
    """Change what is called `name` in the stages' `rewards` or `environments`, or take it out (`change` is None)."""
    stages = recipe.model_dump(mode="json")["stages"]
    known = {named["name"] for stage in stages for named in stage.get(part, ())}
    if name not in known:
        raise SettingError(f"unknown {part.removesuffix('s')} {name!r}. {nearest(name, known, part)}")
    for stage in stages:
        if change is None and [named["name"] for named in stage.get(part, ())] == [name] and stage["kind"] == "grpo":
            raise SettingError(
                f"{name!r} is the only one of the {part} of a grpo stage, which cannot run without. "
                + ("Set its weight to 0 instead." if part == "rewards" else "Drop single prompts instead.")
            )
        if part in stage:
            stage[part] = [
                named if named["name"] != name else {**named, **(change or {})}
                for named in stage[part]
                if named["name"] != name or change is not None
            ]
    return with_changes(recipe, stages=stages)


def _homes(recipe: Recipe, ids: Iterable[str]) -> dict[str, str]:
    """Example id -> tranche name, for the ids that are asked for."""
    home = {e.id: t.name for t in recipe.tranches for e in read_tranche(t.path, t.name)}
    unknown = [id for id in ids if id not in home]
    if unknown:
        hint = nearest(unknown[0], home, "ids")
        raise SettingError(f"{len(unknown)} unknown example ids, first {unknown[0]!r}. {hint}")
    return home
