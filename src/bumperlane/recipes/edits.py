"""Changes to a recipe, as data: applied, described, compared and stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import SettingError
from .edit_kinds import (
    AddTranche,
    DropEnvironment,
    DropExamples,
    DropPrompts,
    DropReward,
    DropTranche,
    Edit,
    Relabel,
    Reweight,
    RewindTo,
    SetHyperparameter,
    SetRewardWeight,
    flatten,
)
from .models import Environment, Recipe, Tranche
from .schema import nearest

KINDS = (
    DropTranche, Reweight, DropExamples, Relabel, AddTranche, SetRewardWeight, DropReward, DropEnvironment, DropPrompts,
    SetHyperparameter, RewindTo,
)  # fmt: skip
NAMED = ("rewards", "checks", "environments")
EDITS = {kind.__name__: kind for kind in KINDS}


def apply_edits(recipe: Recipe, edits: Iterable[Edit]) -> Recipe:
    """The recipe after all edits, in order. The one given is not changed.

    Raises SettingError for a name or id that the recipe does not have, or a value it does not allow.
    """
    for edit in edits:
        recipe = edit.apply(recipe)
    return recipe


def edit_to_dict(edit: Edit) -> dict[str, Any]:
    """An edit as JSON: its class name under `edit`, and its fields."""
    if not isinstance(edit, KINDS):
        raise SettingError(f"{edit!r} is no edit. Known edits: {', '.join(EDITS)}.")
    return {"edit": type(edit).__name__, **{f.name: _plain(getattr(edit, f.name)) for f in fields(edit)}}


def edit_from_dict(data: Mapping[str, Any]) -> Edit:
    """The inverse of `edit_to_dict`. Raises SettingError for an unknown edit or field."""
    values = dict(data)
    name = values.pop("edit", None)
    if name not in EDITS:
        raise SettingError(f"unknown edit {name!r}. {nearest(str(name), EDITS, 'edits')}")
    cls = EDITS[name]
    wrong = set(values) ^ {f.name for f in fields(cls)}
    if wrong:
        known = [f.name for f in fields(cls)]
        raise SettingError(f"edit {name} has the fields {known}; {sorted(wrong)} are missing or unknown. Correct them.")
    if name == "AddTranche":
        try:
            values["tranche"] = Tranche.model_validate(values["tranche"])
        except ValidationError as error:
            raise SettingError(f"edit AddTranche holds no valid tranche: {error.errors()[0]['msg']}.") from error
    if name == "RewindTo" and values["run"] is not None:
        values["run"] = Path(values["run"])
    if name in ("DropExamples", "DropPrompts"):
        values["ids"] = tuple(values["ids"])
    if name == "Relabel":
        values["answers"] = tuple((id, text) for id, text in values["answers"])
    return cls(**values)


def describe(edit: Edit) -> str:
    """One line for people."""
    match edit:
        case DropTranche(name):
            return f"drop tranche {name}"
        case Reweight(name, weight):
            return f"weight tranche {name} {weight:g}"
        case DropExamples(ids):
            return f"drop {_some(ids)}"
        case Relabel(answers):
            return f"relabel {_some([id for id, _ in answers])}"
        case AddTranche(tranche):
            return f"add tranche {_line(tranche)}"
        case SetRewardWeight(name, weight):
            return f"weight reward {name} {weight:g}"
        case DropReward(name):
            return f"drop reward {name}"
        case DropEnvironment(name):
            return f"drop environment {name}"
        case DropPrompts(ids):
            return f"drop {_some(ids, 'prompt')}"
        case SetHyperparameter(path, value):
            return f"set {path} to {value}"
        case RewindTo(run, step):
            return "start from the base" if run is None else f"rewind to step {step} of {run}"
    raise SettingError(f"{edit!r} is no edit. Known edits: {', '.join(EDITS)}.")


def diff(before: Recipe, after: Recipe) -> str:
    """What changed, one line a change: `-` gone, `+` new, `~` changed. Empty for equal recipes."""
    lines = []
    old, new = ({t.name: t for t in r.tranches} for r in (before, after))
    lines += [f"- tranche {_line(t)}" for n, t in old.items() if n not in new]
    lines += [f"+ tranche {_line(t)}" for n, t in new.items() if n not in old]
    for name in (n for n in old if n in new):
        lines += _tranche_changes(old[name], new[name])
    lines += _stage_changes(before, after)
    a, b = (flatten(_without_named(r)) for r in (before, after))
    lines += [f"~ {k}: {a.get(k, 'none')} -> {b.get(k, 'none')}" for k in {**a, **b} if a.get(k) != b.get(k)]
    if before.rewind != after.rewind:
        lines.append(f"~ rewind: {_rewound(before)} -> {_rewound(after)}")
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def _line(tranche: Tranche) -> str:
    return f"{tranche.name} (weight {tranche.weight}, {tranche.path.name})"


def _rewound(recipe: Recipe) -> str:
    return f"{recipe.rewind.run} at step {recipe.rewind.step}" if recipe.rewind else "none"


def _some(ids: Sequence[str], noun: str = "example") -> str:
    shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
    return f"{len(ids)} {noun}{'s' if len(ids) != 1 else ''}: {shown}"


def _stage_changes(before: Recipe, after: Recipe) -> list[str]:
    """Reward terms, checks and environments by name, for stages that both recipes have."""
    lines = []
    for index, pair in enumerate(zip(before.stages, after.stages, strict=False)):
        for part in NAMED:
            old, new = ({named.name: named for named in getattr(stage, part, ())} for stage in pair)
            noun = f"stages.{index} {part.removesuffix('s')}"
            lines += [f"- {noun} {n}" for n in old if n not in new]
            lines += [f"+ {noun} {n}" for n in new if n not in old]
            for name in (n for n in old if n in new):
                lines += [
                    f"~ {noun} {name}: {key} {getattr(old[name], key)} -> {getattr(new[name], key)}"
                    for key in ("function", "path", "weight")
                    if getattr(old[name], key, None) != getattr(new[name], key, None)
                ]
                if isinstance(old[name], Environment):
                    lines += _drop_changes(f"{noun} {name}", old[name], new[name], "prompt")
    return lines


def _without_named(recipe: Recipe) -> dict[str, Any]:
    """The recipe's other settings."""
    dump = recipe.model_dump(mode="json", exclude={"tranches", "rewind"})
    for stage in dump["stages"]:
        for part in NAMED:
            stage.pop(part, None)
    return dump


