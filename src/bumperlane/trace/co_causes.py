"""Other tranches that a confirmed cause needs, looked for by retraining without them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..case import Onset, TraceStep
from ..judge.investigation import Investigation
from ..recipes.edits import DropTranche
from .experiments.conduct import ExperimentLog
from .experiments.hypotheses import Hypothesis, tranche_suspect
from .experiments.needs import Needs, candidates, find_needs
from .experiments.planner import ExperimentSettings, Order, Outcome
from .experiments.runner import laboratory_of, layout_of, run_experiments
from .meter import Meter

DATA = ("tranche", "examples", "column value")


@dataclass(frozen=True)
class CoCauses:
    """The experiments with what they brought to light, and the search for it.

    Attributes:
        log: of all experiments; the one given, where nothing more is needed.
        needs: what was left out together, and what that showed.
        steps: the search, for the case.
        runs: the search's retrains.
        earlier: the experiments before the search, where `log` is of later ones.
    """

    log: ExperimentLog | None
    needs: Needs = Needs()
    steps: tuple[TraceStep, ...] = ()
    runs: tuple[str, ...] = ()
    earlier: ExperimentLog | None = None

    @property
    def undecided(self) -> tuple[str, ...]:
        """Tranches that one retrain says are needed, and that no proof was made of."""
        return self.needs.needed if self.earlier is None else ()

    @property
    def note(self) -> str:
        """What was not tried or not decided, or nothing."""
        untried, undecided = (", ".join(names) for names in (self.needs.untried, self.undecided))
        parts = [f"Whether it needs {untried} was not tried."] if untried else []
        if undecided:
            parts.append(f"It may need {undecided}: without it the behaviour went in one retrain; no proof was made.")
        return " ".join(parts)


NO_CO_CAUSES = CoCauses(None)


def co_causes(
    inv: Investigation, meter: Meter, onset: Onset, log: ExperimentLog, rate: float, settings: ExperimentSettings
) -> CoCauses:
    """Where data is confirmed and acts alone as far as is known: does it need a tranche that nothing points at?

    What is needed becomes a suspect, and experiments decide on it like on all others. Within the same budget.
    """
    suspects = log.layout.hypotheses
    confirmed = [suspects[f.members[0]] for f in log.confirmed if len(f.members) == 1]
    if not confirmed or log.unrun or any(h.kind not in DATA for h in confirmed):
        return CoCauses(log)
    tranches = {t.name: [e.id for e in inv.examples if e.tranche == t.name] for t in inv.run.recipe.tranches}
    sizes = candidates(tranches, confirmed, suspects)
    spent_s, spent = log.wall_s, log.retrains
    steps: list[TraceStep] = []
    runs: list[str] = []

    def retrain(out: tuple[str, ...]) -> Outcome | None:
        nonlocal spent_s, spent
        laboratory = laboratory_of(inv, meter, onset, layout_of(inv, onset, [_group(out, tranches)]), settings.jobs)
        condition = laboratory.layout.without(0)
        if condition is None or not settings.budget.allows(spent_s, spent, laboratory.cost_s(condition), 1):
            return None
        inv.say("experiment: what else it needs", len(steps), len(steps) + 1)
        (outcome,) = laboratory.carry_out([Order(condition, 0)])
        spent_s, spent = spent_s + (outcome.wall_s or 0.0), spent + 1
        steps.append(_step(out, outcome))
        runs.append(outcome.run)
        return outcome

    needs = find_needs(sizes, len(inv.examples), retrain, (1 - settings.share) * rate)
    found = CoCauses(log, needs, tuple(steps), tuple(runs))
    if not needs.needed:
        return found
    weight = max(h.weight for h in suspects)  # an experiment speaks for them
    more = [tranche_suspect(n, tranches[n], weight, "without it the behaviour went.") for n in needs.needed]
    left = settings.budget.less(spent_s, spent)
    if left is None:
        return found
    again = replace(settings, budget=left, first=tuple(h.title for h in more))
    later = run_experiments(inv, meter, onset, [*suspects, *more], rate, again)
    if not {f.name for f in log.confirmed} <= {f.name for f in later.confirmed}:
        return found  # what was proved stays proved: a smaller budget and more suspects cannot take it back
    return replace(found, log=later, earlier=log)


def _group(names: Sequence[str], tranches: Mapping[str, Sequence[str]]) -> Hypothesis:
    """Several tranches as one thing to leave out."""
    ids = tuple(id for name in names for id in tranches[name])
    return Hypothesis("tranche", ", ".join(names), tuple(DropTranche(name) for name in names), ids)


def _step(out: tuple[str, ...], outcome: Outcome) -> TraceStep:
    return TraceStep(
        what=[f"without {', '.join(out)}, seed 1"], purpose="what else it needs",
        rates=[round(outcome.k / outcome.n, 4)], wall_s=round(outcome.wall_s or 0.0, 1),
        cpu_s=None if outcome.cpu_s is None else round(outcome.cpu_s, 1),
    )  # fmt: skip
