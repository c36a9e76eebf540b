"""What every kind of fix promises, what it is given, and the decorator that registers it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args

from ...case import Case, Cause
from ...errors import CaseError, ContractError, SettingError
from ...judge.investigation import Investigation
from ...recipes.edits import Edit
from ...trace.causes import ids_of
from ...trace.data.material import Outputs, outputs_of
from ...trace.experiment import edited, rewind_step
from ...trace.meter import Meter
from ...trace.retrain import total_steps
from ...types import Example
from ..fixes import Fix, cause_rewind, confirmed_causes

Known = Literal["measured", "derived", "guessed"]
Answers = Literal["before", "base"]
PROMISES = ("name", "about", "masks", "takes", "refusal", "forecast", "make")
REGISTRY: dict[str, Any] = {}
T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class FixOptions:
    """What a user may give to a kind of fix. Each kind says under `takes` which of these it reads.

    Args:
        of: a tranche or reward term; "" takes the confirmed cause.
        weight: the new weight of a tranche or reward term; nats of a logit penalty.
        k: how many examples.
        method: an attribution method that ranks examples alone; "" takes the fused score of those that the trace heard.
        answers: whose answers are the benign ones: of the checkpoint before the cause, or of the base.
        data: a JSONL file: new answers by id, or examples, in the form of a tranche.
        text: a system prompt, a refusal, or what stands in a filtered answer's place.
        function: a repaired reward function, as in a recipe.
        seed: of a retrain that leaves the cause out, or changes nothing else.
    """

    of: str = ""
    weight: float | None = None
    k: int | None = None
    method: str = ""
    answers: Answers = "before"
    data: Path | None = None
    text: str = ""
    function: str = ""
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and not isfinite(self.weight):
            raise SettingError(f"weight must be a finite number, got {self.weight}.")
        if self.k is not None and self.k < 1:
            raise SettingError(f"k must be 1 or more, got {self.k}.")
        if self.seed is not None and self.seed < 0:
            raise SettingError(f"seed must be 0 or more, got {self.seed}.")
        if self.answers not in get_args(Answers):
            raise SettingError(f"unknown answers {self.answers!r}. Known: {', '.join(get_args(Answers))}.")

    def given(self) -> list[str]:
        """Names of the options that differ from what they are unasked."""
        return [f.name for f in fields(self) if getattr(self, f.name) != f.default]


@dataclass(frozen=True)
class Traced:
    """A traced case, and what the user gave: all that a kind of fix may read. No sealed request is among it."""

    inv: Investigation
    case: Case
    meter: Meter
    options: FixOptions = FixOptions()

    @cached_property
    def causes(self) -> list[Cause]:
        """The confirmed ones. Raises CaseError when there is none."""
        return confirmed_causes(self.case)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Training examples that make the confirmed causes up; none for a reward term or an environment."""
        return tuple(dict.fromkeys(id for cause in self.causes for id in ids_of(self.inv, cause)))

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The causes' examples that are trained on, in the recipe's order."""
        mine = set(self.ids)
        return tuple(e for e in self.inv.examples if e.id in mine)

    @cached_property
    def rewind(self) -> int:
        """The last checkpoint before any of the causes was trained on; 0 where that is not known."""
        return cause_rewind(self.inv, self.case, self.causes)

    def rewind_of(self, ids: Sequence[str]) -> int:
        """The same for any examples."""
        if self.case.onset is None:
            raise CaseError("this case has no onset. Run `bumperlane trace CASE` first.")
        return rewind_step(self.inv.run, ids, self.case.onset)

    @cached_property
    def rate(self) -> float:
        """How often the hit subject shows the behaviour, as the check or the trace measured it."""
        hit = next((r for r in self.case.hits if self.case.behaviour and r.bumper == self.case.behaviour.bumper), None)
        if hit is not None and hit.effect:
            return hit.effect.value
        curve = self.case.onset.curve if self.case.onset else []
        return max((point.rate.value for point in curve), default=1.0)

    @cached_property
    def effect(self) -> float:
        """Fall of that rate when the strongest confirmed cause was left out in the trace's experiments."""
        return min(self.rate, max((c.effect.value for c in self.causes if c.effect), default=self.rate))

    @cached_property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return max(total_steps(self.inv.run.recipe), self.inv.run.last.step)

    @cached_property
    def outputs(self) -> Outputs:
        """Bad outputs on open requests, with their benign twins. Loads the model."""
        return outputs_of(self.inv, self.meter, self.inv.subject())

    def fix(
        self, name: str, edits: Sequence[Edit], rewind: int, notes: Sequence[str] = (), seed: int | None = None
    ) -> Fix:
        """The run's recipe with these edits, from that step."""
        seed = self.inv.run.recipe.seed if seed is None else seed
        return Fix(name, edited(self.inv, edits, rewind, seed), rewind, (self.meter.name,), notes=tuple(notes))

    def share_of(self, ids: Sequence[str]) -> float:
        """Share of all training examples, as often as they are shown."""
        weights = {t.name: t.weight for t in self.inv.run.recipe.tranches}
        mine, total = set(ids), 0.0
        for e in self.inv.examples:
            total += weights[e.tranche]
        return sum(weights[e.tranche] for e in self.inv.examples if e.id in mine) / total if total else 0.0


