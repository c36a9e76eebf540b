"""What has to be shown for a theory to be proved, and whether the retrains so far show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...types import Interval
from .belief import Belief, Theory
from .designs import Condition
from .sequential import FallTest

Results = Mapping[Condition, Sequence[tuple[int, int]]]
SINGLES = 0.75  # share of alpha that is spent on single causes when pairs are tested too


@dataclass(frozen=True)
class Claim:
    """That leaving out what `without` leaves out takes more than `part` of the rate under `control` away; or, without a
    control, that the rate under `without` stays below `part` of the hit's."""

    without: Condition
    control: Condition | None
    part: float
    alpha: float

    @property
    def arms(self) -> tuple[Condition, ...]:
        return (self.without,) if self.control is None else (self.without, self.control)


@dataclass(frozen=True)
class Proof:
    """Decides claims.

    Args:
        share: part of the behaviour's rate under random removal that must go with a cause.
        seeds: the least retrains in each arm.
        alpha: chance that any cause is confirmed that is none, over all claims and looks together.
    """

    belief: Belief
    share: float = 0.5
    seeds: int = 2
    alpha: float = 0.05
    between_seeds: float = 0.1

    def alpha_of(self, causes: tuple[int, ...]) -> float:
        """What a single cause, or a pair, may spend of alpha: in proportion to its prior, fixed before any retrain."""
        mass: dict[tuple[int, ...], float] = {}
        for theory, prior in zip(self.belief.theories, self.belief.prior, strict=True):
            if theory.causes:
                mass[theory.causes] = mass.get(theory.causes, 0.0) + float(prior)
        kin = {c: m for c, m in mass.items() if (len(c) == 1) == (len(causes) == 1)}
        apart = len(kin) < len(mass)
        part = 1.0 if not apart else SINGLES if len(causes) == 1 else 1 - SINGLES
        return self.alpha * part * kin[causes] / sum(kin.values())

    def claims(self, theory: Theory) -> tuple[tuple[Claim, bool], ...]:
        """What the theory says must come out: (claim, whether it holds). Only what can be carried out."""
        layout, control = self.belief.layout, self.belief.layout.control
        every = tuple(range(len(layout.hypotheses)))
        wanted: list[tuple[Claim | None, bool]] = []
        if theory.how == "single":
            wanted = [(self.falls(theory.causes), True)]
        elif theory.how == "both":
            i, j = theory.causes
            wanted = [(self.falls((i,)), True), (self.falls((j,)), True)]
            wanted += [(self.stays_low(layout.only(k), (k,)), True) for k in (i, j)]
        elif theory.how in ("either", "parts"):
            i, j = theory.causes
            wanted = [(self.falls((i, j)), True), (self.adds(i, (i, j)), True), (self.adds(j, (i, j)), True)]
        elif theory.how == "several":
            wanted = [(self.falls(every), True)]
        elif theory.how == "elsewhere":
            every_out = self.falls(every)
            wanted = [(every_out, False)] if every_out else [(self.falls((i,)), False) for i in every]
        else:
            arms = list(dict.fromkeys(control.values()))
            wanted = [(self.stays_low(min(arms, key=lambda c: c.removed), (0,)), True)] if arms else []
        return tuple((claim, holds) for claim, holds in wanted if claim is not None)

    def falls(self, out: tuple[int, ...]) -> Claim | None:
        """Without these, against as many at random. None when that cannot be carried out."""
        layout = self.belief.layout
        without = layout.without(*out)
        if without is None or without not in layout.control:
            return None
        return Claim(without, layout.control[without], self.share, self._alpha(out))

    def adds(self, member: int, pair: tuple[int, int]) -> Claim | None:
        """That a member of a pair matters where the other is already left out."""
        layout = self.belief.layout
        both, other = layout.without(*pair), layout.without(*(i for i in pair if i != member))
        if both is None or other is None:
            return None
        return Claim(both, other, 0.0, self._alpha(pair))

    def stays_low(self, condition: Condition | None, about: tuple[int, ...]) -> Claim | None:
        return None if condition is None else Claim(condition, None, self.share, self._alpha(about))

    def _alpha(self, out: tuple[int, ...]) -> float:
        known = {t.causes for t in self.belief.theories}
        return self.alpha_of(out) if out in known else self.alpha

    def interval(self, claim: Claim, results: Results) -> Interval | None:
        """The fall (or the rate) with its interval; None while an arm has fewer than `seeds` retrains."""
        if any(len(results.get(arm, ())) < self.seeds for arm in claim.arms):
            return None
        test = FallTest(self.belief.rate, self.between_seeds)
        arms = list(results.values())
        if claim.control is None:
            return test.rate_of(results[claim.without], claim.alpha, arms)
        return test.fall(results[claim.control], results[claim.without], claim.alpha, arms)

    def decided(self, claim: Claim, results: Results) -> bool | None:
        """Whether the claim holds; None when that is not decided yet."""
        found = self.interval(claim, results)
        if found is None:
            return None
        if claim.control is None:
            most = claim.part * self.belief.rate
            return True if found.high < most else False if found.low >= most else None
        test = FallTest(self.belief.rate, self.between_seeds)
        control, without = results[claim.control], results[claim.without]
        return test.part_gone(control, without, claim.part, claim.alpha, list(results.values()))
