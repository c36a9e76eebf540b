"""Rollouts as compact columns: what an analysis of rewards needs of each, without its text."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from ..errors import EvidenceError, SettingError
from .rollout_source import RowSource

KEYS = (
    "id", "step", "group", "environment", "prompt", "response", "rewards", "weights", "reward", "advantage", "checks",
    "tokens",
)  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """What the keys of somebody else's rows mean.

    Args:
        rename: their key -> ours, such as {"reward_scores": "rewards", "global_step": "step"}.
        terms: keys that each hold one reward term, where there is no `rewards` object.
        checks: keys that each hold one unrewarded check, where there is no `checks` object.
        weights: weight of each term, for rows that carry none; 1 without it.

    Raises SettingError for a target that is no key of ours.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    terms: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for theirs, ours in self.rename.items():
            if ours not in KEYS:
                raise SettingError(f"rename maps {theirs!r} to {ours!r}, which is no key of a rollout. {nearest(ours)}")
        if len(set(self.rename.values())) < len(self.rename):
            raise SettingError(f"rename maps two keys to one: {dict(self.rename)}. Keep one of the two.")

    def applied(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row under our keys."""
        if self.rename:
            gone = set(self.rename.values()) - set(self.rename)  # their key of the same name has another meaning
            row = {self.rename.get(key, key): value for key, value in row.items() if key not in gone}
        for target, keys in (("rewards", self.terms), ("checks", self.checks)):
            if keys:
                held = row.get(target)
                row[target] = {**(held if isinstance(held, dict) else {}), **{k: row[k] for k in keys if k in row}}
        return row


@dataclass(frozen=True)
class RolloutTable:
    """n rollouts, about 70 bytes each. Ids, prompts and responses stay in `source` and are read again when needed.

    Attributes:
        step: (n,) int32; all 0 where none is logged.
        group: (n,) int32 code of the prompt within its environment; `group_keys` (G,) uint64 ascending are hashes of
            both names.
        environment: (n,) int32 index into `environments`.
        values: (n, T) float32, raw reward terms in the order of `terms`; NaN where a term is absent, which pays 0.
        weights: (T,) or, where they change between rows, (n, T) float32.
        reward: (n,) float32 as logged, NaN where absent.
        advantage: (n,) float32 as logged, NaN where absent.
        check_values: (n, C) float32, unrewarded, in the order of `checks`; NaN where absent.
        tokens: (n,) float32, NaN where absent.
        id_keys: (n,) uint64 hashes of the ids.
        notes: what the file lacks, in sentences.
    """

    source: RowSource
    step: np.ndarray
    group: np.ndarray
    group_keys: np.ndarray
    environment: np.ndarray
    environments: tuple[str, ...]
    terms: tuple[str, ...]
    values: np.ndarray
    weights: np.ndarray
    reward: np.ndarray
    advantage: np.ndarray
    checks: tuple[str, ...]
    check_values: np.ndarray
    tokens: np.ndarray
    id_keys: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.step)

    def paid(self, term: int) -> np.ndarray:
        """(n,) float64: what a term added to each reward, weight times value, 0 where the term is absent."""
        weight = self.weights[term] if self.weights.ndim == 1 else self.weights[:, term]
        return np.nan_to_num(self.values[:, term].astype(np.float64)) * weight.astype(np.float64)

    def check(self, name: str) -> np.ndarray:
        """(n,) float32 values of a check, or of a reward term, by name; NaN where absent.

        Raises SettingError for an unknown name.
        """
        if name in self.checks:
            return self.check_values[:, self.checks.index(name)]
        if name in self.terms:
            return self.values[:, self.terms.index(name)]
        raise SettingError(f"no check or reward term is named {name!r}. {nearest(name, (*self.checks, *self.terms))}")

    def ids(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Ids of a few rows, in the order given."""
        return self._pick(rows, lambda number, row: id_of(row.get("id"), self.source.where(number)))

    def prompts(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Prompts of a few rows, in the order given; empty where none was logged."""
        return self._pick(rows, lambda number, row: text_of(row.get("prompt")))

    def responses(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Responses of a few rows, in the order given."""
        return self._pick(rows, lambda number, row: text_of(row.get("response")))

    def all_responses(self) -> Iterator[str]:
        """Every response, in row order, one at a time."""
        for _, row in self.source.rows():
            yield text_of(row.get("response"))

    def group_names(self, groups: Iterable[int]) -> tuple[str, ...]:
        """Names of a few groups: the logged group, or else the prompt."""
        first = [int(np.flatnonzero(self.group == g)[0]) for g in groups]
        return self._pick(first, lambda number, row: str(group_of(row)))

    def _pick(self, rows: Iterable[int], read: Any) -> tuple[str, ...]:
        wanted = np.asarray(list(rows), np.int64)
        found = {number: read(number, row) for number, row in self.source.rows(np.unique(wanted))}
        return tuple(found[i] for i in wanted.tolist())


def hashed(text: str) -> int:
    """64 bits that stand for a name, the same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def id_of(id: Any, where: str) -> str:
    """A row's id; its place where it has none. Raises EvidenceError for an id that is no text and no whole number."""
    if id is None:
        return where
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        raise EvidenceError(f"{where}: id must be a non-empty string or a whole number, got {id!r:.60}.")
    return str(id)


def group_of(row: Mapping[str, Any]) -> str | None:
    """The prompt's id, else the prompt itself; None where a row has neither."""
    for key in ("group", "prompt"):
        held = row.get(key)
        if held is not None:
            return held if isinstance(held, str) else json.dumps(held, sort_keys=True)
    return None


def text_of(held: Any) -> str:
    """A prompt or response as text; a chat's messages on lines of their own. Empty where there is none."""
    if isinstance(held, str):
        return held
    if isinstance(held, list):
        return "\n".join(text_of(turn.get("content") if isinstance(turn, dict) else turn) for turn in held)
    return "" if held is None else json.dumps(held, ensure_ascii=False)


def nearest(name: str, known: Iterable[str] = KEYS) -> str:
    """A hint that names the nearest of the known names, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names[:20]) or 'none'}."
