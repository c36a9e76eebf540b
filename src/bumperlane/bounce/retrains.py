"""All that is trained for one bounce: the fix, the control, what is taught again, what only a thorough one asks for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..case import Case
from ..errors import EvidenceError
from ..judge.investigation import Investigation
from ..recipes.run import Run
from ..subjects.subject import Subject
from ..trace.retrain import carry_out, continued, planned
from .compared import Trio
from .dose import dose_retrains
from .elicit_benign import benign_recipes
from .elicit_noise import Bare
from .fixes import Fix, never_had, up_to
from .relearn import relearn_recipes, relearned_subjects


class Extent(Protocol):
    """How much is to be trained; see BounceSettings."""

    @property
    def jobs(self) -> int: ...
    @property
    def thorough(self) -> bool: ...
    @property
    def doses(self) -> tuple[float, ...]: ...


@dataclass(frozen=True)
class Made:
    """What verification looks at. The fixed subject is as it is deployed, but for `bare`.

    Attributes:
        relearned: see `relearned_subjects`.
        benign: fixed and control after a few steps on harmless data; None where that was not made.
        doses: subjects with part of the cause, by dose.
        skipped: what was asked for and could not be made, each with its reason.
        another: trains a second control, with a third seed, for when one does not settle it.
        again: the second control as it was and as it learns the behaviour; see `relearned_subjects`.
    """

    fixed: Run
    trio: Trio
    bare: Bare
    relearned: dict[int, dict[str, Subject]]
    benign: Trio | None = None
    doses: dict[float, Subject] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    another: Callable[[], Subject] | None = field(default=None, repr=False)
    again: Callable[[], tuple[Subject, ...]] | None = field(default=None, repr=False)


def make(inv: Investigation, case: Case, fix: Fix, extent: Extent) -> Made:
    """Train all of it, or find it where an earlier call left it. Raises TrainingError when a retrain fails."""
    runs, skipped = inv.directory / "runs", []
    recipes = {"never-had": never_had(inv, case), **({} if fix.kept is not None else {"fixed": fix.recipe})}
    first = {name: planned(continued(recipe, runs), runs, name) for name, recipe in recipes.items()}
    doses = {}
    if extent.doses:
        try:
            doses = dose_retrains(inv, case, extent.doses)
        except EvidenceError as error:
            skipped.append(f"dose-response: {error}")
    made = carry_out([*first.values(), *doses.values()], extent.jobs, inv.say)
    control, retrained = made[0], made[1 : len(first)]
    fixed = retrained[0] if retrained else up_to(inv.run, fix.kept or 0)
    start = {"fixed": fixed, "control": control}
    relearn = relearn_recipes(inv, case, start)
    benign = benign_recipes(inv, case, start) if extent.thorough else {}
    if extent.thorough and not benign:
        skipped.append("re-elicitation by benign finetuning: the run has no data beside the cause to train on.")
    done = carry_out([*relearn.values(), *benign.values()], extent.jobs, inv.say)
    taught, softened = done[: len(relearn)], dict(zip(benign, done[len(relearn) :], strict=True))
    hit, bare_fixed, never = inv.subject(), inv.subject(run=fixed), inv.subject(run=control)
    after = {who: inv.subject(run=run) for who, run in softened.items()}
    return Made(
        fixed,
        Trio(hit, fix.deployed(bare_fixed), never),
        Bare(hit, bare_fixed, never, fix.deployed),
        _relearned(inv, fix, start, dict(zip(relearn, taught, strict=True))),
        Trio(hit, fix.deployed(after["fixed"]), after["control"]) if after else None,
        {dose: inv.subject(run=run) for dose, run in zip(doses, made[len(first) :], strict=True)},
        tuple(skipped),
        lambda: inv.subject(run=_another(inv, case, extent.jobs)),
        lambda: _again(inv, case, extent.jobs),
    )


def _another(inv: Investigation, case: Case, jobs: int) -> Run:
    """Found again where it was trained before."""
    runs = inv.directory / "runs"
    (run,) = carry_out([planned(continued(never_had(inv, case, 2), runs), runs, "never-had")], jobs, inv.say)
    return run


def _again(inv: Investigation, case: Case, jobs: int) -> tuple[Subject, ...]:
    run = _another(inv, case, jobs)
    taught = {who: plan for who, plan in relearn_recipes(inv, case, {"control": run}).items() if who == "control"}
    done = dict(zip(taught, carry_out([*taught.values()], jobs, inv.say), strict=True))
    looks = relearned_subjects(inv, {"control": run}, done)
    return inv.subject(run=run), *(looks[n]["control"] for n in sorted(looks))


def _relearned(
    inv: Investigation, fix: Fix, start: dict[str, Run], runs: dict[str, Run]
) -> dict[int, dict[str, Subject]]:
    """With the fixed subject as it is deployed."""
    found = relearned_subjects(inv, start, runs)
    return {n: {**taught, "fixed": fix.deployed(taught["fixed"])} for n, taught in found.items()}
