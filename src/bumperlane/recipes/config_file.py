"""Settings that a user writes in YAML or JSON, checked against a pydantic model: every fault is shown in its place.

One reader for recipes and for every other such file, so that an error looks the same wherever it was made.
"""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..errors import BumperlaneError
from .place import misspelt
from .yaml_lines import LinedYaml, read_yaml

Model = TypeVar("Model", bound=BaseModel)
SHOWN = 5  # faults at a time
NEAR = 0.5  # known names are suggested from this likeness on


def read_config(file: Path, model: type[Model], wrong: type[BumperlaneError], noun: str) -> Model:
    """Read a file into a model; paths in it may be taken from `info.context["folder"]`.

    Raises `wrong`: up to five faults, in the order of the file, each with file, line, column, the place underlined, and
    the nearest valid key or word.
    """
    return checked(read_yaml(Path(file), wrong, noun), model, wrong, noun)


def checked(lined: LinedYaml, model: type[Model], wrong: type[BumperlaneError], noun: str) -> Model:
    """The model of what was read, or all that is wrong with it."""
    try:
        return model.model_validate(lined.data, context={"folder": lined.file.absolute().parent})
    except ValidationError as error:
        told = dict.fromkeys(_explain(problem, lined, model, noun) for problem in _first_faults(error))
        faults = [text for _, text in sorted(told, key=lambda t: t[0])]
        more = f"\nand {len(faults) - SHOWN} more faults in {lined.file}." if len(faults) > SHOWN else ""
        raise wrong("\n".join(faults[:SHOWN]) + more) from error


def nearest(name: str, known: Iterable[str], noun: str) -> str:
    """`Did you mean 'x'? Known nouns: ...`, to close an error about an unknown name."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=NEAR)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return (f"Did you mean {close[0]!r}? " if close else "") + f"Known {noun}: {shown or 'none'}."


def models_at(model: type[BaseModel], keys: Iterable[Any]) -> list[type[BaseModel]]:
    """The models that may stand at a path of keys, as pydantic gives it: fields, indices and tags of unions."""
    found = [model]
    for key in keys:
        annotations = [m.model_fields[key].annotation for m in found if key in m.model_fields]
        if annotations:
            found = [inner for annotation in annotations for inner in _models_in(annotation)]
        else:
            found = [m for m in found if key in _tags(m)] or found
    return found


def _first_faults(error: ValidationError) -> list[Any]:
    """The faults without those that follow from others: a list is not short because an item of it is wrong."""
    problems: list[Any] = error.errors()
    parents = {p["loc"][:n] for p in problems for n in range(len(p["loc"]))}
    return [p for p in problems if p["type"] != "too_short" or p["loc"] not in parents]


def _explain(problem: Any, lined: LinedYaml, model: type[BaseModel], noun: str) -> tuple[int, str]:
    """(place in the text, what to say) about one fault of the schema."""
    keys, kind = tuple(problem["loc"]), problem["type"]
    shown = ".".join(str(k) for i, k in enumerate(keys) if not _is_tag(model, keys[:i], k)) or f"the {noun}"
    place, last = lined.place.at(*keys), keys[-1] if keys else ""
    context = problem.get("ctx", {})
    if kind == "extra_forbidden":
        place = lined.place.at(*keys, on="key")
        known = [name for m in models_at(model, keys[:-1]) for name in m.model_fields]
        said = f"unknown key {last!r}. {nearest(last, set(known), 'keys')}"
    elif kind == "missing":
        said = f"{shown.rpartition('.')[0] or f'the {noun}'} lacks the key {last!r}. Add it."
        said += _meant(problem["input"], str(last))
    elif kind == "union_tag_not_found":
        name = str(context["discriminator"]).strip("'")
        said = f"{shown} lacks the key {name!r}. Known {name}s: {', '.join(_known_tags(model, keys))}."
    elif kind == "union_tag_invalid":
        name, tag = str(context["discriminator"]).strip("'"), str(context["tag"])
        place = lined.place.at(*keys, name)
        said = f"{shown} has the unknown {name} {tag!r}. {nearest(tag, _known_tags(model, keys), f'{name}s')}"
    else:
        place = place.at(*keys, *context.get("at", ()))
        message = problem["msg"].removeprefix("Value error, ")
        own = kind in ("value_error", "placed") or isinstance(problem["input"], dict | BaseModel)
        got = "" if own else f", got {problem['input']!r:.100}"
        said = f"{shown}: {message}{got}. {_mend(problem)}"
    return place.start, place.said(said)


def _mend(problem: Any) -> str:
    """What to do about a value: the nearest allowed word where there are some."""
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        words = [w.strip(" '") for w in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
        close = difflib.get_close_matches(problem["input"], words, n=1, cutoff=NEAR)
        return f"Did you mean {close[0]!r}?" if close else "Correct it."
    return "Correct it."


def _meant(given: Any, key: str) -> str:
    """A hint where a key is missing and one much like it is there."""
    return misspelt(given, (key,)) if isinstance(given, dict) else ""


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model inside an annotation: of a union, a list, an optional, a mapping's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and get_origin(annotation) is None:
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _tags(model: type[BaseModel]) -> set[Any]:
    """The words that tell a model from others of its union: the values of fields of a single literal."""
    literals = [get_args(f.annotation) for f in model.model_fields.values() if get_origin(f.annotation) is Literal]
    return {values[0] for values in literals if len(values) == 1}


def _known_tags(model: type[BaseModel], keys: Iterable[Any]) -> list[str]:
    return [str(tag) for m in models_at(model, keys) for tag in sorted(_tags(m))]


def _is_tag(model: type[BaseModel], before: Iterable[Any], key: Any) -> bool:
    found = models_at(model, before)
    return not any(key in m.model_fields for m in found) and any(key in _tags(m) for m in found)
