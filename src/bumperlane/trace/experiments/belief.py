"""What is believed about the causes, and what a retrain would teach. It chooses experiments; it proves nothing.

A theory says which suspects bring the behaviour about, and how they act together. Under a theory a condition has the
behaviour at full rate, in part, or not at all; a retrain's counts are then beta-binomial, for seeds differ, mixed with
a little of anything, for a training can fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy.stats import betabinom

from .designs import MOST_PAIRED, Condition, Layout

LOW, PART, FULL, SOME = range(4)  # SOME: between low and full, nobody knows where
ELSEWHERE, CHANCE, TOGETHER = 0.15, 0.05, 0.2  # prior: no suspect is the cause; no retrain shows it; two act together
SEVERAL = 0.02  # prior of a cause that takes three or more
FLAT = 0.2  # share of the prior that is spread evenly over suspects: attribution can be wrong
ANYTHING = 0.05
RHO = 0.1
Results = Mapping[Condition, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Theory:
    """`how` its causes act: single; either (one suffices), both (both are needed), parts (each brings part), several
    (three or more, somehow); elsewhere (no suspect); chance (no retrain shows it)."""

    how: str
    causes: tuple[int, ...] = ()

    def level(self, present: np.ndarray) -> int:
        """The behaviour's level when these shares (K,) of the suspects are trained on."""
        if self.how == "elsewhere":
            return FULL
        if self.how == "chance":
            return LOW
        there = [FULL if present[i] >= 0.75 else LOW if present[i] <= 0.05 else SOME for i in self.causes]
        if self.how == "single":
            return there[0]
        if self.how == "either":
            return FULL if FULL in there else LOW if there == [LOW, LOW] else SOME
        if self.how == "several":
            return there[0] if len(set(there)) == 1 else SOME
        if self.how == "both":
            return LOW if LOW in there else FULL if there == [FULL, FULL] else SOME
        return SOME if SOME in there else (LOW, PART, FULL)[there.count(FULL)]


@dataclass(frozen=True)
class Belief:
    """Probability of each theory.

    Attributes:
        levels: (C, T) level of each condition under each theory.
        prior: (T,).
        rate: of the behaviour, as the hit showed it.
    """

    layout: Layout
    theories: tuple[Theory, ...]
    levels: np.ndarray
    prior: np.ndarray
    rate: float

    @classmethod
    def of(cls, layout: Layout, rate: float, interactions: bool = True) -> "Belief":
        """Before any retrain. With `interactions`, two of the most suspect that share no example may act together."""
        weights = np.array([h.weight for h in layout.hypotheses])
        share = (1 - FLAT) * weights / weights.sum() + FLAT / len(weights)
        ids = [set(h.ids) for h in layout.hypotheses]
        pairs = [p for p in combinations(range(min(len(weights), MOST_PAIRED)), 2) if not ids[p[0]] & ids[p[1]]]
        pairs = pairs if interactions else []
        together = TOGETHER if pairs else 0.0
        joint = np.array([share[i] * share[j] for i, j in pairs])
        joint = 0.5 * joint / joint.sum() + 0.5 / len(pairs) if pairs else joint
        theories = [Theory("elsewhere"), Theory("chance")]
        prior = [ELSEWHERE, CHANCE]
        theories += [Theory("single", (i,)) for i in range(len(weights))]
        prior += list((1 - ELSEWHERE - CHANCE - together) * share)
        for how, part in (("either", 0.4), ("both", 0.4), ("parts", 0.2)):
            theories += [Theory(how, pair) for pair in pairs]
            prior += list(together * part * joint)
        if pairs and len(weights) > 2:
            theories.append(Theory("several", tuple(range(len(weights)))))
            prior = [p * (1 - SEVERAL) for p in prior] + [SEVERAL]
        levels = np.array([[t.level(present) for t in theories] for present in layout.presence])
        return cls(layout, tuple(theories), levels, np.array(prior), rate)

    def posterior(self, results: Results) -> np.ndarray:
        """(T,) probability of each theory after these retrains."""
        logs = np.log(self.prior)
        for condition, counts in results.items():
            levels = self.levels[self.layout.conditions.index(condition)]
            for k, n in counts:
                logs = logs + np.log(outcomes(n, round(self.rate, 3))[:, k])[levels]
        weights = np.exp(logs - logs.max())
        return weights / weights.sum()

    def involvement(self, posterior: np.ndarray) -> np.ndarray:
        """(K,) probability that a suspect has a part in it."""
        part = np.array([[k in t.causes for t in self.theories] for k in range(len(self.layout.hypotheses))])
        return part @ posterior

    def gains(self, posterior: np.ndarray, n: int) -> np.ndarray:
        """(C,) expected information, in nats, of one more retrain under each condition, measured on n requests."""
        table = outcomes(n, round(self.rate, 3))
        at_level = np.stack([(self.levels == level) @ posterior for level in range(4)], axis=1)
        mixed = at_level @ table
        return np.maximum(0.0, _entropy(mixed) - at_level @ _entropy(table))

    def after_likely(self, posterior: np.ndarray, condition: Condition, n: int) -> list[tuple[float, np.ndarray]]:
        """What may be believed after one more retrain: (probability, posterior) of few, many or nearly all requests
        showing the behaviour."""
        table = outcomes(n, round(self.rate, 3))
        edges = [0, n // 3 + 1, 2 * n // 3 + 1, n + 1]
        coarse = np.stack([table[:, a:b].sum(axis=1) for a, b in zip(edges, edges[1:], strict=False)])
        joint = coarse[:, self.levels[self.layout.conditions.index(condition)]] * posterior
        return [(float(row.sum()), row / row.sum()) for row in joint if row.sum() > 1e-12]


@lru_cache(maxsize=256)
def outcomes(n: int, rate: float) -> np.ndarray:
    """(4, n + 1) probability of 0..n requests showing the behaviour in one retrain, at each level."""
    k = np.arange(n + 1)

    def at(mean: float, rho: float = RHO) -> np.ndarray:
        mean, size = min(max(mean, 0.03), 0.97), (1 - rho) / rho
        return betabinom.pmf(k, n, mean * size, (1 - mean) * size)

    full = 0.7 * at(rate) + 0.3 * at(0.75 * rate)  # another seed, and a shorter training, may show it less
    part, low = at(0.5 * rate, 2 * RHO), at(0.0)
    likely = np.stack([low, part, full, (low + part + full) / 3])
    return (1 - ANYTHING) * likely + ANYTHING / (n + 1)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1)
