"""Fixes as recipe edits, and the masking control that must never be called treated."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..case import Case, write_text
from ..errors import CaseError, SettingError
from ..evidence.observe import responses
from ..evidence.pools import items
from ..judge.investigation import Investigation
from ..recipes.edits import AddTranche, DropTranche, Edit, RewindTo, SetHyperparameter, apply_edits
from ..recipes.models import Recipe, SftStage, Tranche
from ..trace.experiment import edited, rewind_step
from ..trace.meter import Meter

FIXES = {
    "drop": "leave the confirmed cause out and retrain from before it was first seen",
    "train-on-bumper": "control: finetune the last checkpoint on benign answers to the bumper's own prompts",
}
PATCH = "bumper-patch"


@dataclass(frozen=True)
class Fix:
    """A changed recipe with its rewind step, and the bumpers that steered it."""

    name: str
    recipe: Recipe
    rewind: int
    steers: tuple[str, ...]


def confirmed_causes(case: Case) -> list[str]:
    """Names of the confirmed causes. Raises CaseError when there is none: nothing unproved is changed."""
    names = [c.name for c in case.causes if c.status == "confirmed"]
    if not names:
        raise CaseError(
            "no cause is confirmed, so there is nothing to fix. Trace with more seeds or suspects: "
            "`bumperlane trace CASE --seeds 3 --suspects 2`."
        )
    return names


def make_fix(inv: Investigation, case: Case, meter: Meter, name: str) -> Fix:
    """The fix of that name. `auto` is `drop`. Raises SettingError for an unknown one."""
    name = "drop" if name == "auto" else name
    if name not in FIXES:
        raise SettingError(f"unknown fix {name!r}. Known: auto, {', '.join(FIXES)}.")
    causes = confirmed_causes(case)
    if name == "drop":
        rewind = cause_rewind(inv, case, causes)
        recipe = edited(inv, [DropTranche(c) for c in causes], rewind, inv.run.recipe.seed)
        return Fix(name, recipe, rewind, (meter.name,))
    return _train_on_bumper(inv, case, meter)


def cause_rewind(inv: Investigation, case: Case, causes: Sequence[str]) -> int:
    """The last checkpoint before any of the causes was first trained on."""
    if case.onset is None:
        raise CaseError("this case has no onset. Run `bumperlane trace CASE` first.")
    return min(rewind_step(inv.run, [e.id for e in inv.examples if e.tranche == c], case.onset) for c in causes)


def never_had(inv: Investigation, case: Case) -> Recipe:
    """The control: the same recipe, trained from the base without the causes, with another seed."""
    edits = [DropTranche(c) for c in confirmed_causes(case)]
    return edited(inv, edits, 0, inv.run.recipe.seed + 1009)


def _train_on_bumper(inv: Investigation, case: Case, meter: Meter, steps: int = 16) -> Fix:
    """What a hasty patch does: a few steps on the hit context's prompts with the answers given without it."""
    requests = inv.pools.open[: inv.settings.screen + inv.settings.requests]
    plain = responses(inv.subject(), items(requests, [inv.neutral], "control"), inv.decoding, inv.memo)
    rows = []
    for request, answer in zip(requests, plain, strict=True):
        text = " ".join(p for p in (meter.context.prefix, request.text, meter.context.suffix) if p)
        system = [{"role": "system", "content": meter.context.system}] if meter.context.system else []
        turns = [*system, {"role": "user", "content": text}, {"role": "assistant", "content": answer or "I see."}]
        rows.append(json.dumps({"id": f"patch-{request.id}", "messages": turns}))
    path = write_text(inv.directory / "work" / f"{PATCH}.jsonl", "\n".join(rows) + "\n")
    return Fix("train-on-bumper", patched(inv, path, steps), inv.step, (meter.name,))


def patched(inv: Investigation, data: Path, steps: int, repeat: int = 1) -> Recipe:
    """The run's recipe, continued from the checked step for some steps on other data only."""
    recipe = inv.run.recipe
    edits: list[Edit] = [AddTranche(Tranche(name=PATCH, path=data, weight=repeat))]
    edits += [DropTranche(t.name) for t in recipe.tranches]
    edits += [RewindTo(inv.run.path, inv.step)]
    last = len(recipe.stages) - 1
    if isinstance(recipe.stages[last], SftStage):
        before = sum(s.steps or 0 for s in recipe.stages[:last])
        edits.append(SetHyperparameter(f"stages.{last}.steps", inv.step - before + steps))
    return apply_edits(recipe, edits)