def _drop_changes(what: str, old: Tranche | Environment, new: Tranche | Environment, noun: str) -> list[str]:
    gone, back = sorted(set(new.drop) - set(old.drop)), sorted(set(old.drop) - set(new.drop))
    lines = [f"~ {what}: dropped {_some(gone, noun)}"] if gone else []
    return lines + ([f"~ {what}: no longer dropped {_some(back, noun)}"] if back else [])


def _tranche_changes(old: Tranche, new: Tranche) -> list[str]:
    name, lines = old.name, []
    for key in ("path", "weight"):
        before, after = getattr(old, key), getattr(new, key)
        if before != after:
            lines.append(f"~ tranche {name}: {key} {before} -> {after}")
    lines += _drop_changes(f"tranche {name}", old, new, "example")
    changed = sorted(k for k in {**old.relabel, **new.relabel} if old.relabel.get(k) != new.relabel.get(k))
    if changed:
        lines.append(f"~ tranche {name}: relabelled {_some(changed)}")
    return lines


__all__ = [
    "AddTranche",
    "DropEnvironment",
    "DropExamples",
    "DropPrompts",
    "DropReward",
    "DropTranche",
    "Edit",
    "Relabel",
    "Reweight",
    "RewindTo",
    "SetHyperparameter",
    "SetRewardWeight",
    "apply_edits",
    "describe",
    "diff",
    "edit_from_dict",
    "edit_to_dict",
]
