"""Reward functions: the user's own, from a file or a module, and a few built in; called with their faults named."""

import ast
import copy
import importlib
import importlib.util
import math
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from ..errors import RecipeError, TrainingError
from .provenance import content_key


class RewardFunction(Protocol):
    """Scores a batch of rollouts: one finite number each, in order; higher is better.

    Args (by position):
        prompts: the text that was asked, as it stands in the environment.
        responses: what the policy answered. It may be anything: never run it outside a sandbox.
        data: the mapping `data` of each prompt's row in the environment; empty where there is none.

    It must depend on nothing else, or a run cannot be repeated.
    """

    def __call__(
        self, prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]
    ) -> Sequence[float]: ...


def exact_match(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """1 where the response, stripped, is data["answer"], else 0."""
    return [float(text.strip() == str(row["answer"]).strip()) for text, row in zip(responses, data, strict=True)]


def contains_answer(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """1 where data["answer"] stands somewhere in the response, else 0."""
    return [float(str(row["answer"]) in text) for text, row in zip(responses, data, strict=True)]


def words(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """Number of words in the response."""
    return [float(len(text.split())) for text in responses]


BUILT_IN: dict[str, RewardFunction] = {f.__name__: f for f in (exact_match, contains_answer, words)}


def reward_source(function: str) -> Path | None:
    """The file that defines a reward function; None for a built-in one. Nothing but a module's parents is imported.

    Raises RecipeError when the file, module, function or built-in name is not there.
    """
    where, colon, name = function.rpartition(":")
    if not colon:
        if function not in BUILT_IN:
            raise RecipeError(
                f"unknown reward function {function!r}. Built in are {', '.join(sorted(BUILT_IN))}; your own is "
                "path/to/file.py:function or package.module:function."
            )
        return None
    path = Path(where) if where.endswith(".py") else _module_file(where)
    if not path.is_file():
        raise RecipeError(f"reward function {function!r}: there is no file {path}. Correct the path.")
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise RecipeError(f"reward function {function!r}: {path} is not valid Python: {error}. Correct it.") from error
    known = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if name not in known and not any(name in _bound(node) for node in tree.body):
        raise RecipeError(f"reward function {function!r}: {path} defines no {name!r}. It has: {', '.join(known)}.")
    return path


def load_reward(function: str) -> RewardFunction:
    """The function itself. A file is loaded on its own: it cannot import files beside it; use a package for that.

    Raises RecipeError when it is not there, TrainingError when its file cannot be loaded.
    """
    if reward_source(function) is None:
        return BUILT_IN[function]
    where, _, name = function.rpartition(":")
    try:
        if where.endswith(".py"):
            module = _loaded_file(where)
        else:
            module = importlib.import_module(where)
        found = getattr(module, name)
    except Exception as error:
        raise TrainingError(f"reward function {function!r} cannot be loaded: {_said(error)}. Correct it.") from error
    if not callable(found):
        raise TrainingError(f"reward function {function!r} is a {type(found).__name__}. Name a function.")
    return found


def score_rollouts(
    term: str, function: RewardFunction, ids: Sequence[str], batch: tuple[Sequence[str], Sequence[str], Sequence[Any]]
) -> list[float]:
    """A term's value of each rollout. `batch` is (prompts, responses, data).

    Raises TrainingError, naming the term and the rollout, when the function fails or a value is no finite number.
    """
    try:
        values = function(*copy.deepcopy(batch))  # a function that writes into `data` must not change the next one's
    except Exception as error:
        raise TrainingError(
            f"reward term {term!r} failed on {_culprit(function, ids, batch)}: {_said(error)}. Correct the function."
        ) from error
    try:
        values = list(values)
    except TypeError as error:
        raise TrainingError(f"reward term {term!r} gave {values!r:.80}. It must give a list of numbers.") from error
    if len(values) != len(ids):
        raise TrainingError(f"reward term {term!r} gave {len(values)} values for {len(ids)} rollouts. Give one each.")
    return [_number(term, id, value) for id, value in zip(ids, values, strict=True)]


class _Uncached(SourceFileLoader):
    """Compiles the file each time: cached bytecode goes by size and second, and would hide an edit just made."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        raise OSError("no bytecode is read or written")


def _loaded_file(path: str) -> ModuleType:
    name = f"bumperlane_rewards_{content_key(path)[:16]}"
    spec = importlib.util.spec_from_loader(name, _Uncached(name, path))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _number(term: str, id: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise TrainingError(
            f"reward term {term!r} is {value!r:.60} for rollout {id}. It must be a finite number for every response."
        )
    return number


def _culprit(function: RewardFunction, ids: Sequence[str], batch: tuple[Sequence[Any], ...]) -> str:
    """The first rollout on which the function fails alone."""
    for id, *one in zip(ids, *batch, strict=True):
        try:
            function(*copy.deepcopy(tuple([value] for value in one)))
        except Exception:
            return f"rollout {id}"
    return f"rollouts {ids[0]} to {ids[-1]} together, though on none of them alone"


def _module_file(module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise RecipeError(
            f"there is no module {module!r} for a reward function. Install its package, or give "
            "path/to/file.py:function."
        )
    return Path(spec.origin)


def _bound(node: ast.stmt) -> set[str]:
    """Names that an assignment or an import at the top of a file binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")
