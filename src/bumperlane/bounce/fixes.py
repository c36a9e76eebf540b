"""Fixes as recipe edits, and the masking control that must never be called treated."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..case import Case, Cause, write_text
from ..errors import CaseError, SettingError
from ..evidence.observe import responses
from ..evidence.pools import items
from ..judge.investigation import Investigation
from ..recipes.edit_kinds import with_changes
from ..recipes.edits import AddTranche, DropTranche, Edit, RewindTo, SetHyperparameter, apply_edits
from ..recipes.models import GrpoStage, Recipe, SftStage, Tranche
from ..recipes.run import Run
from ..subjects.chat import in_context
from ..trace.causes import confirmed_parts, edits_without, ids_of
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


def confirmed_causes(case: Case) -> list[Cause]:
    """The confirmed causes. Raises CaseError when there is none: nothing unproved is changed."""
    causes = confirmed_parts(case)
    if not causes:
        raise CaseError(
            "no cause is confirmed, so there is nothing to fix. Trace with more seeds or suspects: "
            "`bumperlane trace CASE --seeds 3 --suspects 2`."
        )
    return causes


def make_fix(inv: Investigation, case: Case, meter: Meter, name: str) -> Fix:
    """The fix of that name. `auto` is `drop`. Raises SettingError for an unknown one."""
    name = "drop" if name == "auto" else name
    if name not in FIXES:
        raise SettingError(f"unknown fix {name!r}. Known: auto, {', '.join(FIXES)}.")
    causes = confirmed_causes(case)
    if name == "drop":
        rewind = cause_rewind(inv, case, causes)
        recipe = edited(inv, edits_without(inv, causes), rewind, inv.run.recipe.seed)
        return Fix(name, recipe, rewind, (meter.name,))
    return _train_on_bumper(inv, case, meter)


def cause_rewind(inv: Investigation, case: Case, causes: Sequence[Cause]) -> int:
    """The last checkpoint before any of the causes was first trained on; the base where that is not known."""
    if case.onset is None:
        raise CaseError("this case has no onset. Run `bumperlane trace CASE` first.")
    ids = [ids_of(inv, c) for c in causes]
    return min(rewind_step(inv.run, mine, case.onset) if mine else 0 for mine in ids)


def never_had(inv: Investigation, case: Case) -> Recipe:
    """The control: the same recipe, trained from the base without the causes, with another seed."""
    edits = edits_without(inv, confirmed_causes(case))
    return edited(inv, edits, 0, inv.run.recipe.seed + 1009)


def _train_on_bumper(inv: Investigation, case: Case, meter: Meter, steps: int = 16) -> Fix:
    """What a hasty patch does: a few steps on the hit context's prompts with the answers given without it; on questions
    of the behaviour's own, with what the base answers."""
    if meter.told:
        requests = meter.requests
        plain: Sequence[str] = meter.count(inv.subject(), requests).neutral_texts
    else:
        requests = inv.pools.open[: inv.settings.screen + inv.settings.requests]
        plain = responses(inv.subject(), items(requests, [inv.neutral], "control"), inv.decoding, inv.memo)
    rows = []
    for item, answer in zip(meter.placed(requests), plain, strict=True):
        turns = [{"role": m.role, "content": m.content} for m in in_context(item.request, item.context) if m.content]
        turns.append({"role": "assistant", "content": answer or "I see."})
        rows.append(json.dumps({"id": f"patch-{item.request.id}", "messages": turns}))
    path = write_text(inv.directory / "work" / f"{PATCH}.jsonl", "\n".join(rows) + "\n")
    return Fix("train-on-bumper", patched(inv, path, steps), inv.step, (meter.name,))


def patched(inv: Investigation, data: Path, steps: int, repeat: int = 1) -> Recipe:
    """The run's recipe, continued from the checked step for some steps on other data only."""
    return on_other_data(inv.run, inv.step, Tranche(name=PATCH, path=data, weight=repeat), (steps, steps))


def on_other_data(run: Run, step: int, tranche: Tranche, sizes: tuple[int, int]) -> Recipe:
    """A run's recipe, continued from a step on one tranche only: (steps, steps between checkpoints). A recipe that ends
    with reinforcement learning gets an sft stage of its own for that, with the learning rate of the sft stage before
    it or the usual one; a training command takes as many steps as it likes."""
    recipe, (steps, every) = run.recipe, sizes
    edits: list[Edit] = [AddTranche(tranche), *(DropTranche(t.name) for t in recipe.tranches)]
    last = len(recipe.stages) - 1
    before = sum(s.steps or 0 for s in recipe.stages[:last])
    if isinstance(recipe.stages[last], GrpoStage):
        recipe = with_changes(recipe, stages=(*_ended(recipe, step - before), _sft_after(recipe, steps)))
    elif isinstance(recipe.stages[last], SftStage):
        edits.append(SetHyperparameter(f"stages.{last}.steps", step - before + steps))
    done = apply_edits(recipe, [*edits, RewindTo(run.path, step)])
    at = len(done.stages) - 1
    if isinstance(done.stages[at], SftStage) and every < steps:
        done = apply_edits(done, [SetHyperparameter(f"stages.{at}.checkpoints.every", every)])
    return done


def _ended(recipe: Recipe, own: int) -> tuple[dict, ...]:
    """The stages, the last one ended after `own` of its steps."""
    stages = recipe.model_dump(mode="json")["stages"]
    return (*stages[:-1], {**stages[-1], "steps": own})


def _sft_after(recipe: Recipe, steps: int) -> dict:
    """An sft stage like the recipe's last one, or with the usual settings and the adapter that is trained."""
    like = next((s for s in reversed(recipe.stages) if isinstance(s, SftStage)), None)
    last = recipe.stages[-1]
    lora = last.lora if isinstance(last, GrpoStage) else None
    made = like or SftStage(kind="sft", steps=steps, lora=lora)
    return {**made.model_dump(mode="json"), "steps": steps}
