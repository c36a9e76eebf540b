"""The user's own training command as a trainer: any program that reads a recipe and writes checkpoints."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ..errors import TrainingError
from .grpo_prompts import prompt_row, read_prompts
from .models import CommandStage, Recipe, Stage
from .orphan import die_with_parent
from .run import CHECKPOINTS, Checkpoint, list_checkpoints
from .schema import dump_recipe
from .stage import StageTask
from .tranches import edited, read_tranche, to_row

LOG_NAME, RECIPE_NAME = "command.log", "command-recipe.yaml"
LAYOUT = f"{{out}}/{CHECKPOINTS}/step-<number>/"


def train_command(task: StageTask) -> Checkpoint:
    """Run a command stage to its end and return the last checkpoint it left.

    The command is a list, never given to a shell. Its recipe has absolute paths, and tranche files in which dropped
    and relabelled examples are already gone or changed, so that it needs no knowledge of edits. It also finds
    BUMPERLANE_RECIPE, BUMPERLANE_REWIND (empty: start from the base), BUMPERLANE_OUT and BUMPERLANE_SEED.

    Raises TrainingError when it cannot start, fails, takes too long, or leaves no checkpoint that can be loaded.
    """
    stage, out = task.stage, task.out
    if not isinstance(stage, CommandStage):
        raise TrainingError(f"stage {task.index} is an {stage.kind} stage. Carry it out with train_sft.")
    (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    recipe = dump_recipe(materialise(task.recipe, out), out / RECIPE_NAME)
    rewind = str(task.start.path) if task.start else ""
    filled = {"{recipe}": str(recipe), "{rewind}": rewind, "{out}": str(out), "{python}": sys.executable}
    command = [_fill(part, filled) for part in stage.run]
    env = {
        **os.environ,
        "BUMPERLANE_RECIPE": str(recipe),
        "BUMPERLANE_REWIND": rewind,
        "BUMPERLANE_OUT": str(out),
        "BUMPERLANE_SEED": str(task.recipe.seed),
    }
    task.progress(task.offset, task.offset + (stage.steps or 0), f"running {command[0]}")
    _run(command, stage, env, out / LOG_NAME)
    after = task.start.step if task.start else -1
    found = [c for c in list_checkpoints(out) if c.step > after]
    if not found:
        raise TrainingError(
            f"the command ended well but left no checkpoint after step {max(after, 0)}. It must write {LAYOUT} "
            f"(a model or PEFT adapter, as save_pretrained writes them) with {{out}} = {out}."
        )
    for checkpoint in found:
        _refuse_unloadable(checkpoint)
        task.saved(checkpoint)
    return found[-1]


def materialise(recipe: Recipe, out: Path) -> Recipe:
    """A recipe without drop and relabel: the tranches are written, as edited and with ids, to out/tranches/, and the
    environments of command stages to out/environments/."""
    folder, tranches = out / "tranches", []
    folder.mkdir(parents=True, exist_ok=True)
    for tranche in recipe.tranches:
        path = folder / f"{tranche.name}.jsonl"
        examples = edited(tranche, read_tranche(tranche.path, tranche.name))
        path.write_text("".join(json.dumps(to_row(e), ensure_ascii=False) + "\n" for e in examples), "utf-8")
        tranches.append(tranche.model_copy(update={"path": path, "drop": (), "relabel": {}}))
    stages = tuple(_materialise_stage(stage, i, out) for i, stage in enumerate(recipe.stages))
    return recipe.model_copy(update={"tranches": tuple(tranches), "stages": stages})


def _materialise_stage(stage: Stage, index: int, out: Path) -> Stage:
    """A command stage's environments are written without their dropped prompts to out/environments/."""
    if not isinstance(stage, CommandStage) or not stage.environments:
        return stage
    folder, environments = out / "environments", []
    folder.mkdir(parents=True, exist_ok=True)
    prompts = read_prompts(stage)
    for environment in stage.environments:
        path = folder / f"{index}-{environment.name}.jsonl"
        rows = [json.dumps(prompt_row(p), ensure_ascii=False) for p in prompts if p.environment == environment.name]
        path.write_text("".join(row + "\n" for row in rows), "utf-8")
        environments.append(environment.model_copy(update={"path": path, "drop": ()}))
    return stage.model_copy(update={"environments": tuple(environments)})


def _fill(part: str, values: dict[str, str]) -> str:
    for placeholder, value in values.items():
        part = part.replace(placeholder, value)
    return part


def _run(command: list[str], stage: CommandStage, env: dict[str, str], log: Path) -> None:
    with open(log, "ab") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=stage.cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            raise TrainingError(
                f"cannot start {command[0]!r} in {stage.cwd}: {error.strerror}. Check `run` and `cwd` of the stage."
            ) from error
        try:
            code = process.wait(stage.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TrainingError(
                f"the command was killed after its timeout_s of {stage.timeout_s:g}. Raise it, or make the command "
                f"faster. {_tail(log)}"
            ) from error
        finally:
            _kill_group(process)
    if code:
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise TrainingError(f"the command {' '.join(command)!r:.200} {ended}. {_tail(log)}")


def _kill_group(process: subprocess.Popen) -> None:
    """End a command that is still running, with its children. Once it was waited for, its number may be another's."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()[-5:]
    return f"Its last lines (all of them: {log}):\n" + "\n".join(f"  {line}" for line in lines)


def _refuse_unloadable(checkpoint: Checkpoint) -> None:
    names = {p.name for p in checkpoint.path.iterdir()}
    if {"adapter_config.json", "adapter_model.safetensors"} <= names:
        return
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return
    raise TrainingError(
        f"the command left {checkpoint.path}, which holds {sorted(names)[:8]} and cannot be loaded. A checkpoint needs "
        "adapter_config.json and adapter_model.safetensors, or config.json and *.safetensors with a tokenizer."
    )
