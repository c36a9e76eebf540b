"""Carry experiments out until the cause is proved, nothing more can be told, or the budget is spent."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...judge.investigation import Say, silent
from .claims import Results
from .designs import Condition, Layout
from .findings import Finding, findings
from .planner import Batch, Order, Outcome, Planner, describe


@dataclass(frozen=True)
class Step:
    """A batch that was carried out, what it showed, and what was believed afterwards."""

    batch: Batch
    outcomes: tuple[Outcome, ...]
    leading: str
    probability: float

    @property
    def wall_s(self) -> float:
        """Of the longest retrain: they ran side by side."""
        return max((o.wall_s or 0.0 for o in self.outcomes), default=0.0)

    @property
    def cpu_s(self) -> float | None:
        """Of all retrains; None when one does not know."""
        known = [o.cpu_s for o in self.outcomes if o.cpu_s is not None]
        return sum(known) if len(known) == len(self.outcomes) else None


@dataclass(frozen=True)
class ExperimentLog:
    """What was tried, what it cost, and what it says of every suspect.

    Attributes:
        unrun: what was planned next when the budget was spent; empty when it was not.
        note: the result in a sentence: what is confirmed, that no cause was found, or what is undecided and why.
        rate, between_seeds: what the tests were made with; see FallTest.
    """

    layout: Layout
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    unrun: tuple[str, ...]
    note: str
    rate: float = 0.0
    between_seeds: float = 0.0

    @property
    def results(self) -> dict[Condition, list[Outcome]]:
        out: dict[Condition, list[Outcome]] = {}
        for step in self.steps:
            for order, outcome in zip(step.batch.orders, step.outcomes, strict=True):
                out.setdefault(order.condition, []).append(outcome)
        return out

    @property
    def retrains(self) -> int:
        return sum(len(step.outcomes) for step in self.steps)

    @property
    def wall_s(self) -> float:
        return sum(step.wall_s for step in self.steps)

    @property
    def cpu_s(self) -> float | None:
        known = [step.cpu_s for step in self.steps if step.cpu_s is not None]
        return sum(known) if len(known) == len(self.steps) else None

    @property
    def confirmed(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.status == "confirmed")


def conduct(planner: Planner, say: Say = silent) -> ExperimentLog:
    """Run the planner against its laboratory. The same outcomes give the same log."""
    settings, laboratory = planner.settings, planner.laboratory
    done: list[Step] = []
    results: dict[Condition, list[tuple[int, int]]] = {}
    unrun: tuple[str, ...] = ()
    jobs = settings.jobs or laboratory.jobs
    while True:
        batch = planner.next(results, jobs)
        if batch is None:
            break
        orders = affordable(planner, batch, sum(s.wall_s for s in done), sum(len(s.outcomes) for s in done))
        if not orders:
            unrun = _planned(planner, batch, results)
            break
        say(f"experiment: {batch.purpose}", len(done), len(done) + 1)
        outcomes = tuple(laboratory.carry_out(orders))
        for order, outcome in zip(orders, outcomes, strict=True):
            results.setdefault(order.condition, []).append((outcome.k, outcome.n))
        theory, probability = planner.leading(results)
        said = describe(theory, planner.belief.layout)
        done.append(Step(Batch(orders, batch.purpose, batch.gain), outcomes, said, probability))
    found = findings(planner.proof, results)
    note = _note(planner, found, results, unrun)
    proof = planner.proof
    return ExperimentLog(planner.belief.layout, tuple(done), found, unrun, note, proof.belief.rate, proof.between_seeds)


def affordable(planner: Planner, batch: Batch, spent_s: float, spent_retrains: int) -> tuple[Order, ...]:
    """The orders of a batch that the budget still allows, in order."""
    budget = planner.settings.budget
    kept: list[Order] = []
    for order in batch.orders:
        cost = planner.laboratory.cost_s(order.condition)
        if budget.allows(spent_s, spent_retrains, cost, len(kept) + 1):
            kept.append(order)
    return tuple(kept)


def _planned(planner: Planner, batch: Batch, results: Results) -> tuple[str, ...]:
    """What the next batch would have been, and what stays to be proved."""
    layout = planner.belief.layout
    lines = [f"{layout.title(o.condition)}, seed {o.number + 1}: {batch.purpose}" for o in batch.orders]
    theory, _ = planner.leading(results)
    for claim in planner.open_claims(theory, results):
        against = f" against {layout.title(claim.control)}" if claim.control else ""
        lines.append(f"{layout.title(claim.without)}{against}, until it is decided: {describe(theory, layout)}")
    return tuple(dict.fromkeys(lines))


def _note(planner: Planner, found: Sequence[Finding], results: Results, unrun: Sequence[str]) -> str:
    confirmed = [f"{f.kind} {f.name}" for f in found if f.status == "confirmed"]
    theory, probability = planner.leading(results)
    spent = (
        f" The budget of {planner.settings.budget} is spent; {len(unrun)} planned steps were not run." if unrun else ""
    )
    if confirmed:
        return f"confirmed: {', '.join(confirmed)}.{spent}"
    if all(f.status == "cleared" for f in found):
        return f"no cause found: the behaviour stays without {', '.join(f'{f.kind} {f.name}' for f in found)}.{spent}"
    if probability >= planner.settings.sure and theory.how == "chance":
        return (
            "no cause found: retrains do not show the behaviour even when the suspects are trained on, so nothing can "
            f"be told apart. Train to a later step, or with the run's own seed.{spent}"
        )
    likely = describe(theory, planner.belief.layout)
    if unrun:
        return f"no cause is confirmed. Likeliest, with probability {probability:.2f}: {likely}.{spent}"
    return (
        f"no cause is confirmed after {sum(map(len, results.values()))} retrains; no further retrain decides. "
        f"Likeliest, with probability {probability:.2f}: {likely}."
    )
