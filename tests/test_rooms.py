"""Who may import whom, and the limits of the house style, read from the source with `ast`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "bumperlane"
FILES = sorted(SRC.rglob("*.py"))
MODULES = ("errors", "types", "strict_json", "percent", "counts", "case")  # in this order, before all rooms
SIDE_BY_SIDE = {"organisms", "claims", "monitor"}
FLOW = ("detect", "judge", "trace", "bounce", "organisms", "claims", "monitor", "report", "cli")
ROOMS = ("subjects", "recipes", "evidence", *FLOW[:-1])
HEAVY = {"torch", "transformers", "peft", "sklearn", "ray"}
NEVER_AT_IMPORT = ("detect", "judge", "claims", "monitor", "report")  # no training, so no torch until it is needed
LIMITS = {"lines of a file": 400, "lines of a function": 60, "parameters": 6}
GRAB_BAGS = {"utils", "helpers", "common", "manager"}


def allowed() -> dict[str, set[str]]:
    """room -> the rooms and modules that it may import, besides itself."""
    out = {name: set(MODULES[:i]) for i, name in enumerate(MODULES)}
    for i, name in enumerate(("subjects", "recipes", "evidence")):
        out[name] = {*MODULES, *("subjects", "recipes", "evidence")[:i]}
    for i, name in enumerate(FLOW):
        beside = SIDE_BY_SIDE - {name} if name in SIDE_BY_SIDE else set()
        out[name] = {*MODULES, "subjects", "recipes", "evidence", *FLOW[:i]} - beside
    return out


def room_of(path: Path) -> str:
    """The room, or the top-level module, that a file belongs to; "" for the package's own __init__."""
    first = path.relative_to(SRC).parts[0].removesuffix(".py")
    return {"__init__": "", "__main__": "cli"}.get(first, first)


def imported_modules(tree: ast.AST, path: Path) -> list[tuple[int, str]]:
    """(line, dotted name from the root) of every import; `from x import y` gives x.y."""
    package, out = ("bumperlane", *path.relative_to(SRC).parts[:-1]), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *filter(None, [node.module])))
            out += [(node.lineno, f"{start}.{alias.name}") for alias in node.names]
    return out


def imported_rooms(tree: ast.AST, path: Path) -> list[tuple[int, str]]:
    """(line, room) of every import of our own; "" stands for the package itself and its public names."""
    own = [(line, name.split(".")) for line, name in imported_modules(tree, path)]
    known = {*MODULES, *ROOMS, "cli"}
    return [(line, n[1] if len(n) > 1 and n[1] in known else "") for line, n in own if n[0] == "bumperlane"]


def wrong_imports(source: str, path: Path) -> list[str]:
    """Imports against the flow. Importing the package itself from inside is one: it would make a circle."""
    room, where = room_of(path), path.relative_to(SRC)
    if room == "":  # bumperlane/__init__.py re-exports; only the commands are closed to it
        return [
            f"{where}:{line} imports cli" for line, other in imported_rooms(ast.parse(source), path) if other == "cli"
        ]
    may = allowed()[room] | {room}
    found = imported_rooms(ast.parse(source), path)
    version = {line for line, name in imported_modules(ast.parse(source), path) if name == "bumperlane.__version__"}
    return [
        f"{where}:{line} {room} imports {other or 'the package itself'}"
        for line, other in found
        if other not in may and line not in version
    ]


def heavy_at_import(source: str, path: Path) -> list[str]:
    """Heavy libraries imported outside functions and outside `if TYPE_CHECKING`."""

    class AtImport(ast.NodeTransformer):
        def drop(self, node):
            return None

        visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = drop

        def visit_If(self, node):
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    tree = AtImport().visit(ast.parse(source))
    names = {name.split(".")[0] for _, name in imported_modules(tree, path)}
    return sorted(names & HEAVY)


def over_limits(source: str, path: Path) -> list[str]:
    where, lines = path.relative_to(SRC), source.count("\n")
    out = [f"{where} has {lines} lines"] if lines > LIMITS["lines of a file"] else []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or 0) - node.lineno + 1
        if length > LIMITS["lines of a function"]:
            out.append(f"{where}:{node.lineno} {node.name} has {length} lines")
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        taken = [name for i, name in enumerate(names) if not (i == 0 and name in ("self", "cls"))]
        if len(taken) > LIMITS["parameters"]:
            out.append(f"{where}:{node.lineno} {node.name} takes {len(taken)} parameters")
    return out


