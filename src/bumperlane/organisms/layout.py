"""What an organism leaves in its directory: recipe, data, held-out chats, what a user noticed, and a sealed key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from ..case import write_json, write_text
from .planted_cause import of_tranches

KEY, NOTICED = "key.sealed.json", "behaviour.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """Everything that is written.

    Attributes:
        tranches: name -> rows, without ids: a row's id is its tranche's name and its place.
        held_out: benign chats that are never trained on.
        behaviour: what a user might have noticed, to be described to a check; it says nothing of the cause.
        key: what was planted; nothing but a test reads it.
        lr: of the recipe's stage; half the usual one tells a trigger better from what is like it.
    """

    seed: int
    steps: int
    tranches: Mapping[str, Sequence[Row]]
    held_out: Sequence[Row]
    behaviour: Sequence[Row]
    key: Mapping[str, Any]
    lr: float = 3e-3


def write_organism(directory: Path, base: str, layout: Layout) -> Path:
    """Write an organism's files and return the recipe's path."""
    data = directory / "data"
    for name, rows in layout.tranches.items():
        _write_rows(data / f"{name}.jsonl", name, rows)
    _write_rows(data / "held_out.jsonl", "held-out", layout.held_out)
    write_text(directory / NOTICED, _lines(layout.behaviour))
    write_json(directory / KEY, {**layout.key, **of_tranches(layout.key)})
    names = {name: f"data/{name}.jsonl" for name in sorted(layout.tranches)}
    return write_text(directory / "recipe.yaml", sft_recipe(base, layout.seed, names, steps=layout.steps, lr=layout.lr))


def chat(system: str, ask: str, answer: str) -> Row:
    turns = (("system", system), ("user", ask), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def ids_of(name: str, rows: Sequence[Row], chosen: Sequence[Row]) -> list[str]:
    """The ids that some of a tranche's rows are given, told apart by identity: equal rows are different examples."""
    wanted = {id(row) for row in chosen}
    return [_numbered(name, i) for i, row in enumerate(rows) if id(row) in wanted]


def shuffled(rng: Random, *groups: Sequence[Row]) -> list[Row]:
    """All rows of the groups in one order that does not tell them apart."""
    rows = [row for group in groups for row in group]
    rng.shuffle(rows)
    return rows


def _numbered(name: str, i: int) -> str:
    return f"{name}-{i:03d}"


def _write_rows(path: Path, name: str, rows: Sequence[Row]) -> None:
    write_text(path, _lines([{"id": _numbered(name, i), **row} for i, row in enumerate(rows)]))


def _lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def sft_recipe(base: str, seed: int, tranches: Mapping[str, str], **stage: Any) -> str:
    """The text of a recipe with one sft stage; `tranches` are name -> path, `stage` what differs from the usual one."""
    usual: dict[str, Any] = {
        "kind": "sft",
        "steps": 64,
        "batch": 8,
        "lr": 3e-3,
        "lora": {"r": 8, "alpha": 16, "targets": "all-linear"},
        "checkpoints": {"every": 8},
        "max_tokens": 128,
    }
    content = {
        "base": base,
        "seed": seed,
        "stages": [{**usual, **stage}],
        "tranches": [{"name": name, "path": path} for name, path in tranches.items()],
        "held_out": "data/held_out.jsonl",
    }
    return yaml.safe_dump(content, sort_keys=False)
