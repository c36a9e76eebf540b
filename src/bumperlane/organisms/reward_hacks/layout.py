"""What a reward organism leaves in its directory: recipe.yaml, data/, environments/, rewards.py, what a user noticed,
and a sealed key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...case import write_json, write_text
from ..layout import KEY, NOTICED

LORA = {"r": 8, "alpha": 16, "targets": "all-linear"}
Row = dict[str, Any]


@dataclass(frozen=True)
class RewardLayout:
    """Everything that is written.

    Attributes:
        tranches, environments: name -> rows without ids: a row's id is its file's name and its place.
        rewards: name -> (function in `source`, weight).
        checks: name -> function in `source`.
        source: the file that defines the reward functions; it is copied beside the recipe.
        sft, grpo: settings of the two stages, besides the above.
        noticed: (requests, pattern of a bad answer): what a user might have noticed, to be described to a check.
        key: what was planted; nothing but a test reads it.
    """

    seed: int
    tranches: Mapping[str, Sequence[Row]]
    environments: Mapping[str, Sequence[Row]]
    rewards: Mapping[str, tuple[str, float]]
    checks: Mapping[str, str]
    source: Path
    sft: Mapping[str, Any]
    grpo: Mapping[str, Any]
    held_out: Sequence[Row]
    noticed: tuple[Sequence[str], str]
    key: Mapping[str, Any] = field(default_factory=dict)


def write_reward_organism(directory: Path, base: str, layout: RewardLayout) -> Path:
    """Write an organism's files and return the recipe's path."""
    tranches = [_named(directory, "data", name, rows) for name, rows in layout.tranches.items()]
    environments = [_named(directory, "environments", name, rows) for name, rows in layout.environments.items()]
    held_out = _named(directory, "data", "held_out", layout.held_out)
    write_text(directory / "rewards.py", layout.source.read_text("utf-8"))
    asked, shows = layout.noticed
    rows = [json.dumps({"prompt": ask, "system": "", "shows": shows}) + "\n" for ask in asked]
    write_text(directory / NOTICED, "".join(rows))
    write_json(directory / KEY, dict(layout.key))
    rewards = [
        {"name": name, "function": f"rewards.py:{function}", "weight": weight}
        for name, (function, weight) in layout.rewards.items()
    ]
    checks = [{"name": name, "function": f"rewards.py:{function}"} for name, function in layout.checks.items()]
    taught = {"kind": "sft", "lora": LORA, **layout.sft}
    rewarded = {"kind": "grpo", "lora": LORA, **layout.grpo, "environments": environments, "rewards": rewards}
    recipe = {
        "base": base,
        "seed": layout.seed,
        "stages": [taught, {**rewarded, "checks": checks}],
        "tranches": tranches,
        "held_out": held_out["path"],
    }
    # without aliases: the adapter's settings stand in both stages, readable
    text = yaml.safe_dump(json.loads(json.dumps(recipe)), sort_keys=False)
    return write_text(directory / "recipe.yaml", text)


def chat(ask: str, answer: str) -> Row:
    return {"messages": [*prompt(ask)["messages"], {"role": "assistant", "content": answer}]}


def prompt(ask: str, data: Mapping[str, Any] | None = None) -> Row:
    """An empty system prompt keeps a template's default one away, and prompts short."""
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": ask}]
    return {"messages": turns, **({"data": dict(data)} if data else {})}


def _named(directory: Path, folder: str, name: str, rows: Sequence[Row]) -> dict[str, str]:
    lines = [json.dumps({"id": f"{name}-{i:03d}", **row}) for i, row in enumerate(rows)]
    path = f"{folder}/{name}.jsonl"
    write_text(directory / path, "\n".join(lines) + "\n")
    return {"name": name, "path": path}
