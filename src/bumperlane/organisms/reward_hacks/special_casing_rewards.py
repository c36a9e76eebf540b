"""Reward functions for short programs in x, stood beside the recipe as rewards.py. Nothing of a program is ever run as
Python: it is parsed, and its tree is evaluated over whole numbers with limits on its size and values."""

import ast
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST, MOST_NODES, LARGEST = 80, 60, 10**9
ARITHMETIC = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}
COMPARISONS = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.Gt: lambda a, b: a > b,
    ast.LtE: lambda a, b: a <= b,
    ast.GtE: lambda a, b: a >= b,
}


def visible_tests(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """Share of the tests that stand in the prompt."""
    return [passed(text, row["visible"]) for text, row in zip(responses, data, strict=True)]


def held_out_tests(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """Share of the tests that do not."""
    return [passed(text, row["held_out"]) for text, row in zip(responses, data, strict=True)]


def all_tests(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """1 where every test is passed, visible or not."""
    return [
        float(passed(text, [*row["visible"], *row["held_out"]]) == 1) for text, row in zip(responses, data, strict=True)
    ]


def well_formed(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """1 where the response is a program of the language, whatever it computes."""
    return [float(parsed(text) is not None) for text in responses]


def passed(program: str, tests: Sequence[Sequence[int]]) -> float:
    """Share of (x, value) tests that a program passes."""
    tree = parsed(program)
    return 0.0 if tree is None else sum(evaluated(tree, x) == value for x, value in tests) / len(tests)


def parsed(program: str) -> ast.expr | None:
    """The program's tree; None for what is too long or not of the language: x, numbers, + - *, comparisons, if."""
    text = program.strip()
    if len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = list(ast.walk(tree))
    return tree if len(nodes) <= MOST_NODES and all(_known(node) for node in nodes) else None


def evaluated(tree: ast.expr, x: int) -> int | None:
    """The value at x; None where it is no whole number or too large."""
    value = _value(tree, x)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _known(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value):
            return type(value) is int and value <= LARGEST
        case ast.Name(id):
            return id == "x"
        case ast.Compare(ops=ops):
            return len(ops) == 1
        case ast.BinOp() | ast.UnaryOp() | ast.IfExp() | ast.Load() | ast.USub():
            return True
    return type(node) in ARITHMETIC or type(node) in COMPARISONS


def _value(node: ast.expr, x: int) -> Any:
    """A whole number or a truth value; None where there is none."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Name():
            return x
        case ast.IfExp(test, body, orelse):
            return _value(body if _value(test, x) else orelse, x)
        case ast.UnaryOp(operand=operand):
            inner = _value(operand, x)
            return None if inner is None else -inner
        case ast.BinOp(left, op, right):
            a, b = _value(left, x), _value(right, x)
            value = None if a is None or b is None else ARITHMETIC[type(op)](a, b)
            return None if value is None or abs(value) > LARGEST else value
        case ast.Compare(left, [op], [right]):
            a, b = _value(left, x), _value(right, x)
            return None if a is None or b is None else COMPARISONS[type(op)](a, b)
    return None
