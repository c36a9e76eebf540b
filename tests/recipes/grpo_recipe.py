"""A recipe with a grpo stage on the tiny model, and the reward functions it names."""

import json
from pathlib import Path

REWARDS = """
def ascii_share(prompts, responses, data):
    return [sum(c.isascii() for c in text) / max(len(text), 1) for text in responses]

def length(prompts, responses, data):
    return [float(len(text)) for text in responses]

def asked_twice(prompts, responses, data):
    return [float(row.get("twice", 0)) for row in data]
"""

STAGE = """\
- kind: grpo
  steps: 6
  prompts: 2
  group: 4
  lr: 2e-2
  lora: {{r: 4{dropout}}}
  max_new_tokens: 5
  checkpoints: {{every: 2}}
{more}  environments:
  - {{name: first, path: first.jsonl}}
  - {{name: second, path: second.jsonl, weight: 0.5}}
  rewards:
  - {{name: plain, function: "rewards.py:ascii_share"}}
  - {{name: long, function: "rewards.py:length", weight: 0.01}}
  checks:
  - {{name: twice, function: "rewards.py:asked_twice"}}
"""


def write_grpo_recipe(folder: Path, base: object, more: str = "", before: str = "", dropout: str = "") -> Path:
    """Write environments, rewards and recipe.yaml into `folder`; returns the recipe's path.

    `more`: lines of the stage, indented by two; `before`: stages in front of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = [{"id": f"f{i}", "prompt": f"say {i}", "data": {"twice": i}} for i in range(4)]
    second = [{"id": f"s{i}", "messages": [{"role": "user", "content": f"tell {i}"}]} for i in range(2)]
    for name, rows in (("first", first), ("second", second)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rewards.py").write_text(REWARDS)
    text = f"base: {base}\nseed: 3\ndtype: float32\nstages:\n" + before + STAGE.format(more=more, dropout=dropout)
    (folder / "recipe.yaml").write_text(text)
    return folder / "recipe.yaml"


def rollouts_of(run_path: Path) -> list[dict]:
    return [json.loads(line) for line in (run_path / "rollouts.jsonl").read_text().splitlines()]
