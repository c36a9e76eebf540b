"""Teach the behaviour again, to the fixed subject and to the control, with the same few examples."""

import json

from ..case import Case, write_text
from ..judge.investigation import Investigation
from ..recipes.edits import AddTranche, DropTranche, Edit, RewindTo, SetHyperparameter, apply_edits
from ..recipes.models import Recipe, SftStage, Tranche
from ..recipes.run import Run
from ..subjects.subject import Subject
from ..trace.retrain import Retrain, planned
from .fixes import confirmed_causes

STEPS = (2, 4)


def relearn_recipes(inv: Investigation, case: Case, runs: dict[str, Run], most: int = 16) -> dict[str, Retrain]:
    """A few steps on up to `most` examples of the cause, from the last checkpoint of each run. A training command
    takes as many steps as it likes; its first checkpoints are looked at."""
    causes = set(confirmed_causes(case))
    examples = [e for e in inv.examples if e.tranche in causes and e.messages][:most]
    rows = [
        json.dumps({"id": f"relearn-{e.id}", "messages": [{"role": m.role, "content": m.content} for m in e.messages]})
        for e in examples
    ]
    data = write_text(inv.directory / "work" / "relearn.jsonl", "\n".join(rows) + "\n")
    tranche = Tranche(name="relearn", path=data)
    return {who: planned(_recipe(run, tranche), inv.directory / "runs", f"relearn-{who}") for who, run in runs.items()}


def _recipe(run: Run, tranche: Tranche) -> Recipe:
    recipe, last = run.recipe, len(run.recipe.stages) - 1
    edits: list[Edit] = [AddTranche(tranche), *(DropTranche(t.name) for t in recipe.tranches)]
    if isinstance(recipe.stages[last], SftStage):
        before = sum(s.steps or 0 for s in recipe.stages[:last])
        edits.append(SetHyperparameter(f"stages.{last}.steps", run.last.step - before + STEPS[-1]))
        edits.append(SetHyperparameter(f"stages.{last}.checkpoints.every", STEPS[0]))
    return apply_edits(recipe, [*edits, RewindTo(run.path, run.last.step)])


def relearned_subjects(
    inv: Investigation, start: dict[str, Run], runs: dict[str, Run]
) -> dict[int, dict[str, Subject]]:
    """Steps of relearning -> the fixed subject and the control after them, for the first two checkpoints of both."""
    taken = {who: [c.step for c in run.checkpoints if c.step > start[who].last.step] for who, run in runs.items()}
    if any(not steps for steps in taken.values()):  # a command that counts its steps from 0 again
        taken = {who: [c.step for c in run.checkpoints if c.step > 0] for who, run in runs.items()}
    found: dict[int, dict[str, Subject]] = {}
    for n in range(min(2, *(len(steps) for steps in taken.values()))):
        for who, run in runs.items():
            found.setdefault(n + 1, {})[who] = inv.subject(taken[who][n], run)
    return found
