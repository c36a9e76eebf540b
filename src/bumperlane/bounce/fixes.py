"""A fix: a changed recipe with its rewind step, or what is put around the subject; and what all kinds share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..case import Case, Cause
from ..errors import CaseError
from ..judge.investigation import Investigation
from ..recipes.edit_kinds import with_changes
from ..recipes.edits import AddTranche, DropTranche, Edit, RewindTo, SetHyperparameter, apply_edits, diff
from ..recipes.models import GrpoStage, Recipe, SftStage, Tranche
from ..recipes.run import Run
from ..subjects.subject import Subject
from ..trace.causes import confirmed_parts, edits_without, ids_of
from ..trace.experiment import STRIDE, edited, rewind_step

PATCH = "bumper-patch"


@dataclass(frozen=True)
class Fix:
    """A changed recipe with its rewind step, and the bumpers that steered it.

    Attributes:
        about: what it does, in a sentence; a masking control begins with "control:".
        guard: what is put around the subject where it is deployed; None deploys the bare subject.
        kept: the step of the run's own checkpoint that is deployed; None retrains. Nothing is trained then, and
            `recipe` is the run's own, or how it would have to be written to end there.
        notes: what was done beside the recipe edit, line by line.
    """

    name: str
    recipe: Recipe
    rewind: int
    steers: tuple[str, ...]
    about: str = ""
    guard: Callable[[Subject], Subject] | None = None
    kept: int | None = None
    notes: tuple[str, ...] = ()

    def deployed(self, subject: Subject) -> Subject:
        """The subject as a user would meet it."""
        return self.guard(subject) if self.guard else subject

    def changes(self, recipe: Recipe) -> str:
        """What differs from the run's own recipe, and the notes, one line each."""
        return "\n".join(filter(None, [diff(recipe, self.recipe), *self.notes]))


def up_to(run: Run, step: int) -> Run:
    """The run as if it had ended at one of its checkpoints. Raises RunError when there is none at that step."""
    run.at(step)
    return replace(run, checkpoints=tuple(c for c in run.checkpoints if c.step <= step))


def confirmed_causes(case: Case) -> list[Cause]:
    """The confirmed causes. Raises CaseError when there is none: nothing unproved is changed."""
    causes = confirmed_parts(case)
    if not causes:
        raise CaseError(
            "no cause is confirmed, so there is nothing to fix. Trace with more seeds or suspects: "
            "`bumperlane trace CASE --seeds 3 --suspects 2`."
        )
    return causes


def cause_rewind(inv: Investigation, case: Case, causes: Sequence[Cause]) -> int:
    """The last checkpoint before any of the causes was first trained on; the base where that is not known."""
    if case.onset is None:
        raise CaseError("this case has no onset. Run `bumperlane trace CASE` first.")
    ids = [ids_of(inv, c) for c in causes]
    return min(rewind_step(inv.run, mine, case.onset) if mine else 0 for mine in ids)


def never_had(inv: Investigation, case: Case, number: int = 1) -> Recipe:
    """The control: the same recipe, trained from the base without the causes, with another seed; a second one, with a
    third seed."""
    edits = edits_without(inv, confirmed_causes(case))
    return edited(inv, edits, 0, inv.run.recipe.seed + STRIDE * number)


def patched(inv: Investigation, data: Path, steps: int, repeat: int = 1) -> Recipe:
    """The run's recipe, continued from the checked step for some steps on other data only."""
    return on_other_data(inv.run, inv.step, Tranche(name=PATCH, path=data, weight=repeat), (steps, steps))


def on_other_data(run: Run, step: int, tranche: Tranche, sizes: tuple[int, int]) -> Recipe:
    """A run's recipe, continued from a step on one tranche only: (steps, steps between checkpoints). A recipe that ends
    with reinforcement learning gets an sft stage of its own for that, with the learning rate of the sft stage before
    it or the usual one; a training command takes as many steps as it likes."""
    recipe, (steps, every) = run.recipe, sizes
    dropped: list[Edit] = [DropTranche(t.name) for t in recipe.tranches]
    edits = [AddTranche(tranche), *dropped]
    last = len(recipe.stages) - 1
    before = sum(s.steps or 0 for s in recipe.stages[:last])
    if isinstance(recipe.stages[last], GrpoStage):
        tranches = tuple(t.model_dump(mode="json") for t in (*recipe.tranches, tranche))
        stages = (*_ended(recipe, step - before), _sft_after(recipe, steps))
        recipe, edits = with_changes(recipe, stages=stages, tranches=tranches), dropped  # both at once: sft takes data
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
