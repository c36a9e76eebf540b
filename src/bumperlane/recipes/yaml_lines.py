"""YAML whose every key has a place: where it stands in its file. Only the safe loader is used. JSON is YAML too."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import BumperlaneError, RecipeError
from .place import Key, On, Place

# What the parser says, and what a person can do about it. The first whose words are in the problem is taken.
ADVICE = (
    ("'\\t'", "a tab stands where the line begins; YAML is indented with spaces only. Replace it by spaces."),
    ("unexpected end of stream", "a quote is opened here and never closed. Close it."),
    ("mapping values are not allowed", "a second ': ' in one value. Quote the text, or correct the indentation."),
    ("could not find expected ':'", "a key without ': ' after it. Write `key: value`."),
    ("could not determine a constructor", "a YAML tag (!...) is not allowed. Write a plain value."),
    ("found undefined alias", "an alias (*...) that no anchor (&...) before it names. Quote the text, or add it."),
    ("expected ',' or ']'", "a list is opened with [ here and never closed. Close it with ]."),
    ("expected ',' or '}'", "a mapping is opened with { here and never closed. Close it with }."),
    ("did not find expected <document start>", "something stands after the end. Is a line not indented as the others?"),
    ("expected <block end>", "this line is not indented as those before it. Line it up with them."),
    ("cannot start any token", "a value may not begin with this character. Quote it."),
)
OPENED_BEFORE = (
    "unexpected end of stream",
    "expected ',' or",
)  # the fault is where it was opened, not where it was met


@dataclass(frozen=True)
class LinedYaml:
    """A YAML mapping as plain data, and the place of the whole, from which each key's is found with `at`."""

    file: Path
    data: dict[str, Any]
    place: Place


def read_yaml(
    file: Path, wrong: type[BumperlaneError] = RecipeError, noun: str = "recipe", begins: str = "key: value"
) -> LinedYaml:
    """Read a YAML mapping.

    Args:
        noun: what the file is, in errors.
        begins: how such a file begins, to follow "Begin it with".

    Raises `wrong`, with file, line and column, for a missing file, broken YAML, duplicate keys, or another top level.
    """
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise wrong(f"cannot read the {noun} {file}: {reason}. Correct the path.") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicates(root, Place(file, text), set(), wrong)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _broken(error, file, text, wrong) from error
    except RecursionError as error:
        raise wrong(f"{file}: this is not valid YAML: nested too deep. Is it a {noun}?") from error
    except (ValueError, OverflowError) as error:  # a value that is written as a date or a number and is none
        raise _unreadable(root, Place(file, text), wrong) from error
    place = Place(file, text, 0, 1, spans=yaml_span)
    if root is None or not isinstance(data, dict):
        held = "nothing" if data is None else f"a {type(data).__name__}"
        article = "an" if noun[:1] in "aeiou" else "a"
        raise place.at().fault(f"{article} {noun} is a mapping, got {held}. Begin it with '{begins}'.", wrong)
    return LinedYaml(file, data, place)


def yaml_span(text: str, keys: tuple[Key, ...], on: On = "value") -> tuple[int, int]:
    """Start and end of the deepest part of a path of keys that is there. A value over several lines: of its key."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    found = _span(node)
    for i, key in enumerate(keys):
        child = _child(node, key)
        if child is None:
            continue  # such as the kind of a stage, which stands in no file
        name, node = child
        own = on == "key" and i == len(keys) - 1
        long = name is not node and isinstance(node, yaml.CollectionNode) and not node.flow_style
        found = _span(name if own or long and i == len(keys) - 1 else node)
    return found


def _broken(error: yaml.YAMLError, file: Path, text: str, wrong: type[BumperlaneError]) -> BumperlaneError:
    """A fault of syntax, where it was made."""
    problem = " ".join(str(part) for part in (getattr(error, "problem", None) or str(error), "")).strip()
    mark, opened = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    if opened is not None and any(words in problem for words in OPENED_BEFORE):
        mark = opened
    if mark is None:  # a character that may not stand in YAML: its place is all that is known
        at = getattr(error, "position", 0)
        odd = text[at : at + 1]
        place = Place(file, text, at, at + 1)
        return place.fault(f"this is not valid YAML: the character U+{ord(odd or ' '):04X}. Remove it.", wrong)
    told = next((advice for words, advice in ADVICE if words in problem), "Check indentation and quotes.")
    start = min(mark.index, max(len(text.rstrip()) - 1, 0))
    return Place(file, text, start, start + 1).fault(f"this is not valid YAML: {problem}: {told}", wrong)


def _unreadable(root: yaml.Node | None, place: Place, wrong: type[BumperlaneError]) -> BumperlaneError:
    """The fault at the first value that cannot be made, such as the 13th month or a number of 5,000 digits."""
    loader = yaml.SafeLoader("")
    for node in _scalars(root, set()) if root else ():
        try:
            loader.construct_object(node)
        except (ValueError, OverflowError) as error:
            here = replace(place, start=_span(node)[0], end=_span(node)[1])
            kind = node.tag.rpartition(":")[2]
            said = f"this is not valid YAML: no {kind}: {str(error).split(';')[0]}. Correct it, or quote it."
            return here.fault(said, wrong)
    return place.fault("this is not valid YAML: a value in it cannot be read. Quote what is text.", wrong)


def _scalars(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """Every single value, in the order of the file."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif id(node) not in seen:
        seen.add(id(node))
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from _scalars(part, seen)


def _span(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


def _child(node: yaml.Node, key: Key) -> tuple[yaml.Node, yaml.Node] | None:
    """(node that names it, node of the value)."""
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None


def _refuse_duplicates(node: yaml.Node | None, place: Place, seen: set[int], wrong: type[BumperlaneError]) -> None:
    if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))  # an alias may lead back to a node, even to one that holds it
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_duplicates(child, place, seen, wrong)
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, str(key.value)
        if name in first:
            here = Place(place.file, place.text, *_span(key))
            raise here.fault(f"key {name!r} stands already in line {first[name]}. Keep one of the two.", wrong)
        first[name] = line
        _refuse_duplicates(value, place, seen, wrong)
