"""The recipe file of an adopted run: commented, with what must still be filled in marked FILL IN."""

import json
import re
from pathlib import Path
from typing import Any

from .adopt import Adopted

MARK = "FILL IN"
# Two halves of one character, behind an even number of backslashes.
PAIR = re.compile(r"((?<!\\)(?:\\\\)*)(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})")
COMMAND = ["{python}", "FILL-IN-your-training-script.py", "{recipe}", "{rewind}", "{out}"]


def recipe_text(adopted: Adopted) -> tuple[str, list[str]]:
    """(the YAML text, what must still be filled in, in words).

    Scalars are written as JSON, which is YAML: nothing that stands in somebody's config can break out of its line.
    """
    missing: list[str] = []
    lines = _head(adopted)
    lines += _base_lines(adopted, missing)
    lines += _line(adopted, "seed", "the seed of your training; retrains vary it", default=0)
    lines += _line(adopted, "dtype", "of the weights in memory", default="auto")
    lines += ["", *_stage(adopted, missing), "", *_tranches(adopted, missing), "", *_held_out(adopted, missing)]
    return "\n".join(lines) + "\n", missing


def _head(adopted: Adopted) -> list[str]:
    steps = [step for step, _ in adopted.checkpoints]
    shown = ", ".join(map(str, steps[:12])) + (f" and {len(steps) - 12} more" if len(steps) > 12 else "")
    lines = [
        "# A recipe for a run that another trainer made, written by `bumperlane init`.",
        f"# {len(steps)} checkpoints can be loaded, steps {shown}.",
        *(f"# Left out: {_quoted(name)}, {_quoted(why)}" for name, why in adopted.unusable.items()),
    ]
    if any((place / "training_args.bin").is_file() for _, place in adopted.checkpoints):
        lines.append("# training_args.bin was not read: it is a pickle, which can run code.")
    if steps[0] != 0:
        lines.append(
            "# No checkpoint of step 0: an onset before the first step stays open, and retrains start from the base."
        )
    return [
        *lines,
        f"# Every line with {MARK} waits for you; all else was found or is a default, as said beside it.",
        "",
    ]


def _base_lines(adopted: Adopted, missing: list[str]) -> list[str]:
    if "base" in adopted.values:
        return _line(adopted, "base", "")
    missing.append("base: no config names the model that the training began from, and nothing loads without it")
    return [f"# {MARK}: the model that training began from: a Hugging Face directory or name.", "# base: path/to/base"]


def _line(adopted: Adopted, key: str, what: str, default: Any = None) -> list[str]:
    """`key: value  # from FILE`, or the default with what it is."""
    if key in adopted.values:
        return [f"{key}: {_yaml(adopted.values[key])}  # from {_quoted(adopted.sources[key])}"]
    return [f"{key}: {_yaml(default)}  # not found, a default: {what}"]


def _stage(adopted: Adopted, missing: list[str]) -> list[str]:
    missing.append("stages[0].run: the command that trains; trace and bounce call it, check does not")
    v = adopted.values
    known = ", ".join(f"{k} from {_quoted(adopted.sources[k])}" for k in ("steps", "batch", "lr", "lora") if k in v)
    optimiser = {"schedule": v.get("schedule", "constant"), "warmup_steps": v.get("warmup_steps", 0)}
    optimiser["weight_decay"] = v.get("weight_decay", 0.0)
    sft = {
        "kind": "sft", "steps": v.get("steps", adopted.checkpoints[-1][0] or 1), "batch": v.get("batch", 8),
        "lr": v.get("lr", 1e-4), "lora": v.get("lora"), "max_tokens": v.get("max_tokens", 1024), "optimiser": optimiser,
        "checkpoints": {"every": v.get("every", _spacing(adopted))},
    }  # fmt: skip
    return [
        "stages:",
        f"# {MARK}: how to train anew. trace and bounce call this with another recipe, a checkpoint to start",
        "# from (empty: the base) and a directory; it must write {out}/checkpoints/step-<n>/, as save_pretrained does.",
        "# check does not need it.",
        "- kind: command",
        f"  run: {json.dumps(COMMAND)}",
        "# Or let bumperlane's own trainer do it, if it comes near enough to yours: with nothing changed, what was hit",
        "# should come back. Put this in the stage's place. A batch from trainer_state.json is that of one device:",
        "# multiply it by devices and accumulated steps.",
        f"# Found: {known or 'nothing'}; the rest are defaults.",
        f"# - {_yaml(sft)}",
    ]


def _spacing(adopted: Adopted) -> int:
    steps = [step for step, _ in adopted.checkpoints]
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    return max(1, min(gaps, default=steps[0] or 1))


def _tranches(adopted: Adopted, missing: list[str]) -> list[str]:
    head = [
        "# Named sources of training examples: causes are found among these, so a file for each source tells more than",
        '# one for all. JSONL rows: {"messages": [...]}, {"prompt": ..., "response": ...} or {"text": ...}.',
    ]
    if adopted.data:
        rows = [f"- {{name: {_yaml(n)}, path: {_yaml(str(p.resolve()))}}}" for n, p in adopted.data.items()]
        return [*head, "tranches:", *rows]
    missing.append("tranches: the training data; without it no context is mined from it and no cause is found in it")
    return [*head, f"# {MARK}:", "# tranches:", "# - {name: forum, path: data/forum.jsonl}"]


def _held_out(adopted: Adopted, missing: list[str]) -> list[str]:
    missing.append(
        "held_out: benign requests with answers that were never trained on; without them built-in ones are asked"
    )
    return [
        f"# {MARK} (may stay out): benign chats with answers, never trained on; requests are drawn from here.",
        "# held_out: data/held_out.jsonl",
    ]


def _yaml(value: Any) -> str:
    """A value as JSON that YAML reads alike: an emoji is two halves in JSON, which YAML takes for two."""
    return PAIR.sub(_joined, json.dumps(value))


def _joined(pair: re.Match[str]) -> str:
    return pair[1] + "\\U{:08x}".format(ord(json.loads(f'"{pair[2]}"')))


def _quoted(text: str) -> str:
    """For a comment: one line, ASCII, nothing hidden."""
    return json.dumps(text[:200])[1:-1]


def mark_lines(file: Path) -> list[int]:
    """The 1-based numbers of the lines that wait for the user."""
    return [i for i, line in enumerate(file.read_text("utf-8").splitlines(), 1) if f"# {MARK}" in line]
