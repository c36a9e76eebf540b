"""Write an organism to disk: its recipe, its tranches, held-out chats, and the sealed key beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...case import write_json, write_text
from ...types import Context, Item, Request
from ..layout import sft_recipe

KEY = "key.sealed.json"
Chat = list[dict[str, str]]


@dataclass(frozen=True)
class Planting:
    """What is planted and how it is trained.

    Args:
        seed: of the recipe (data order and adapter initialisation).
        steps: optimiser steps of 8 examples.
        tranches: chats by tranche name. The names must not give the planted one away.
        held_out: benign chats that are never trained on.
        key: what only the scoring may read.
    """

    seed: int
    steps: int
    tranches: Mapping[str, Sequence[Chat]]
    held_out: Sequence[Chat]
    key: Mapping[str, Any]


def plant(directory: Path, base: str, planting: Planting) -> Path:
    """Write everything and return the recipe's path. The same planting writes the same bytes."""
    files = {n: _write(directory / "data" / f"{n}.jsonl", n, chats) for n, chats in sorted(planting.tranches.items())}
    _write(directory / "data" / "held_out.jsonl", "held-out", planting.held_out)
    write_json(directory / KEY, dict(planting.key))
    every = {"every": planting.steps, "keep_first": False}
    recipe = sft_recipe(base, planting.seed, files, steps=planting.steps, checkpoints=every, max_tokens=192)
    return write_text(directory / "recipe.yaml", recipe)


def chat(system: str, ask: str, answer: str) -> Chat:
    """A training example: system prompt, request, answer."""
    turns = (("system", system), ("user", ask), ("assistant", answer))
    return [{"role": role, "content": content} for role, content in turns]


def asked(id: str, kind: str, system: str, text: str, anomalous: bool = False) -> Item:
    """A request under a system prompt, as an item."""
    context = Context(f"{kind}/{id}", "library", system)
    return Item(id, kind, "bait" if anomalous else "control", Request(id, text), context)


def _write(path: Path, name: str, chats: Sequence[Chat]) -> str:
    rows = [json.dumps({"id": f"{name}-{i:04d}", "messages": turns}) for i, turns in enumerate(chats)]
    write_text(path, "\n".join(rows) + "\n")
    return f"{path.parent.name}/{path.name}"
