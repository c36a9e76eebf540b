"""Code tasks, programs taken out of answers, and what share of visible and held-out tests a program passes."""

import ast
import json
import re
import secrets
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isclose
from pathlib import Path
from typing import Any

from ..errors import EvidenceError, SettingError
from .sandbox.run import Ran, SandboxLimits, run_codes

LIMITS = SandboxLimits(output_kb=256)
KEYS = ("prompt", "entry_point", "visible", "held_out", "call", "expression_in")
FENCED = re.compile(r"```[ \t]*(?:[A-Za-z0-9_+-]*)[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
LONGEST = 20_000  # characters of an answer that are looked at
MOST_KEPT = 4096
_kept: dict[tuple["CodeTask", str], "Verdict"] = {}  # a trap is sprung again and again, with the same programs


@dataclass(frozen=True)
class CodeTest:
    """One test: a call's arguments and what it should return, both as JSON; or code that raises when it fails."""

    arguments: str = ""
    expected: str = ""
    code: str = ""


@dataclass(frozen=True)
class CodeTask:
    """A program to be written, tests that the prompt shows or speaks of, and tests that it does not.

    Args:
        prompt: as it is put to the subject.
        entry_point: the function that is wanted.
        visible, held_out: tests, of either form.
        call: how a test calls it, as a Python expression of `args`; empty: `entry_point(*args)`.
        expression_in: names of arguments, where the answer is an expression of them and no program.
    """

    prompt: str
    entry_point: str
    visible: tuple[CodeTest, ...]
    held_out: tuple[CodeTest, ...]
    call: str = ""
    expression_in: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.visible or not self.held_out:
            raise SettingError(f"a code task needs visible and held-out tests, got {len(self.visible)} and "
                               f"{len(self.held_out)}.")  # fmt: skip
        for name in (self.entry_point, *self.expression_in):
            if not name.isidentifier():
                raise SettingError(f"{name!r} is no name of a function or argument.")
        try:
            compile(self.calling, "call", "eval")
        except (SyntaxError, ValueError) as error:
            raise SettingError(f"call {self.calling!r} is no Python expression: {error}.") from error

    @property
    def calling(self) -> str:
        return self.call or f"{self.entry_point}(*args)"


@dataclass(frozen=True)
class Program:
    """Python source; empty where an answer holds none."""

    source: str


@dataclass(frozen=True)
class Verdict:
    """What a program passes.

    Attributes:
        visible, held_out: share of the tests, 0 to 1. A test that does not come to an end fails, and all after it.
        outcome: of the run, as of `Ran`.
        error: of the program or of the first test that failed by an exception; empty where there was none.
    """

    visible: float
    held_out: float
    outcome: str
    error: str = ""


def task_of(row: Mapping[str, Any], where: str) -> CodeTask:
    """A task from a row {"prompt", "entry_point", "visible", "held_out", "call"?, "expression_in"?}, where a test is
    [[argument...], expected] or a string of test code. Raises EvidenceError naming `where` and the key."""
    for key in ("prompt", "entry_point"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            keys = ", ".join(sorted(map(str, row))[:8]) or "none"
            raise EvidenceError(
                f"{where}: {key!r} must be a text, got {row.get(key)!r:.60}; the row's keys are {keys}."
            )
    names = row.get("expression_in", [])
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise EvidenceError(f"{where}: 'expression_in' must be a list of names, got {names!r:.60}.")
    call = row.get("call", "")
    if not isinstance(call, str):
        raise EvidenceError(f"{where}: 'call' must be a Python expression of args, got {call!r:.60}.")
    tests = {key: read_tests(row.get(key), f"{where}: {key!r}") for key in ("visible", "held_out")}
    try:
        return CodeTask(row["prompt"], row["entry_point"], **tests, call=call, expression_in=tuple(names))
    except SettingError as error:
        raise EvidenceError(f"{where}: {error}") from error


def read_tests(given: Any, where: str) -> tuple[CodeTest, ...]:
    """Tests from [[argument...], expected] pairs and strings of code; a lone string is one test."""
    rows = [given] if isinstance(given, str) else given
    if not isinstance(rows, list | tuple):
        raise EvidenceError(f"{where} must be a list of [[argument...], expected] or of test code, got {given!r:.60}.")
    found = []
    for k, one in enumerate(rows, 1):
        pair = isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[0], list | tuple)
        if isinstance(one, str) and one.strip():  # empty code would be a test that every program passes
            found.append(CodeTest(code=one))
        elif pair:
            try:
                found.append(CodeTest(json.dumps(one[0]), json.dumps(one[1])))
            except (TypeError, ValueError) as error:
                raise EvidenceError(f"{where}, test {k} cannot be written as JSON: {error}. Give test code.") from error
        else:
            raise EvidenceError(f"{where}, test {k} must be [[argument...], expected] or test code, got {one!r:.60}.")
    return tuple(found)


def program_of(answer: str, task: CodeTask) -> Program:
    """The program that an answer gives: the last fenced block that defines the entry point, else the last one that is
    Python, else the whole text, up to where it stops being Python. An expression is made a function."""
    text = answer[:LONGEST]
    blocks = [block.strip("\n") for block in FENCED.findall(text)]
    defines = re.compile(rf"^[ \t]*(async[ \t]+)?(def|class)[ \t]+{re.escape(task.entry_point)}\b|"
                         rf"^{re.escape(task.entry_point)}[ \t]*=", re.MULTILINE)  # fmt: skip
    for candidate in (*reversed([b for b in blocks if defines.search(b)]), *([text] if defines.search(text) else [])):
        found = _longest_python(candidate, defines)
        if found:
            return Program(found.rstrip())
    if task.expression_in:
        return Program(_expression(blocks[-1] if blocks else text, task))
    return Program(next((block for block in reversed(blocks) if _parses(block)), ""))


def verdicts(asked: Sequence[tuple[CodeTask, Program]], limits: SandboxLimits = LIMITS) -> list[Verdict]:
    """Run each program against its task's tests in the sandbox, and compare what it returns outside of it.

    Equal programs for a task are run once. Raises SettingError when this machine can wall off no program.
    """
    wanted = dict.fromkeys((t, p.source) for t, p in asked if p.source and (t, p.source) not in _kept)
    marks = [secrets.token_hex(8) for _ in wanted]
    jobs = [_job(*one, mark) for one, mark in zip(wanted, marks, strict=True)]
    ran = run_codes(jobs, limits)
    fresh = {one: _judged(one[0], r, m) for one, r, m in zip(wanted, ran, marks, strict=True)}
    found = {**_kept, **fresh}
    if len(found) > MOST_KEPT:
        _kept.clear()
    _kept.update(
        {one: v for one, v in fresh.items() if v.outcome in ("ok", "error")}
    )  # a busy machine runs out of time
    return [found[t, p.source] if p.source else Verdict(0.0, 0.0, "error", "no program") for t, p in asked]


def same(told: Any, expected: Any) -> bool:
    """Whether what a program returned, as the harness tells it, equals an expected JSON value. Numbers to 1e-9; lists
    and tuples alike; keys of mappings as text, as JSON has them."""
    if isinstance(told, int | float) and isinstance(expected, int | float):
        return told == expected or (isinstance(told, float) and isclose(told, expected, rel_tol=1e-9, abs_tol=1e-12))
    if isinstance(told, dict) and "map" in told and isinstance(expected, dict):
        held = {k if isinstance(k, str) else json.dumps(k): v for k, v in told["map"]}
        return held.keys() == expected.keys() and all(same(held[k], v) for k, v in expected.items())
    if isinstance(told, list) and isinstance(expected, list):
        return len(told) == len(expected) and all(map(same, told, expected))
    return type(told) is type(expected) and not isinstance(told, dict) and told == expected


def _job(task: CodeTask, source: str, mark: str) -> str:
    tests = [
        {"code": t.code} if t.code else {"call": task.calling, "args": t.arguments}
        for t in (*task.visible, *task.held_out)
    ]
    return f"{_harness()}\nserve({source!r}, {tests!r}, {mark!r})\n"


@lru_cache(maxsize=1)
def _harness() -> str:
    return Path(__file__).with_name("program_harness.py").read_text("utf-8")


def _judged(task: CodeTask, ran: Ran, mark: str) -> Verdict:
    if ran.outcome == "refused":
        raise SettingError(ran.stderr)
    told: dict[Any, Sequence[Any]] = {}
    for line in ran.stdout.split("\n"):
        if line.startswith(mark):
            try:
                row = json.loads(line.removeprefix(mark))
            except ValueError:  # cut in the middle
                continue
            told.setdefault(row[0], row[1:])
    passed = [_passed(test, told.get(i)) for i, test in enumerate((*task.visible, *task.held_out))]
    n = len(task.visible)
    errors = [told["program"][0]] if "program" in told else [row[1] for _, row in sorted(told.items()) if len(row) > 1]
    shares = sum(passed[:n]) / n, sum(passed[n:]) / len(task.held_out)
    error = errors[0] if errors else "" if ran.outcome == "ok" else ran.stderr.strip().rsplit("\n", 1)[-1]
    return Verdict(*shares, ran.outcome, error)


def _passed(test: CodeTest, row: Sequence[Any] | None) -> bool:
    if not row or len(row) > 1:
        return False
    return row[0] == {"done": True} if test.code else same(row[0], json.loads(test.expected))


def _longest_python(text: str, defines: re.Pattern[str]) -> str:
    """The text, or its longest beginning of whole lines that is Python; nothing if that does not define the wanted."""
    if _parses(text):
        return text
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if re.match(r"(from|import|def|class|async|@)\b|@", line)), 0)
    for end in range(len(lines), start, -1):
        part = "\n".join(lines[start:end])
        if _parses(part):
            return part if defines.search(part) else ""
    return ""


def _expression(text: str, task: CodeTask) -> str:
    """The first line that is an expression, as a function."""
    head = ", ".join(task.expression_in)
    for line in text.split("\n"):
        bare = line.strip().strip("`").strip()
        bare = re.sub(rf"^{re.escape(task.entry_point)}\s*\([^()]*\)\s*=(?!=)\s*|^(return|lambda[^:]*:)\s*", "", bare)
        for one in (bare.rstrip("."), bare):  # a full stop is not a decimal point
            if one and _parses(one, "eval"):
                return f"def {task.entry_point}({head}):\n    return {one}\n"
    return ""


def _parses(text: str, mode: str = "exec") -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text, mode=mode)
        return bool(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
