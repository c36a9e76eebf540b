"""The changes that a fix can make to a recipe, each a frozen value with a pure `apply`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from ..errors import SettingError
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


def _homes(recipe: Recipe, ids: Iterable[str]) -> dict[str, str]:
    """Example id -> tranche name, for the ids that are asked for."""
    home = {e.id: t.name for t in recipe.tranches for e in read_tranche(t.path, t.name)}
    unknown = [id for id in ids if id not in home]
    if unknown:
        hint = nearest(unknown[0], home, "ids")
        raise SettingError(f"{len(unknown)} unknown example ids, first {unknown[0]!r}. {hint}")
    return home