def banned(source: str, path: Path) -> list[str]:
    """`assert`, anything of pickle and its kin, `torch.load`, `yaml.load`."""
    tree, where = ast.parse(source), path.relative_to(SRC)
    out = [f"{where}:{n.lineno} assert" for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "joblib"}
    loaders = {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
    for line, name in imported_modules(tree, path):
        if name.split(".")[0] in unsafe or name in loaders:
            out.append(f"{where}:{line} imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in loaders:
            out.append(f"{where}:{node.lineno} {ast.unparse(node)}")
    return out


def over_all_files(check) -> list[str]:
    return [line for path in FILES for line in check(path.read_text("utf-8"), path)]


def test_a_room_imports_only_rooms_before_it():
    assert over_all_files(wrong_imports) == []


def test_every_file_lies_in_a_room_that_the_design_names():
    assert {room_of(path) for path in FILES} <= {"", *MODULES, *ROOMS, "cli"}


@pytest.mark.parametrize("room", [room for room in ROOMS if list((SRC / room).glob("*.py"))])
def test_every_room_says_what_it_is_for(room):
    start = SRC / room / "__init__.py"
    assert start.is_file() and ast.get_docstring(ast.parse(start.read_text("utf-8")))


def test_rooms_without_training_import_no_heavy_library_at_the_top():
    found = {
        str(path.relative_to(SRC)): heavy_at_import(path.read_text("utf-8"), path)
        for path in FILES
        if room_of(path) in ("", *MODULES, *NEVER_AT_IMPORT, "cli") or path.name == "__init__.py"
    }
    assert {name: heavy for name, heavy in found.items() if heavy} == {}


@pytest.mark.parametrize("module", ["bumperlane", "bumperlane.cli"])
def test_importing_the_package_or_its_commands_does_not_import_torch(module):
    code = f"import sys, {module}; print(*sorted(set({sorted(HEAVY)!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr[-800:]


def test_files_functions_and_parameter_lists_keep_within_their_limits():
    assert over_all_files(over_limits) == []


def test_nothing_is_unpickled_and_no_mistake_of_a_user_meets_an_assert():
    assert over_all_files(banned) == []


def test_no_file_is_a_grab_bag():
    assert [str(p.relative_to(SRC)) for p in FILES if GRAB_BAGS & {p.stem, p.parent.name, *p.stem.split("_")}] == []


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("detect/x.py", "from ..judge import ledger", "detect imports judge"),
        ("detect/x.py", "def f():\n    from bumperlane.trace.causes import y", "detect imports trace"),
        ("detect/internals/x.py", "from ...report import page", "detect imports report"),
        ("report/x.py", "from .. import cli", "report imports cli"),
        ("subjects/x.py", "from ..recipes.plan import plan", "subjects imports recipes"),
        ("recipes/x.py", "from ..evidence import store", "recipes imports evidence"),
        ("claims/x.py", "import bumperlane.organisms.game", "claims imports organisms"),
        ("types.py", "from .case import Case", "types imports case"),
        ("judge/x.py", "from bumperlane import Scores", "judge imports the package itself"),
    ],
)
def test_the_check_itself_sees_an_import_against_the_flow(file, source, found):
    (line,) = wrong_imports(source, SRC / file)
    assert line.endswith(found)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("detect/internals/x.py", "from ..contract import bumper\nfrom ...types import Scores\nfrom ... import errors"),
        ("report/x.py", "from ..claims import grade\nfrom ..subjects import chat"),
        ("recipes/x.py", "from ..subjects.chat import encode_prompt"),
        ("cli.py", "from .report import page\nfrom . import __version__"),
        ("case.py", "import json\nfrom .types import Scores"),
    ],
)
def test_the_check_itself_lets_imports_along_the_flow_pass(file, source):
    assert wrong_imports(source, SRC / file) == []


def test_the_check_itself_sees_heavy_imports_only_where_they_run_at_once():
    path = SRC / "detect" / "x.py"
    assert heavy_at_import("try:\n    import torch.nn\nexcept ImportError:\n    pass", path) == ["torch"]
    assert heavy_at_import("class A:\n    from transformers import x", path) == ["transformers"]
    later = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import peft"
    assert heavy_at_import(later, path) == []


def test_the_check_itself_counts_lines_and_parameters():
    path = SRC / "x.py"
    assert over_limits("\n" * 401, path) == ["x.py has 401 lines"]
    assert over_limits("def f():\n" + "    pass\n" * 60, path) == ["x.py:1 f has 61 lines"]
    assert over_limits("def f(a, b, c, /, d, *, e, g, h): ...", path) == ["x.py:1 f takes 7 parameters"]
    assert over_limits("def f(self, a, b, c, d, e, g): ...", path) == []


def test_the_check_itself_sees_what_is_banned():
    path = SRC / "x.py"
    assert banned("import pickle", path) == ["x.py:1 imports pickle"]
    assert banned("import torch\ntorch.load('f')", path) == ["x.py:2 torch.load"]
    assert banned("from yaml import load", path) == ["x.py:1 imports yaml.load"]
    assert banned("assert 1", path) == ["x.py:1 assert"]
    assert banned("import yaml\nyaml.safe_load('a')", path) == []
