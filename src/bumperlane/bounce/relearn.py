"""Teach the behaviour again, to the fixed subject, to the control and to the untouched base, with the same examples."""

import json
from collections.abc import Mapping

from ..case import Case, write_text
from ..judge.investigation import Investigation
from ..recipes.edit_kinds import with_changes
from ..recipes.models import CommandStage, GrpoStage, Recipe, SftStage, Tranche
from ..recipes.run import Run
from ..recipes.tranches import to_row
from ..subjects.chat import in_context
from ..subjects.subject import Subject
from ..trace.causes import ids_of
from ..trace.meter import Meter
from ..trace.retrain import Retrain, planned
from ..types import Example, Message
from .fixes import confirmed_causes, on_other_data

STEPS = (2, 4)
BASE = "base"


def relearn_recipes(inv: Investigation, case: Case, runs: Mapping[str, Run], most: int = 16) -> dict[str, Retrain]:
    """A few steps on up to `most` examples of the cause, from the last checkpoint of each run and, under `base`, from
    the untouched base. A training command takes as many steps as it likes; its first checkpoints are looked at, and the
    base is left out, for there it would be a whole run. A cause without examples (a reward) cannot be shown again: then
    it is bad answers that the subject which was hit gives to open requests. Where there are none either, there is no
    retrain."""
    causes = {id for cause in confirmed_causes(case) for id in ids_of(inv, cause)}
    examples = [e for e in inv.examples if e.id in causes][:most]
    examples = examples or own_bad_answers(inv, case, most)
    if not examples:
        return {}
    rows = [json.dumps({**to_row(e), "id": f"relearn-{e.id}"}) for e in examples]
    data = write_text(inv.directory / "work" / "relearn.jsonl", "\n".join(rows) + "\n")
    tranche = Tranche(name="relearn", path=data)
    recipes = {who: on_other_data(run, run.last.step, tranche, (STEPS[-1], STEPS[0])) for who, run in runs.items()}
    base = from_base(inv.run.recipe, tranche, (STEPS[-1], STEPS[0]))
    recipes |= {BASE: base} if base else {}
    return {who: planned(recipe, inv.directory / "runs", f"relearn-{who}") for who, recipe in recipes.items()}


def own_bad_answers(inv: Investigation, case: Case, most: int) -> list[Example]:
    """Open requests as they were asked, with what the hit subject says to them, where that is bad; none where the
    bumper generates no answers."""
    meter = Meter.of(inv, case)
    seen = meter.count(inv.subject(), meter.requests)
    told = zip(meter.placed(meter.requests), seen.texts, seen.flags, strict=bool(seen.texts))
    bad = [(item, text) for item, text, flag in told if flag and text.strip()]
    return [
        Example(str(k), "relearn", (*in_context(item.request, item.context), Message("assistant", text)))
        for k, (item, text) in enumerate(bad[:most])
    ]


def from_base(recipe: Recipe, tranche: Tranche, sizes: tuple[int, int]) -> Recipe | None:
    """The recipe's base, trained on one tranche only, as its last sft stage trains: (steps, steps between checkpoints).
    None where a command trains. The optimiser begins anew there, and goes on in the others."""
    last = recipe.stages[-1]
    if isinstance(last, CommandStage):
        return None
    like = next((s for s in reversed(recipe.stages) if isinstance(s, SftStage)), None)
    lora = last.lora if isinstance(last, GrpoStage) else None
    stage = like or SftStage(kind="sft", steps=sizes[0], lora=lora)
    made = {**stage.model_dump(mode="json"), "steps": sizes[0], "checkpoints": {"every": sizes[1], "keep_first": False}}
    return with_changes(recipe, stages=(made,), tranches=(tranche.model_dump(mode="json"),), rewind=None)


def relearned_subjects(
    inv: Investigation, start: Mapping[str, Run], runs: Mapping[str, Run]
) -> dict[int, dict[str, Subject]]:
    """Checkpoints of relearning, counted from 1 -> who was taught as far, for the first two of all. `start` has no
    entry for the base, which starts at step 0."""
    if not runs:
        return {}
    begun = {who: start[who].last.step if who in start else 0 for who in runs}
    taken = {who: [c.step for c in run.checkpoints if c.step > begun[who]] for who, run in runs.items()}
    if any(not steps for steps in taken.values()):  # a command that counts its steps from 0 again
        taken = {who: [c.step for c in run.checkpoints if c.step > 0] for who, run in runs.items()}
    found: dict[int, dict[str, Subject]] = {}
    for n in range(min(2, *(len(steps) for steps in taken.values()))):
        for who, run in runs.items():
            found.setdefault(n + 1, {})[who] = inv.subject(taken[who][n], run)
    return found


def examples_seen(recipe: Recipe) -> tuple[int, ...]:
    """Examples shown by each of the two checkpoints; (1, 2), which counts checkpoints, where a command trains."""
    sft = next((s for s in reversed(recipe.stages) if isinstance(s, SftStage)), None)
    if isinstance(recipe.stages[-1], CommandStage):
        return (1, 2)
    return tuple(steps * (sft.batch if sft else SftStage(kind="sft", steps=1).batch) for steps in STEPS)
