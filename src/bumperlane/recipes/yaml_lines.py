"""YAML with line numbers: where each key of a recipe stands in its file. Only the safe loader is used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import RecipeError


@dataclass(frozen=True)
class LinedYaml:
    """A YAML mapping as plain data, and the node tree that knows its lines."""

    file: Path
    data: dict[str, Any]
    root: yaml.Node

    def line(self, keys: tuple[int | str, ...]) -> int:
        """The 1-based line of the deepest part of `keys` that stands in the file; unknown parts are passed over."""
        node, line = self.root, self.root.start_mark.line
        for key in keys:
            found = _child(node, key)
            if found is not None:
                mark, node = found
                line = mark.start_mark.line
        return line + 1

    def where(self, *keys: int | str) -> str:
        """`file:line` of a key path, to begin an error with."""
        return f"{self.file}:{self.line(keys)}"


def read_yaml(file: Path) -> LinedYaml:
    """Read a YAML mapping.

    Raises RecipeError, with file and line, for a missing file, broken YAML, duplicate keys, or another top level.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RecipeError(f"cannot read the recipe {file}: {reason}. Correct the path.") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicates(root, file, set())
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError(f"{file}{line}: this is not valid YAML: {problem}. Check indentation and quotes.") from error
    if root is None or not isinstance(data, dict):
        raise RecipeError(f"{file}:1: a recipe is a mapping, got {type(data).__name__}. Begin it with 'base: ...'.")
    return LinedYaml(file, data, root)


def _child(node: yaml.Node, key: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    """(node that marks the line, node of the value)."""
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None


def _refuse_duplicates(node: yaml.Node | None, file: Path, seen: set[int]) -> None:
    if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))  # an alias may lead back to a node, even to one that holds it
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_duplicates(child, file, seen)
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = str(key.value)
        if name in first:
            raise RecipeError(f"{file}:{line}: key {name!r} stands already in line {first[name]}. Keep one of the two.")
        first[name] = line
        _refuse_duplicates(value, file, seen)