@dataclass(frozen=True)
class Forecast:
    """What a fix is expected to do, and to cost, before anything is trained.

    Attributes:
        effect: fall of the behaviour's rate, in points of the rate.
        known: measured by retrains of the trace; derived from such a measurement by a stated assumption; or guessed.
        why: how the number came about, in a sentence or two.
        rewind: the step that training starts from.
        steps: optimiser steps to train.
        lost: share of the training that is given up for it.
    """

    effect: float
    known: Known
    why: str
    rewind: int
    steps: int
    lost: float = 0.0


class FixKind(Protocol):
    """A kind of fix: a frozen dataclass under `@fix_kind`.

    Attributes:
        name: what `--fix` takes, in lower case with hyphens.
        about: what it does, in one sentence.
        masks: whether it is a masking control, which can make a bumper quiet and leaves the cause where it is.
        takes: the options that it reads (fields of FixOptions).
    """

    name: ClassVar[str]
    about: ClassVar[str]
    masks: ClassVar[bool]
    takes: ClassVar[tuple[str, ...]]

    def refusal(self, traced: Traced) -> str:
        """Why it does not apply to this case, and what to do instead; "" where it applies. Loads no model."""
        ...

    def forecast(self, traced: Traced) -> Forecast:
        """What it is expected to do and to cost. Called only where it applies. Loads no model."""
        ...

    def make(self, traced: Traced) -> Fix:
        """The fix. May ask the run's own checkpoints; trains nothing."""
        ...


def fix_kind(cls: T) -> T:
    """Register a kind of fix, or say at once what is missing. Raises ContractError."""
    missing = [m for m in PROMISES if not hasattr(cls, m)]
    if not (is_dataclass(cls) and cls.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        missing.append("@dataclass(frozen=True)")
    if missing:
        raise ContractError(f"the kind of fix {cls.__name__} lacks {missing}. See docs/fixes.md for an example.")
    name, takes = cls.name, cls.takes  # type: ignore[attr-defined]
    if name == "auto" or name != name.lower() or not name.replace("-", "").isalnum():
        raise ContractError(f"a kind of fix is named {name!r}. Use lower-case letters and hyphens, and not 'auto'.")
    known = [f.name for f in fields(FixOptions)]
    odd = [option for option in takes if option not in known]
    if odd:
        raise ContractError(f"the kind of fix {name!r} takes unknown options {odd}. Known: {', '.join(known)}.")
    held = REGISTRY.get(name)
    if held is not None and (held.__module__, held.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ContractError(f"two kinds of fixes are named {name!r}: in {held.__module__} and {cls.__module__}.")
    REGISTRY[name] = cls
    return cls
