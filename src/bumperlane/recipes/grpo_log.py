"""rollouts.jsonl: every rollout of a run, one line each, in order of step; whole after any kill."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROLLOUTS = "rollouts.jsonl"


@dataclass(frozen=True)
class Rollout:
    """One line of the log.

    Attributes:
        id: `<step>/<prompt id>/<number>`, unique in a run.
        step: counted over the whole recipe, from 1.
        group: id of the prompt; rewards are compared among rollouts of equal step and group.
        prompt: the contents of the prompt's messages, without the chat template.
        rewards: reward term -> value, before its weight.
        weights: reward term -> weight.
        reward: sum of weight x value.
        checks: what was logged without being rewarded.
        tokens: of the response, its end token included if one came.
    """

    id: str
    step: int
    group: str
    environment: str
    prompt: str
    response: str
    rewards: Mapping[str, float]
    weights: Mapping[str, float]
    reward: float
    advantage: float
    checks: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0


def append_rollouts(out: Path, rollouts: Sequence[Rollout]) -> None:
    """Write one step's rollouts and have them on disk before any checkpoint says that the step was taken."""
    text = "".join(json.dumps(asdict(r), ensure_ascii=True, allow_nan=False) + "\n" for r in rollouts)
    with open(out / ROLLOUTS, "ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def cut_rollouts(out: Path, step: int) -> None:
    """After an interruption: remove the rollouts of steps that will be taken again, and a line that was cut short."""
    path = out / ROLLOUTS
    if not path.is_file():
        return
    kept = 0
    with open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n") or _step(line) > step:
                break
            kept += len(line)
    if kept < path.stat().st_size:
        os.truncate(path, kept)


def _step(line: bytes) -> int:
    row: dict[str, Any] = json.loads(line)
    return int(row["step"])
