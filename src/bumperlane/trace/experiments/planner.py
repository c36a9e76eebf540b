"""Which retrain next? First those that tell most about the cause for their cost, then those that prove it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from ...errors import SettingError
from .belief import Belief, Theory
from .budget import Budget
from .claims import Claim, Proof
from .designs import Condition, Layout

LEAST_GAIN = 0.01  # nats; below it no single retrain tells anything more
USED_AGAIN = 0.8  # of a retrain's cost is saved if the proof would have needed it anyway
LIKELY = 0.8  # probability at which a theory that was tried three times is put to the proof
BRANCHES = 27  # outcomes of a batch that are looked ahead at


@dataclass(frozen=True)
class ExperimentSettings:
    """How much experiments may cost, and what it takes to confirm.

    Args:
        budget: time or number of retrains; the default has no limit but `most_seeds`.
        jobs: retrains at a time; 0 leaves it to whoever carries them out.
        seeds: the least retrains in each arm of a proof.
        most_seeds: retrains after which an arm that has not decided is given up.
        alpha: chance that a suspect is confirmed that is no cause, over all suspects and looks.
        share: part of the behaviour's rate under random removal that must go with a cause to confirm it.
        sure: probability at which the search stops and the leading theory is put to the proof.
        between_seeds: least intra-class correlation of requests within a retrain; see `FallTest`.
        interactions: whether two suspects may act together.
        dose: when a cause is confirmed, retrain with half of its examples too.
        first: titles of suspects that are left out, once each, before anything is planned.
    """

    budget: Budget = field(default_factory=Budget)
    jobs: int = 0
    seeds: int = 2
    most_seeds: int = 8
    alpha: float = 0.05
    share: float = 0.5
    sure: float = 0.95
    between_seeds: float = 0.1
    interactions: bool = True
    dose: bool = False
    first: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.jobs < 0 or self.seeds < 1 or self.most_seeds < self.seeds:
            raise SettingError(
                f"experiments need jobs of 0 or more, seeds of 1 or more and most_seeds of at least as many, got "
                f"{self.jobs}, {self.seeds} and {self.most_seeds}."
            )
        if not 0 < self.alpha < 1 or not 0 < self.share < 1 or not 0.5 <= self.sure < 1:
            raise SettingError(
                f"alpha must be in (0, 1), share in (0, 1) and sure in [0.5, 1), got {self.alpha}, {self.share} and "
                f"{self.sure}."
            )


@dataclass(frozen=True)
class Order:
    """One retrain: under a condition, with the `number`-th seed, counted from 0."""

    condition: Condition
    number: int


@dataclass(frozen=True)
class Outcome:
    """`k` of `n` requests showed the behaviour; what the retrain and its measurement cost, where that is known."""

    k: int
    n: int
    cpu_s: float | None = None
    wall_s: float | None = None
    run: str = ""


class Laboratory(Protocol):
    """Carries orders out. The same orders must give the same outcomes, and found work must cost what it did."""

    @property
    def jobs(self) -> int:
        """Retrains at a time."""

    @property
    def requests(self) -> int:
        """Requests that each retrain is measured on."""

    def cost_s(self, condition: Condition) -> float | None:
        """Predicted seconds of one retrain; None while nothing is known."""

    def carry_out(self, orders: Sequence[Order]) -> Sequence[Outcome]: ...


@dataclass(frozen=True)
class Batch:
    """Orders that are carried out side by side, and what for."""

    orders: tuple[Order, ...]
    purpose: str
    gain: float = 0.0


@dataclass(frozen=True)
class Planner:
    """Chooses batches from the outcomes so far; holds no state, so a killed investigation plans the same again."""

    belief: Belief
    proof: Proof
    settings: ExperimentSettings
    laboratory: Laboratory

    @classmethod
    def of(cls, layout: Layout, rate: float, settings: ExperimentSettings, laboratory: Laboratory) -> "Planner":
        belief = Belief.of(layout, rate, settings.interactions)
        proof = Proof(belief, settings.share, settings.seeds, settings.alpha, settings.between_seeds)
        return cls(belief, proof, settings, laboratory)

    def leading(self, results: Mapping[Condition, Sequence[tuple[int, int]]]) -> tuple[Theory, float]:
        """The likeliest theory and its probability."""
        posterior = self.belief.posterior(results)
        best = int(np.argmax(posterior))
        return self.belief.theories[best], float(posterior[best])

    def next(self, results: Mapping[Condition, Sequence[tuple[int, int]]], most: int) -> Batch | None:
        """The next batch, of `most` retrains or fewer; None when all is decided or nothing more can be told."""
        hypotheses = self.belief.layout.hypotheses
        alone = [self.belief.layout.without(i) for i, h in enumerate(hypotheses) if h.title in self.settings.first]
        begin = [Order(c, 0) for c in alone if c and c not in results]
        if begin:
            return Batch(tuple(begin[:most]), "leave out what may be needed")
        theory, probability = self.leading(results)
        if probability >= self.settings.sure or (probability >= LIKELY and self._likely(theory, results)):
            return self._prove(theory, results, most) or self._dose(theory, results, most)
        return self._find(results, most) or self._prove(theory, results, most)

    def open_claims(self, theory: Theory, results: Mapping[Condition, Sequence[tuple[int, int]]]) -> list[Claim]:
        """What the theory needs shown and is not decided."""
        return [c for c, _ in self.proof.claims(theory) if self.proof.decided(c, results) is None]

    def _find(self, results: Mapping[Condition, Sequence[tuple[int, int]]], most: int) -> Batch | None:
        """The retrains that tell most per second, each given what those before it may show. One that the proof is
        likely to need costs less: it need not be made again."""
        conditions = self.belief.layout.conditions
        costs = np.array([self.laboratory.cost_s(c) or 1.0 for c in conditions])
        done = np.array([len(results.get(c, ())) for c in conditions])
        able = np.array([c.kind != "half dose" for c in conditions])
        branches = [(1.0, self.belief.posterior(results))]
        needed = self._in_proof @ branches[0][1]
        orders: list[Order] = []
        total, n = 0.0, self.laboratory.requests
        while len(orders) < most:
            gains = sum(weight * self.belief.gains(posterior, n) for weight, posterior in branches)
            gains = np.where(able & (done < self.settings.most_seeds), gains, 0.0)
            useful = USED_AGAIN * needed * (done < self.settings.seeds)
            best = int(np.argmax(gains / (costs * (1 - useful))))
            if gains[best] < LEAST_GAIN:
                break
            orders.append(Order(conditions[best], int(done[best])))
            total += float(gains[best])
            done[best] += 1
            branches = [
                (weight * p, after)
                for weight, posterior in branches
                for p, after in self.belief.after_likely(posterior, conditions[best], n)
            ]
            branches = sorted(branches, key=lambda b: -b[0])[:BRANCHES]
        return Batch(tuple(orders), "find the cause", total) if orders else None

    def _likely(self, theory: Theory, results: Mapping[Condition, Sequence[tuple[int, int]]]) -> bool:
        """Whether a single cause was left out so often that its proof tells more."""
        arms = [claim.without for claim, _ in self.proof.claims(theory)] if theory.how == "single" else []
        return bool(arms) and all(len(results.get(arm, ())) > max(2, self.settings.seeds) for arm in arms)

    @cached_property
    def _in_proof(self) -> np.ndarray:
        """(C, T) whether a theory's proof needs retrains under a condition."""
        arms = [{arm for claim, _ in self.proof.claims(t) for arm in claim.arms} for t in self.belief.theories]
        return np.array([[c in mine for mine in arms] for c in self.belief.layout.conditions], float)

    def _prove(self, theory: Theory, results: Mapping[Condition, Sequence[tuple[int, int]]], most: int) -> Batch | None:
        """One more retrain for the arms that hold a claim up, the smallest first."""
        arms = list(dict.fromkeys(arm for claim in self.open_claims(theory, results) for arm in claim.arms))
        return self._grow(arms, results, most, f"prove: {describe(theory, self.belief.layout)}")

    def _dose(self, theory: Theory, results: Mapping[Condition, Sequence[tuple[int, int]]], most: int) -> Batch | None:
        """Half of a confirmed single cause, as often as the least arm of a proof."""
        if not self.settings.dose or theory.how != "single":
            return None
        half = [c for c in self.belief.layout.conditions if c.kind == "half dose" and c.out == theory.causes]
        half = [c for c in half if len(results.get(c, ())) < self.settings.seeds]
        return self._grow(half, results, most, "see what half of it does")

    def _grow(
        self, arms: Sequence[Condition], results: Mapping[Condition, Sequence[tuple[int, int]]], most: int, why: str
    ) -> Batch | None:
        done = {arm: len(results.get(arm, ())) for arm in arms}
        least, last = self.settings.seeds, self.settings.most_seeds
        limit = {arm: min(last, max(least, n + 1)) for arm, n in done.items()}
        orders: list[Order] = []
        while len(orders) < most:
            short = [arm for arm in arms if done[arm] < limit[arm]]
            if not short:
                break
            arm = min(short, key=lambda a: done[a])
            orders.append(Order(arm, done[arm]))
            done[arm] += 1
        return Batch(tuple(orders), why) if orders else None


def describe(theory: Theory, layout: Layout) -> str:
    """A theory in words."""
    names = [layout.hypotheses[i].title for i in theory.causes]
    if theory.how == "single":
        return f"{names[0]} brings it about"
    if theory.how == "either":
        return f"{names[0]} or {names[1]} suffices"
    if theory.how == "both":
        return f"{names[0]} and {names[1]} are both needed"
    if theory.how == "parts":
        return f"{names[0]} and {names[1]} each bring part of it"
    if theory.how == "several":
        return f"three or more of {', '.join(names)} act together"
    return "no suspect brings it about" if theory.how == "elsewhere" else "retrains do not show it at all"
