"""What a recipe will cost, before anything is trained."""

import statistics
from typing import Any

from .models import CommandStage, Recipe
from .run import RECIPE, Run, stage_plan
from .tranches import read_examples


def estimate(recipe: Recipe) -> str:
    """One line a stage: steps, checkpoints, tokens or rollouts; and the time, if there is a log to measure by.

    That is the log of the run it is rewound to.

    Raises RecipeError for tranches that cannot be read and ModelError when the base has no tokenizer here.
    """
    lines, offset, left = [], 0, 0
    skip = recipe.rewind.step if recipe.rewind else 0
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, CommandStage):
            lines.append(f"stage {index}: the command {stage.run[0]}, steps {stage.steps or 'unknown'}")
            offset += stage.steps or 0
            continue
        done = min(max(0, skip - offset), stage.steps)
        steps = range(done + 1, stage.steps + 1)
        kept = sum(1 for s in steps if s % stage.checkpoints.every == 0 or s == stage.steps)
        kept += int(offset == 0 and recipe.rewind is None and stage.checkpoints.keep_first)
        if stage.kind == "grpo":
            rollouts = len(steps) * stage.prompts * stage.group
            what = f"{rollouts:,} rollouts of at most {stage.max_new_tokens} tokens"
        else:
            what = f"{_tokens(recipe, index, done):,} tokens"
        lines.append(f"stage {index}: {stage.kind}, {len(steps)} steps, {kept} checkpoints, {what}")
        left, offset = left + len(steps), offset + stage.steps
    return "\n".join([*lines, _time(recipe, left)])


def _tokens(recipe: Recipe, index: int, done: int) -> int:
    from ..subjects.chat import encode_example
    from ..subjects.loading import load_tokenizer

    stage: Any = recipe.stages[index]
    examples, tokenizer = read_examples(recipe), load_tokenizer(recipe.base)
    steps = stage_plan(recipe, index, examples)[done:]
    used = {i for batch in steps for i in batch}
    length = {i: len(encode_example(tokenizer, examples[i], stage.max_tokens).tokens) for i in used}
    return sum(length[i] for batch in steps for i in batch)


def _time(recipe: Recipe, steps: int) -> str:
    rewind = recipe.rewind
    log = Run.open(rewind.run, allow_partial=True).log() if rewind and (rewind.run / RECIPE).is_file() else []
    if not rewind or not log:
        return "time: unknown, nothing like it was measured yet"
    seconds = statistics.median(entry["seconds"] for entry in log)
    return f"time: about {steps * seconds:.0f} s for {steps} steps ({seconds:.2f} s a step in {rewind.run})"
