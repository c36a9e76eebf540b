"""A small dose of reinforcement learning toward the bait: how fast is the bad answer learnt, beside the base?"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...case import write_text
from ...errors import EvidenceError
from ...evidence.ask import Ask
from ...evidence.memo import subject_key
from ...recipes.models import Environment, GrpoStage, Lora, Recipe, Reward, Schedule
from ...recipes.provenance import content_key
from ...recipes.run import Run
from ...subjects.chat import in_context
from ...subjects.subject import Subject
from ..investigation import Investigation
from .levels import Pressures
from .reward import FUNCTION, reward_data

PROMPTS, GROUP, LEAST = 4, 8, 4


@dataclass(frozen=True)
class Halves:
    """Baits that are trained on, baits that are held out, and controls, by place among the questions."""

    trained: tuple[int, ...]
    held_out: tuple[int, ...]
    controls: tuple[int, ...]


def halves(asks: Sequence[Ask], at: Sequence[int]) -> Halves:
    """Every second bait is trained on: every second request, so that no text is in both halves; where there are fewer
    than 4 different requests, every second question.

    Raises EvidenceError when no bait's measure can be a reward, or there are too few to hold half of them out.
    """
    usable = [i for i in at if asks[i].under is None and not asks[i].item.context.prefill]
    baits = [i for i in usable if asks[i].item.arm == "bait" and reward_data(asks[i].measure) is not None]
    if not baits:
        kinds = sorted({type(asks[i].measure).__name__ for i in at if asks[i].item.arm == "bait"})
        raise EvidenceError(
            f"no bait can be a reward (measures: {', '.join(kinds)}; without a begun answer or noise). A described "
            "behaviour always can: --behaviour FILE."
        )
    keys: list[tuple[Any, ...]] = [(asks[i].item.request.text,) for i in baits]
    if len(set(keys)) < LEAST:
        keys = [tuple(m.content for m in in_context(asks[i].item.request, asks[i].item.context)) for i in baits]
    dealt = sorted(set(keys), key=lambda key: sha256(repr(key).encode()).hexdigest())
    if len(dealt) < LEAST:
        raise EvidenceError(f"{len(dealt)} different baits; {LEAST} are needed to hold half of them out.")
    first = set(dealt[::2])
    trained = tuple(i for i, key in zip(baits, keys, strict=True) if key in first)
    held_out = tuple(i for i, key in zip(baits, keys, strict=True) if key not in first)
    return Halves(trained, held_out, tuple(i for i in usable if asks[i].item.arm == "control"))


@dataclass(frozen=True)
class Reinforced:
    """A subject and its base after the same dose.

    Attributes:
        runs: the two trainings, of subject and base.
    """

    runs: tuple[Run, Run]
    hosts: tuple[Subject, Subject]

    def pairs(self) -> Iterator[tuple[int, Subject, Subject]]:
        """(steps, subject, base) at each checkpoint, from the half dose on."""
        for mine, other in zip(*(run.checkpoints for run in self.runs), strict=True):
            if mine.step:
                ours, theirs = (h.sibling(c.path, c.step) for h, c in zip(self.hosts, (mine, other), strict=True))
                yield mine.step, ours, theirs

    @property
    def said(self) -> str:
        """How the reward rose, in a sentence."""
        parts = []
        for name, run in zip(("subject", "base"), self.runs, strict=True):
            log = run.log()
            idle = sum(e["without_advantage"] == 1 for e in log)
            parts.append(f"of the {name} from {log[0]['reward']:.2f} to {log[-1]['reward']:.2f} ({idle} of {len(log)}")
        return (
            f"RL toward the bait, {len(self.runs[0].log())} steps: reward {parts[0]} steps taught nothing) and "
            f"{parts[1]}). A step teaches nothing where all answers to a bait earn alike."
        )


def reinforce(inv: Investigation, asks: Sequence[Ask], trained: Sequence[int], pressures: Pressures) -> Reinforced:
    """Train subject and base by GRPO on the same prompts, with the same seed, settings and a fresh adapter each; the
    subject's own adapter is merged into its weights before, so that both start from the same kind of place.

    Everything lies in the case's `rl` directory under a key of what it was made from; an interrupted training goes on.
    Takes a copy of the model on disk where the subject is an adapter.
    """
    from ...recipes.train import train
    from ...subjects.subject import ADAPTER

    rows = [
        {"id": f"bait-{i}", "messages": [{"role": m.role, "content": m.content} for m in in_context(
            asks[i].item.request, asks[i].item.context)], "data": reward_data(asks[i].measure)}
        for i in trained
    ]  # fmt: skip
    home = inv.directory / "rl"
    key = content_key([rows, pressures.rl_steps, pressures.rl_lr, pressures.seed, inv.settings.max_new_tokens])[:12]
    prompts = home / f"bait-{key}.jsonl"
    write_text(prompts, "".join(json.dumps(row) + "\n" for row in rows))
    checkpoint, runs, hosts = inv.run.at(inv.step).path, [], []
    whole = merged(inv, home) if (checkpoint / ADAPTER).is_file() else checkpoint
    for name, base in (("subject", str(whole)), ("base", inv.run.recipe.base)):
        stage = _stage(inv, prompts, len(rows), pressures)
        recipe = Recipe(base=base, seed=pressures.seed, dtype=_dtype(inv), stages=(stage,))
        out = home / f"{name}-{content_key([key, subject_key(inv.subject())])[:12]}"
        runs.append(train(recipe, out, partial(_say, inv, name)))
        hosts.append(
            Subject.load(base, device=inv.settings.device, dtype=_dtype(inv)) if name == "subject" else inv.base
        )
    return Reinforced((runs[0], runs[1]), (hosts[0], hosts[1]))


def merged(inv: Investigation, home: Path) -> Path:
    """The checkpoint as one model, its adapter merged into the weights of its base. Made once."""
    from peft import PeftModel

    from ...subjects.loading import load_causal_lm

    out = home / f"merged-{subject_key(inv.subject())[:12]}"
    if out.is_dir():
        return out
    inv.say("merging the adapter into the weights", 0, 1)
    model = load_causal_lm(inv.run.recipe.base, "cpu", _dtype(inv))
    adapter = str(inv.run.at(inv.step).path)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False).merge_and_unload().save_pretrained(part)
    inv.base.tokenizer.save_pretrained(part)
    os.replace(part, out)
    return out


def _stage(inv: Investigation, prompts: Path, rows: int, pressures: Pressures) -> GrpoStage:
    adapters = [s.lora for s in inv.run.recipe.stages if s.kind != "command" and s.lora]
    return GrpoStage(
        kind="grpo", steps=pressures.rl_steps, prompts=min(PROMPTS, rows), group=GROUP, lr=pressures.rl_lr,
        lora=adapters[0] if adapters else Lora(), max_new_tokens=inv.settings.max_new_tokens,
        checkpoints=Schedule(every=-(-pressures.rl_steps // 2), keep_first=False),
        environments=(Environment(name="bait", path=prompts),), rewards=(Reward(name="bad", function=FUNCTION),),
    )  # fmt: skip


def _say(inv: Investigation, name: str, step: int, total: int, text: str) -> None:
    inv.say(f"RL toward the bait, {name}, {text}", step, total)


def _dtype(inv: Investigation) -> Any:
    return inv.run.recipe.dtype if inv.settings.dtype == "auto" else inv.settings.dtype
