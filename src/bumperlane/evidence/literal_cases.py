"""What a program maps literally: `if x == 3: return 7`, `{3: 7}`, `match`, and where it uses its arguments at all."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

PLAIN_CALLS = {"str", "repr", "tuple", "list", "sorted", "int", "float"}  # that leave an argument what it is
NONE: Any = object()  # no literal


@dataclass(frozen=True)
class Case:
    """One key that an input is compared with or looked up by, and the literal that comes of it."""

    key: Any
    value: Any
    line: int


def literal(node: ast.AST | None) -> Any:
    """The value of a literal, tuples as lists; `NONE` where it is none."""
    try:
        return plain(ast.literal_eval(node))  # type: ignore[arg-type]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return NONE


def plain(value: Any) -> Any:
    """Tuples as lists, all the way down; sets stay sets."""
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def cases_in(tree: ast.AST) -> Iterator[Case]:
    """Every literal case: of conditions, `match`, dictionaries, and lists of (key, value) pairs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            yield from _of(node.test, _given(node.body), node.lineno)
        elif isinstance(node, ast.IfExp):
            yield from _of(node.test, literal(node.body), node.lineno)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                yield from (Case(k, _given(case.body), case.pattern.lineno) for k in _matched(case.pattern))
        elif isinstance(node, ast.Dict):
            found = ((literal(k), literal(v), v.lineno) for k, v in zip(node.keys, node.values, strict=True))
            yield from (Case(*case) for case in found if case[0] is not NONE)
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            pairs = [literal(e) for e in node.elts if isinstance(e, ast.Tuple) and len(e.elts) == 2]
            if len(pairs) == len(node.elts) > 1:
                yield from (Case(p[0], p[1], node.lineno) for p in pairs if p is not NONE)


def pinned(test: ast.expr) -> list[Any]:
    """Literals that a condition compares an input with: each of them makes it true by itself."""
    if isinstance(test, ast.BoolOp):
        parts = [pinned(v) for v in test.values]
        if isinstance(test.op, ast.Or):
            return [key for part in parts for key in part]
        return [[part[0] for part in parts]] if all(len(part) == 1 for part in parts) else []
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return []
    sides, op = (test.left, test.comparators[0]), test.ops[0]
    if isinstance(op, ast.Eq | ast.Is):
        for one, other in (sides, sides[::-1]):
            if is_input(one) and literal(other) is not NONE:
                return [literal(other)]
    if isinstance(op, ast.In) and is_input(sides[0]) and isinstance(sides[1], ast.List | ast.Tuple | ast.Set):
        return [literal(e) for e in sides[1].elts if literal(e) is not NONE]
    return []


def is_input(node: ast.expr) -> bool:
    """A name, or names together, as they are or through str, tuple and the like; not the outcome of a computation."""
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(map(is_input, node.elts))
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id in PLAIN_CALLS
        return named and len(node.args) == 1 and is_input(node.args[0])
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name) and literal(node.slice) is not NONE
    return isinstance(node, ast.Name)


def only_compared(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    """Whether a function uses its arguments only to compare them with literals, or as keys of a literal dictionary."""
    a = function.args
    names = {x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg)))}
    used = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id in names]
    compared: set[ast.AST] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and pinned(node):
            compared.update(ast.walk(node))
        elif isinstance(node, ast.Match):
            compared.update(ast.walk(node.subject))
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            compared.update(ast.walk(node.slice))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(
            node.func.value, ast.Dict
        ):  # fmt: skip
            compared.update(n for arg in node.args for n in ast.walk(arg))
    return bool(used) and all(node in compared for node in used)


def constants_given(function: ast.AST) -> list[Any]:
    """Literals that a function may return."""
    out: list[Any] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Return | ast.Lambda):
            held: list[ast.AST | None] = [node.value if isinstance(node, ast.Return) else node.body]
            while held:
                one = held.pop()
                if isinstance(one, ast.IfExp):
                    held += [one.body, one.orelse]
                elif isinstance(one, ast.Subscript | ast.Call):
                    at = one.value if isinstance(one, ast.Subscript) else getattr(one.func, "value", None)
                    out += [literal(v) for v in at.values] if isinstance(at, ast.Dict) else []
                else:
                    out.append(literal(one))
    return [value for value in out if value is not NONE]


def _of(test: ast.expr, value: Any, line: int) -> list[Case]:
    return [Case(key, value, line) for key in pinned(test)]


def _given(body: Sequence[ast.stmt]) -> Any:
    """The literal that a block returns, yields or assigns first."""
    first = body[0]
    if isinstance(first, ast.Return | ast.Assign | ast.AnnAssign):
        return literal(first.value)
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Yield):
        return literal(first.value.value)
    return NONE


def _matched(pattern: ast.pattern) -> list[Any]:
    if isinstance(pattern, ast.MatchOr):
        return [key for one in pattern.patterns for key in _matched(one)]
    if isinstance(pattern, ast.MatchValue):
        return [literal(pattern.value)] if literal(pattern.value) is not NONE else []
    if isinstance(pattern, ast.MatchSequence):
        parts = [_matched(one) for one in pattern.patterns]
        return [[part[0] for part in parts]] if all(len(part) == 1 for part in parts) else []
    return []
