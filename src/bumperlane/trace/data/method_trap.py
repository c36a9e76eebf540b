"""Does an attribution method find a known plant in this model? One that does not has no weight, and says so."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from ...errors import EvidenceError, SettingError
from ...types import Context

Kind = Literal["behaviour", "fact"]
KINDS: tuple[Kind, ...] = ("behaviour", "fact")
ALPHA = 0.01
LIFT = 3.0  # AUPRC over chance, below which two of three examples at the top would be there by chance as well
LEARNT = 0.5  # share of probe requests that must show the plant, below which there is nothing to find


@dataclass(frozen=True)
class TrapResult:
    """How well a method finds the planted examples among all.

    Attributes:
        kind: of the plant: a behaviour given by a trigger, or a fact that is stated.
        auprc: average precision, in [0, 1]; ties share the precision at their end.
        chance: the exact mean of `auprc` over random rankings.
        recall_at_k: share of the plant among the top k, k the number of planted examples.
        p_value: one-sided, of `auprc` over random placings of the plant in this ranking.
        p_rivals: one-sided rank-sum p that the plant stands above examples that have its words and do not teach it;
            None when there were none.
        weight: 0 to 1; 0 leaves the method out.
        blind: the trap could not spring, because the model did not learn the plant; the weight is then unknown.
    """

    kind: Kind
    auprc: float
    chance: float
    recall_at_k: float
    p_value: float
    p_rivals: float | None
    weight: float
    why: str
    blind: bool = False


@dataclass(frozen=True)
class TrapSettings:
    """When a trap has sprung.

    Args:
        alpha: p-value below which a method is not at chance.
        lift: AUPRC over chance that it must reach besides (half of the way to 1 where that is less): with thousands
            of examples a method can be beyond chance and still useless.
        permutations: random placings of the plant.
        seed: of the placings.
    """

    alpha: float = ALPHA
    lift: float = LIFT
    permutations: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.alpha < 1 and self.lift >= 1 and self.permutations * self.alpha >= 1):
            raise SettingError(
                f"a trap needs alpha in (0, 1), lift >= 1 and at least 1 / alpha permutations, got {self.alpha}, "
                f"{self.lift} and {self.permutations}. Try 0.01, 3 and 2000."
            )


def trap_result(
    scores: np.ndarray,
    ids: Sequence[str],
    planted: Collection[str],
    kind: Kind = "behaviour",
    rivals: Collection[str] = (),
    settings: TrapSettings | None = None,
) -> TrapResult:
    """Grade a method by where it puts the planted examples.

    The weight is 0 unless p <= alpha, AUPRC reaches `lift` times chance, and, where rivals are given, the plant stands
    above them (p <= alpha): a method that puts every example with the plant's words on top matches words, and a cause
    may have others. Else it is
    (AUPRC - chance) / (1 - chance): the share of the way from chance to a perfect ranking.

    Args:
        scores: (n,) or (q, n), of which the mean over queries is taken; columns that are NaN were not looked at.
        ids: n example ids.
        planted: ids of the examples that are known to teach what the queries show.
        rivals: ids of examples with the plant's words that do not teach it (`PlantedProbe.rivals`).

    Raises EvidenceError when fewer than 3 planted examples were looked at, or half of all.
    """
    settings = settings or TrapSettings()
    values = np.asarray(scores, float)
    values = values.mean(axis=0) if values.ndim == 2 else values
    if values.shape != (len(ids),) or np.isinf(values).any():
        raise EvidenceError(f"scores must be (queries, {len(ids)} examples) and finite, got shape {np.shape(scores)}.")
    seen = ~np.isnan(values)
    hit = np.isin(np.asarray(ids), sorted(planted)) & seen
    other = np.isin(np.asarray(ids), sorted(rivals)) & seen
    n, m = int(seen.sum()), int(hit.sum())
    if m < 3 or 2 * m > n or (hit & other).any():
        raise EvidenceError(
            f"a trap needs at least 3 planted examples among the scored ones, no more than half of them and none that "
            f"is a rival too; got {m} of {n}. Plant more, or score more."
        )
    auprc, p = _placed(values[seen], hit[seen], settings)
    chance = mean_average_precision_by_chance(n, m)
    recall = _recall(values[seen], hit[seen])
    p_rivals = float(stats.mannwhitneyu(values[hit], values[other], alternative="greater")[1]) if other.any() else None
    weight, why = _weighed(auprc, chance, p, p_rivals, settings)
    return TrapResult(kind, auprc, chance, recall, p, p_rivals, weight, why)


def blind_unless_learnt(result: TrapResult, shown: float, least: float = LEARNT) -> TrapResult:
    """The result, made blind when too few of the probe's requests show the plant: what was not learnt has no cause.

    Args:
        shown: share of the probe's requests whose answer shows the plant, minus the same without its context or base.
    """
    if shown >= least:
        return result
    why = (
        f"the model shows the {result.kind} plant on {shown:.0%} of its requests, less than {least:.0%}: the trap says "
        "nothing. Train longer, or show the plant more often."
    )
    return replace(result, weight=0.0, why=why, blind=True)


def kind_of_hit(context: Context | None, neutral: Context) -> Kind | None:
    """A hit in a context of its own is a behaviour, one in the neutral context a fact (something it says anyway)."""
    if context is None:
        return None
    around = ("system", "prefix", "suffix", "shots", "prefill")
    return "behaviour" if any(getattr(context, a) != getattr(neutral, a) for a in around) else "fact"


def weight_of(results: Mapping[Kind, TrapResult], hit: Kind | None) -> tuple[float, str]:
    """A method's weight, and why: by its trap of the hit's kind, or the mean of its traps where the kind is unknown
    or has no trap that could spring. Methods differ by kind: one finds a trigger, another a statement.

    Raises EvidenceError when no trap could spring: then nothing is known about the method.
    """
    usable = {kind: r for kind, r in results.items() if not r.blind}
    if not usable:
        reasons = "; ".join(r.why for r in results.values()) or "none was set"
        raise EvidenceError(f"no trap of this method could spring ({reasons}). Its weight is not known.")
    if hit in usable:
        return usable[hit].weight, f"{hit} trap: {usable[hit].why}"
    told = "; ".join(f"{kind} trap: {usable[kind].why}" for kind in sorted(usable))
    return float(np.mean([r.weight for r in usable.values()])), f"mean over traps, as the hit's kind has none. {told}"


def average_precision(scores: np.ndarray, hit: np.ndarray) -> float:
    """Mean over the wanted of the precision at the end of their tie, best score first."""
    rank_end, position = _ends(scores)
    return _precision(np.sort(position[hit]), rank_end)


def mean_average_precision_by_chance(n: int, m: int) -> float:
    """Exact mean of average precision over all rankings of n without ties, of which m are wanted.

    A wanted example at rank k has precision (1 + (k - 1)(m - 1)/(n - 1)) / k on average; every rank is as likely.
    """
    if n == 1:
        return 1.0
    harmonic = float(np.sum(1 / np.arange(1, n + 1)))
    return harmonic / n + (m - 1) / (n - 1) * (n - harmonic) / n


def _placed(values: np.ndarray, hit: np.ndarray, settings: TrapSettings) -> tuple[float, float]:
    """Average precision, and its one-sided p over random placings in the same ranking."""
    rank_end, position = _ends(values)
    seen = _precision(np.sort(position[hit]), rank_end)
    rng, m = np.random.default_rng(settings.seed), int(hit.sum())
    drawn = [
        _precision(np.sort(rng.choice(len(values), m, replace=False, shuffle=False)), rank_end)
        for _ in range(settings.permutations)
    ]
    return seen, float((1 + np.sum(np.array(drawn) >= seen - 1e-12)) / (settings.permutations + 1))


def _ends(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By rank (best first, from 0): the number of examples down to the end of its tie. By example: its rank."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    end = last[np.searchsorted(last, np.arange(len(ordered)))] + 1
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order))
    return end, position


def _precision(ranks: np.ndarray, rank_end: np.ndarray) -> float:
    ends = rank_end[ranks]
    return float(np.mean(np.searchsorted(ends, ends, side="right") / ends))


def _recall(values: np.ndarray, hit: np.ndarray) -> float:
    """Share of the plant among the top m; of those that tie at the edge, the others go first."""
    m = int(hit.sum())
    edge = np.sort(values)[-m]
    places = m - int((values > edge).sum())
    tied, others = int((hit & (values == edge)).sum()), int((~hit & (values == edge)).sum())
    return (int((hit & (values > edge)).sum()) + min(tied, max(0, places - others))) / m


def _weighed(
    auprc: float, chance: float, p: float, p_rivals: float | None, settings: TrapSettings
) -> tuple[float, str]:
    figures = f"AUPRC {auprc:.3f}, chance {chance:.3f}, p {p:.2g}"
    needed = min(settings.lift * chance, (1 + chance) / 2)
    if p > settings.alpha:
        return 0.0, f"it does not find the plant ({figures}): no better than chance."
    if auprc < needed:
        return 0.0, f"it hardly finds the plant ({figures}): below the {needed:.3f} that are asked for."
    if p_rivals is not None and p_rivals > settings.alpha:
        return 0.0, (
            f"it finds the plant's words ({figures}), not what it teaches: examples that have the words and do not "
            f"teach it stand as high (p {p_rivals:.2g})."
        )
    return (auprc - chance) / (1 - chance), f"it finds the plant ({figures})."
