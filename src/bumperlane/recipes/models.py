"""The nouns of a recipe: frozen, checked when made, with every path absolute."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


def _folder(info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", os.getcwd()))


def _absolute(path: Path, info: ValidationInfo) -> Path:
    return Path(os.path.abspath(_folder(info) / path.expanduser()))


def _here(path: Path | str | None, info: ValidationInfo) -> Path | str:
    return _folder(info) if path is None else path


def _model(base: str, info: ValidationInfo) -> str:
    """A base is a path if it begins with `.`, `~` or `/`, or is a directory beside the recipe file; else a name."""
    local = _absolute(Path(base), info)
    beside = info.context is not None and local.is_dir()
    return str(local) if base.startswith((".", "~", "/")) or beside else base


def _function(function: str, info: ValidationInfo) -> str:
    """`path/to/file.py:function` with the path made absolute; `package.module:function` and built-in names as given."""
    file, colon, name = function.rpartition(":")
    if colon and file.endswith(".py"):
        return f"{_absolute(Path(file), info)}:{name}"
    return function


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, Field(pattern=r"^[\w.-]+$")]
Function = Annotated[str, Field(min_length=1), AfterValidator(_function)]


class Frozen(BaseModel):
    """Cannot be changed once made; unknown keys are refused."""

    # defaults are checked too: 16 and 16.0 are equal here but not in the JSON that is hashed
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Optimiser(Frozen):
    """AdamW on float32 masters. Weight decay spares vectors (norms, biases)."""

    name: Literal["adamw"] = "adamw"
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    warmup_steps: Whole = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"


class Lora(Frozen):
    """A low-rank adapter. `layers` is (first, last), both included; null takes every layer."""

    r: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    layers: tuple[Whole, Whole] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Lora":
        if self.layers and self.layers[0] > self.layers[1]:
            raise ValueError(f"layers must be [first, last], got {list(self.layers)}")
        if not self.targets:
            raise ValueError("targets must name a module; all-linear takes every linear layer but the head")
        return self


class Schedule(Frozen):
    """Which checkpoints are kept: every n steps and the last; `keep_first` adds step 0, before any update."""

    every: Count = 8
    keep_first: bool = True


class SftStage(Frozen):
    """Supervised finetuning on the tranches. `lora: null` trains every weight."""

    kind: Literal["sft"]
    steps: Count
    batch: Count = 8
    lr: Positive = 3e-3
    optimiser: Optimiser = Optimiser()
    lora: Lora | None = Lora()
    max_tokens: Annotated[int, Field(ge=2)] = 1024
    max_grad_norm: Positive = 1.0
    checkpoints: Schedule = Schedule()


class Environment(Frozen):
    """A named source of prompts for reinforcement learning.

    Attributes:
        path: JSONL rows with `messages` or `prompt`, an optional `id`, and an optional mapping `data` (tests, a right
            answer ...) that reward functions get.
        weight: times each prompt is drawn, relative to the other environments. Fractions are allowed.
        drop: ids of prompts that are left out.
    """

    name: Name
    path: AbsolutePath
    weight: Positive = 1.0
    drop: tuple[str, ...] = ()


class Check(Frozen):
    """A score that is logged for each rollout and never rewarded, such as held-out tests.

    `function` is path/to/file.py:function, package.module:function, or the name of a built-in one.
    """

    name: Name
    function: Function


class Reward(Check):
    """A reward term. A rollout's reward is the sum of weight x value over the terms; a weight of 0 only logs it."""

    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0


