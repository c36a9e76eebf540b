"""Evidence files: YAML or JSON in our own schema, with errors that name file, line and the nearest valid key."""

import json
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import EvidenceError
from ..recipes.config_file import nearest
from ..recipes.yaml_lines import LinedYaml, read_yaml
from .evidence import Evidence

SHOWN = 5  # faults in one error
M = TypeVar("M", bound=BaseModel)


def read_lined(file: Path, what: str, begin: str) -> LinedYaml:
    """A YAML (or JSON) mapping with the place of each key. Raises EvidenceError with file, line and column."""
    return read_yaml(file, EvidenceError, what, begin)


def read_evidence(file: Path) -> list[Evidence]:
    """One claim's evidence (a mapping with `claim`), or several under `claims`.

    Raises EvidenceError with file, line, and for an unknown key the nearest valid one.
    """
    lined = read_lined(file, "file of claims", "claim: ...")
    if "claim" in lined.data:
        return [build(Evidence, lined.data, lined)]
    many = lined.data.get("claims")
    if not isinstance(many, list) or not many:
        raise lined.place.at(next(iter(lined.data), ""), on="key").fault(
            "no claims: a file of claims has `claim: ...`, or a list `claims:` of mappings with `claim`. "
            f"{nearest(next(iter(lined.data), ''), ['claim', 'claims'], 'keys')}",
            EvidenceError,
        )
    extra = [key for key in lined.data if key != "claims"]
    if extra:
        raise lined.place.at(extra[0], on="key").fault(
            f"unknown key {extra[0]!r} beside `claims`. Put it into each claim.", EvidenceError
        )
    return [build(Evidence, one, lined, ("claims", i)) for i, one in enumerate(many)]


def build(model: type[M], data: Any, lined: LinedYaml, at: tuple[int | str, ...] = ()) -> M:
    """Check data against a model. `at`: where the data stands in the file."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = list(dict.fromkeys(explain(model, fault, lined, at) for fault in error.errors()))
        more = f"\n({len(faults) - SHOWN} more)" if len(faults) > SHOWN else ""
        raise EvidenceError("\n".join(faults[:SHOWN]) + more) from error


def explain(model: type[BaseModel], fault: Any, lined: LinedYaml, at: tuple[int | str, ...] = ()) -> str:
    """One fault, in its place."""
    keys, kind = tuple(fault["loc"]), fault["type"]
    place, shown = lined.place.at(*at, *keys), ".".join(map(str, keys)) or "the file"
    if kind == "extra_forbidden":
        place = lined.place.at(*at, *keys, on="key")
        hint = nearest(str(keys[-1]), _fields(model, keys[:-1]), "keys")
        return place.said(f"unknown key {keys[-1]!r} in {_within(keys)}. {hint}")
    if kind == "missing":
        return place.said(f"{_within(keys)} lacks the key {keys[-1]!r}. Add it.")
    message = fault["msg"].removeprefix("Value error, ")
    plain = kind == "value_error" or isinstance(fault["input"], dict | list | BaseModel)
    return place.said(f"{shown}: {message}{'' if plain else ', got ' + repr(fault['input'])[:80]}. Correct it.")


def _within(keys: tuple[Any, ...]) -> str:
    return ".".join(map(str, keys[:-1])) or "the top level"


def _fields(model: type[BaseModel], keys: tuple[Any, ...]) -> list[str]:
    """Names that are valid where a path of keys leads to."""
    for key in keys:
        if isinstance(key, int) or key not in model.model_fields:
            continue
        found = _models(model.model_fields[key].annotation)
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Models inside an annotation such as list[Part] | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in _models(part)]


def dump_evidence(e: Evidence) -> str:
    """YAML that `read_evidence` gives back as an equal one; what is not there is left out."""
    content = json.loads(e.model_dump_json(exclude_defaults=True))
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
