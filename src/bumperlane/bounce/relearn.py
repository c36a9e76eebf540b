"""Teach the behaviour again, to the fixed subject and to the control, with the same few examples."""

import json

from ..case import Case, write_text
from ..judge.investigation import Investigation
from ..recipes.models import Tranche
from ..recipes.run import Run
from ..recipes.tranches import to_row
from ..subjects.subject import Subject
from ..trace.causes import ids_of
from ..trace.retrain import Retrain, planned
from .fixes import confirmed_causes, on_other_data

STEPS = (2, 4)


def relearn_recipes(inv: Investigation, case: Case, runs: dict[str, Run], most: int = 16) -> dict[str, Retrain]:
    """A few steps on up to `most` examples of the cause, from the last checkpoint of each run. A training command
    takes as many steps as it likes; its first checkpoints are looked at. A cause that is no data cannot be shown again:
    then there is no retrain."""
    causes = {id for cause in confirmed_causes(case) for id in ids_of(inv, cause)}
    examples = [e for e in inv.examples if e.id in causes][:most]
    if not examples:
        return {}
    rows = [json.dumps({**to_row(e), "id": f"relearn-{e.id}"}) for e in examples]
    data = write_text(inv.directory / "work" / "relearn.jsonl", "\n".join(rows) + "\n")
    tranche = Tranche(name="relearn", path=data)
    recipes = {who: on_other_data(run, run.last.step, tranche, (STEPS[-1], STEPS[0])) for who, run in runs.items()}
    return {who: planned(recipe, inv.directory / "runs", f"relearn-{who}") for who, recipe in recipes.items()}


def relearned_subjects(
    inv: Investigation, start: dict[str, Run], runs: dict[str, Run]
) -> dict[int, dict[str, Subject]]:
    """Steps of relearning -> the fixed subject and the control after them, for the first two checkpoints of both."""
    if not runs:
        return {}
    taken = {who: [c.step for c in run.checkpoints if c.step > start[who].last.step] for who, run in runs.items()}
    if any(not steps for steps in taken.values()):  # a command that counts its steps from 0 again
        taken = {who: [c.step for c in run.checkpoints if c.step > 0] for who, run in runs.items()}
    found: dict[int, dict[str, Subject]] = {}
    for n in range(min(2, *(len(steps) for steps in taken.values()))):
        for who, run in runs.items():
            found.setdefault(n + 1, {})[who] = inv.subject(taken[who][n], run)
    return found
