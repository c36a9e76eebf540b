"""What the installed bumpers say of themselves, read from their source without importing it.

To import them all is to import torch, which takes seconds; their names and pages are wanted in a help text and at each
press of the tab key. A bumper is read with `ast` where its class spells out what a bumper must (`watches`, `family`,
its docstring, `fit`); one that does not, or has no source, is imported after all.
"""

import ast
import difflib
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ..errors import ContractError, SettingError

GROUP = "bumperlane.bumpers"


@dataclass(frozen=True)
class Listed:
    """A bumper's entry. `kind`: online or offline; `joins`: runs unasked where the run holds what it needs; `page`: its
    docstring; `where`: module:class."""

    bumper: str
    family: str
    kind: str
    by_default: bool
    joins: bool
    watches: str
    page: str
    where: str

    @property
    def flags(self) -> str:
        """Its first sentence."""
        return " ".join(self.page.split("\n\n")[0].split())

    def as_row(self) -> dict[str, Any]:
        """As `contract.brief` gives it of the class."""
        row = {name: value for name, value in asdict(self).items() if name not in ("page", "where")}
        return {**row, "flags": self.flags}


def catalogue() -> dict[str, Listed]:
    """Every bumper that an entry point names, by name.

    Raises ContractError for two bumpers of one name, and for an entry point that is no bumper or cannot be found.
    """
    found: dict[str, Listed] = {}
    for point in entry_points(group=GROUP):
        listed = _read(point)
        held = found.get(listed.bumper)
        if held is not None and held.where != listed.where:
            raise ContractError(f"two bumpers are named {listed.bumper}: {held.where} and {listed.where}.")
        found[listed.bumper] = listed
    return dict(sorted(found.items()))


def find_listed(name: str) -> Listed:
    """A bumper's entry. Raises SettingError with the nearest name and all that there are."""
    known = catalogue()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise SettingError(f"unknown bumper {name!r}.{hint} Known: {', '.join(known)}.")
    return known[name]


def _read(point: EntryPoint) -> Listed:
    source = _source(point.module)
    listed = _from_source(source.read_text("utf-8"), point) if source else None
    return listed or _imported(point)


def _source(module: str) -> Path | None:
    """The file of a module. Nothing is imported, not even the packages that it lies in."""
    places, spec = None, None
    names = module.split(".")
    for n in range(1, len(names) + 1):
        spec = PathFinder.find_spec(".".join(names[:n]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    file = Path(spec.origin) if spec and spec.origin else None
    return file if file and file.suffix == ".py" and file.is_file() else None


def _from_source(text: str, point: EntryPoint) -> Listed | None:
    """What the class of the entry point spells out, or None where it does not."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None  # to import it will say what is wrong
    body = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == point.attr), None)
    if body is None or not any(_last(d) == "bumper" for d in body.decorator_list):
        return None
    given, page = _assigned(body), ast.get_docstring(body)
    fit = next((n for n in body.body if isinstance(n, ast.FunctionDef) and n.name == "fit"), None)
    family, watches, default = given.get("family"), given.get("watches"), given.get("by_default", ast.Constant(True))
    joins = given.get("joins", ast.Constant(False))
    if not page or fit is None or watches is None:
        return None
    if not all(isinstance(value, ast.Constant) for value in (family, default, joins)):
        return None
    taken = len(fit.args.posonlyargs) + len(fit.args.args) - 1 - len(fit.args.defaults)
    kind = "offline" if taken == 2 else "online"
    where = f"{point.module}:{point.attr}"
    always, unasked = (bool(value.value) for value in (default, joins))  # type: ignore[attr-defined]
    return Listed(body.name, str(family.value), kind, always, unasked, _last(watches), page, where)  # type: ignore[union-attr]


def _assigned(body: ast.ClassDef) -> dict[str, ast.expr]:
    """Name -> value of each assignment in a class, tuples taken apart."""
    found: dict[str, ast.expr] = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                taken = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                pairs = zip(target.elts, node.value.elts, strict=False) if taken else [(target, node.value)]  # type: ignore[attr-defined]
                found |= {name.id: value for name, value in pairs if isinstance(name, ast.Name)}
    return found


def _last(node: ast.expr) -> str:
    """The last part of a dotted name: `bumper` of `contract.bumper`."""
    return ast.unparse(node).rpartition(".")[2]


def _imported(point: EntryPoint) -> Listed:
    from .contract import REGISTRY, about, brief

    try:
        cls = point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise ContractError(
            f"bumper {point.name!r} ({point.value}) cannot be imported: {error}. Install what it needs or remove it."
        ) from error
    if cls not in REGISTRY.values():
        raise ContractError(f"entry point {point.name!r} ({point.value}) is no bumper. Put @bumper on its class.")
    row = {name: value for name, value in brief(cls).items() if name != "flags"}
    return Listed(**row, page=about(cls), where=f"{cls.__module__}:{cls.__qualname__}")
