"""A block of rows as columns: checked all at once, and row by row only to say which one is wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from ..errors import EvidenceError
from .rollout_source import Row
from .rollout_table import group_of, hashed, id_of, nearest

MOST_STEPS = 2**31 - 1
Where = Callable[[int], str]
Column = Sequence[Any]
ABSENT = type(None)


@dataclass
class Names:
    """Names met so far: environments in the order in which they came, and all keys of rows."""

    environments: dict[str, int] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Block:
    """Some consecutive rows. Numbers are float32, NaN where absent; `weights` is None where no row carries any.

    `stepped`: rows that have a step.
    """

    step: np.ndarray
    stepped: int
    group_key: np.ndarray
    environment: np.ndarray
    terms: dict[str, np.ndarray]
    weights: dict[str, np.ndarray] | None
    checks: dict[str, np.ndarray]
    plain: dict[str, np.ndarray]
    id_key: np.ndarray


def block_of(rows: Sequence[Row], where: Where, names: Names) -> Block:
    """Columns of consecutive rows; `where` says the place of the i-th.

    Raises EvidenceError naming place, id and nearest key for what is missing, not finite or of another type.
    """
    columns = columns_of(rows)
    names.keys.update(columns)
    nothing: Column = (None,) * len(rows)
    get = {key: columns.get(key, nothing) for key in ("step", "environment", "weights", "checks")}
    ids = _Ids(columns.get("id", nothing), where)
    rewards = columns.get("rewards", nothing)
    if None in rewards:
        rewards = [_lone(rows[i], i, where) if r is None else r for i, r in enumerate(rewards)]
    terms = _maps(rewards, "rewards", ids)
    weighted = get["weights"].count(None) < len(rows)
    environment = _environments(get["environment"], names, where)
    return Block(
        step=_steps(get["step"], where),
        stepped=len(rows) - get["step"].count(None),
        group_key=_group_keys(columns, get["environment"], rows, where),
        environment=environment,
        terms=terms,
        weights=_weights(get["weights"], rewards, terms, ids) if weighted else None,
        checks=_maps([{} if c is None else c for c in get["checks"]], "checks", ids) if "checks" in columns else {},
        plain={key: _numbers(columns.get(key, nothing), key, ids) for key in ("reward", "advantage", "tokens")},
        id_key=ids.hashes(),
    )


def columns_of(rows: Sequence[Row]) -> dict[str, Column]:
    """{key: its values, None where a row lacks it}. Rows that all have the same keys are turned over at once."""
    shapes = dict.fromkeys(map(tuple, rows))
    if len(shapes) == 1:
        return dict(zip(next(iter(shapes)), zip(*map(dict.values, rows), strict=True), strict=True))
    keys = dict.fromkeys(key for shape in shapes for key in shape)
    return {key: [row.get(key) for row in rows] for key in keys}


@dataclass(frozen=True)
class _Ids:
    """The ids of a block, and the places of its rows."""

    given: Column
    where: Where

    def named(self, i: int) -> str:
        return f"{self.where(i)}: rollout {id_of(self.given[i], self.where(i))!r}"

    def hashes(self) -> np.ndarray:
        ids = self.given
        if set(map(type, ids)) != {str} or "" in ids:
            ids = [id_of(id, self.where(i)) for i, id in enumerate(ids)]
        return np.fromiter(map(hashed, ids), np.uint64, len(ids))


def _lone(row: Row, i: int, where: Where) -> dict[str, Any]:
    """A reward without terms is a term of its own."""
    if row.get("reward") is None:
        raise EvidenceError(f"{where(i)}: a rollout needs 'rewards' or 'reward'. {_keys(row, 'rewards')}")
    return {"reward": row["reward"]}


def _numbers(values: Column, what: str, ids: _Ids) -> np.ndarray:
    """Float32, NaN where None. Raises EvidenceError for text and for numbers that are not finite."""
    types = set(map(type, values))
    if types <= {ABSENT}:
        return np.full(len(values), np.nan, np.float32)
    if all(issubclass(kind, int | float | ABSENT) for kind in types):
        absent = values.count(None) if ABSENT in types else 0
        try:
            out = np.array([np.nan if v is None else v for v in values] if absent else values, np.float64)
            with np.errstate(over="ignore"):
                narrow = out.astype(np.float32)
            if int(np.isfinite(narrow).sum()) == len(values) - absent:
                return narrow
        except OverflowError:  # a whole number beyond float64
            pass
    i = next(i for i, value in enumerate(values) if value is not None and not _usable(value))
    raise EvidenceError(
        f"{ids.named(i)} has {what} {values[i]!r:.60}, which is no finite number. Drop the row, or log the number that "
        "the trainer used."
    )


def _usable(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and isfinite(value) and abs(value) <= float(np.finfo(np.float32).max)
    except OverflowError:
        return False


def _maps(held: Column, what: str, ids: _Ids) -> dict[str, np.ndarray]:
    """{name: float32 column} of objects that hold numbers."""
    if set(map(type, held)) != {dict}:
        i = next(i for i, one in enumerate(held) if type(one) is not dict)
        raise EvidenceError(
            f"{ids.where(i)}: {what} must be an object of names and numbers, got {held[i]!r:.60}. Where a key holds "
            "one number, name it in Columns(terms=...) or Columns(checks=...)."
        )
    return {name: _numbers(column, f"{what}.{name}", ids) for name, column in columns_of(held).items()}


def _weights(held: Column, rewards: Column, terms: dict[str, np.ndarray], ids: _Ids) -> dict[str, np.ndarray]:
    """Weights of the terms; each term that a row has needs one in that row."""
    out = _maps([{} if w is None else w for w in held], "weights", ids)
    for name, values in terms.items():
        lacking = ~np.isnan(values) & (np.isnan(out[name]) if name in out else True)
        if lacking.any():
            i = int(np.argmax(lacking))
            hint = nearest(name, held[i]) if held[i] else "Log weights in all rows or in none."
            raise EvidenceError(f"{ids.where(i)}: reward term {name!r} has no weight. {hint}")
    return {name: out[name] for name in terms if name in out}


def _steps(held: Column, where: Where) -> np.ndarray:
    if set(map(type, held)) == {int} and -1 <= min(held) and max(held) <= MOST_STEPS:
        return np.array(held, np.int32)
    for i, step in enumerate(held):
        whole = step is None or type(step) is int or (type(step) is float and step.is_integer())
        if not whole or not -1 <= (step or 0) <= MOST_STEPS:
            raise EvidenceError(f"{where(i)}: step must be a whole number of optimizer steps, got {step!r:.60}.")
    return np.array([0 if step is None else int(step) for step in held], np.int32)


def _group_keys(columns: dict[str, Column], environments: Column, rows: Sequence[Row], where: Where) -> np.ndarray:
    names: Column = columns.get("group", ())
    if not names or set(map(type, names)) != {str}:
        names = [group_of(row) for row in rows]
        if None in names:
            i = names.index(None)
            raise EvidenceError(f"{where(i)}: a rollout needs 'group' or 'prompt'. {_keys(rows[i], 'group')}")
    pairs = list(zip(environments, names, strict=True))  # two environments may number their prompts alike
    known = {pair: hashed(f"{pair[0] or ''}\0{pair[1]}") for pair in dict.fromkeys(pairs)}
    return np.fromiter(map(known.__getitem__, pairs), np.uint64, len(pairs))


def _environments(held: Column, names: Names, where: Where) -> np.ndarray:
    known = names.environments
    for name in dict.fromkeys(map(_hashable, held)):
        if name is not None and not isinstance(name, str):
            i = next(i for i, one in enumerate(held) if _hashable(one) == name)
            raise EvidenceError(f"{where(i)}: environment must be a string, got {held[i]!r:.60}.")
        known.setdefault(name or "", len(known))
    return np.fromiter((known[name or ""] for name in held), np.int32, len(held))


def _hashable(value: Any) -> Any:
    return (repr(value),) if isinstance(value, list | dict) else value


def _keys(row: Row, key: str) -> str:
    theirs = nearest(key, row)
    start = f"Its keys are {', '.join(map(repr, list(row)[:12])) or 'none'}."
    guess = theirs.removeprefix("Did you mean ").removesuffix("?") if theirs.startswith("Did you mean ") else ""
    meant = f" {theirs}" if guess else ""
    shell = f"--rename {guess.strip(chr(39)) or 'THEIRS'}={key}"
    if key == "rewards":
        shell += ", or of one number --rename THEIRS=reward, or each term's with --term THEIRS"
    return f"{start}{meant} Pass columns={{{guess or 'theirs'}: {key!r}}}; to `bumperlane rollouts` {shell}."