class CommandStage(Frozen):
    """The user's own trainer, without a shell. {recipe}, {rewind}, {out} and {python} in `run` are filled in.

    `cwd` defaults to the recipe's folder. `environments` and `rewards` are for a command that does reinforcement
    learning: it reads them from the recipe it is given, so that edits of them reach it.
    """

    kind: Literal["command"]
    run: Annotated[tuple[str, ...], Field(min_length=1)]
    steps: Count | None = None
    timeout_s: Positive | None = None
    cwd: Annotated[AbsolutePath, BeforeValidator(_here)] = Field(default=None, validate_default=True)
    environments: tuple[Environment, ...] = ()
    rewards: tuple[Reward, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> "CommandStage":
        _refuse_twice("environments", environments=self.environments)
        _refuse_twice("rewards", rewards=self.rewards)
        return self


class GrpoStage(Frozen):
    """Reinforcement learning by group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300).

    Attributes:
        steps: one step samples, scores and learns from prompts x group rollouts.
        prompts: prompts a step.
        group: rollouts a prompt, among which rewards are compared.
        epochs: updates on each step's rollouts.
        clip: how far the probability ratio may leave 1 before its gradient is cut.
        kl: coefficient of the divergence from `kl_to`: the stage's start, or the base (what lies under the adapter).
        divide_by_std: divide advantages by the group's standard deviation; false is Dr. GRPO (arXiv:2503.20783).
        average: the loss is a mean over responses of means over tokens (GRPO), over all tokens (DAPO,
            arXiv:2503.14476), or a sum over rollouts x max_new_tokens (Dr. GRPO), which favours no length.
        lora: the adapter of the sft stages before, where there are any. Dropout is off: it would change the ratio.
    """

    kind: Literal["grpo"]
    steps: Count
    prompts: Count = 8
    group: Annotated[int, Field(ge=2)] = 8
    epochs: Count = 1
    lr: Positive = 3e-4
    optimiser: Optimiser = Optimiser()
    lora: Lora | None = Lora()
    max_new_tokens: Count = 64
    temperature: Positive = 1.0
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    kl_to: Literal["start", "base"] = "start"
    divide_by_std: bool = True
    average: Literal["responses", "tokens", "max_new_tokens"] = "responses"
    max_grad_norm: Positive = 1.0
    checkpoints: Schedule = Schedule()
    environments: Annotated[tuple[Environment, ...], Field(min_length=1)]
    rewards: Annotated[tuple[Reward, ...], Field(min_length=1)]
    checks: tuple[Check, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> "GrpoStage":
        _refuse_twice("environments", environments=self.environments)
        _refuse_twice("rewards and checks", rewards=self.rewards, checks=self.checks)
        return self


def _refuse_twice(noun: str, **parts: Sequence["Environment | Check | Tranche"]) -> None:
    """Names that stand twice in lists taken together. `at` in the error's context are the keys to the second."""
    seen: set[str] = set()
    for key, named in parts.items():
        for i, part in enumerate(named):
            if part.name in seen:
                context = {"noun": noun, "name": repr(part.name), "at": (key, i, "name")}
                raise PydanticCustomError("placed", "two {noun} are named {name}; names must be unique", context)
            seen.add(part.name)


Stage = Annotated[SftStage | CommandStage | GrpoStage, Field(discriminator="kind")]


class Tranche(Frozen):
    """A named source of training examples.

    Attributes:
        weight: times each example is seen, relative to the other tranches. Fractions are allowed.
        drop: ids of examples that are left out.
        relabel: id -> the assistant's new last answer.
    """

    name: Name
    path: AbsolutePath
    weight: Positive = 1.0
    drop: tuple[str, ...] = ()
    relabel: dict[str, str] = Field(default_factory=dict)


class Rewind(Frozen):
    """Start from the checkpoint that another run left at `step`."""

    run: AbsolutePath
    step: Whole


class Recipe(Frozen):
    """How a subject is trained: the base, what is done to it in which order, and on which data.

    `held_out` is a JSONL file of benign chats with reference answers that are never trained on.
    """

    base: Annotated[str, Field(min_length=1), AfterValidator(_model)]
    seed: Whole = 0
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    tranches: tuple[Tranche, ...] = ()
    held_out: AbsolutePath | None = None
    rewind: Rewind | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        _refuse_twice("tranches", tranches=self.tranches)
        sft = [stage for stage in self.stages if stage.kind == "sft"]
        if sft and not self.tranches:
            raise ValueError("an sft stage needs a tranche to train on")
        trained = [stage.lora for stage in self.stages if not isinstance(stage, CommandStage) and stage.lora]
        if len(set(trained)) > 1:
            kinds = "sft and grpo stages" if len(sft) < len(self.stages) else "sft stages"
            raise ValueError(f"all {kinds} with lora must have the same lora settings: they train one adapter")
        return self
