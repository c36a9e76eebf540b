"""From attribution and logs to hypotheses that retrains can decide: the most suspect, each with what leaves it out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..case import Case
from ..errors import SettingError
from ..evidence.checked_rollouts import pair_name
from ..judge.investigation import Investigation
from ..recipes.models import Recipe, SftStage
from .data.propose import Proposal
from .experiments.hypotheses import (
    Hypothesis,
    environment_suspect,
    example_suspects,
    reward_suspect,
    tranche_suspect,
)
from .reward.causes import RewardTrace

SAME = 0.9  # sets that share so much of their union are one hypothesis; the one that is named first stays
NESTED = 0.85  # of the smaller set
NEARLY = 1.25  # how much more a set must stand out than the tranche it lies in, or that lies in it
LARGEST = 0.5  # of all examples; of a larger set no equal-sized random removal can be drawn
LEAST_WEIGHT = 0.5  # of a suspect that attribution does not raise
PAID = 5.0  # of the term that a hit in the log is about: as one that half of the advantage comes from


@dataclass(frozen=True)
class SuspectSettings:
    """Args: alpha, attribution p-value below which a tranche or value is a suspect; most, hypotheses at the most."""

    alpha: float = 0.05
    most: int = 5


def data_suspects(inv: Investigation, case: Case, found: Proposal, settings: SuspectSettings) -> list[Hypothesis]:
    """Tranches that attribution or the hit context's text points at, then column values, then sets of examples.

    A set that is nearly another one is named once, as the tranche where it is one. Where nothing is pointed at, the
    tranche that attribution ranks first: an experiment costs less than a miss.
    """
    ids = {t.name: tuple(e.id for e in inv.examples if e.tranche == t.name) for t in inv.run.recipe.tranches}
    made = [tranche_suspect(n, ids[n], 1.0, why) for n, why in _tranches(case, found, settings).items() if ids.get(n)]
    made += _values(found, settings)
    made += [example_suspects(s.name, s.ids, 1.0, s.why) for s in found.suspects.found if s.ids]
    able = [h for h in made if len(h.ids) < LARGEST * len(found.corpus.ids)]
    if not able and found.ranking and _has(found, "tranche"):
        first = next((v.name for v in found.ranking.of("tranche") if 2 * v.n < len(found.corpus.ids)), None)
        able = [tranche_suspect(first, ids[first], 1.0, "attribution ranks it first.")] if first else []
    held = {("examples", s.name) for s in found.suspects.found if s.how == "context"}
    weighed = telling([replace(h, weight=standing(found, h.ids)) for h in distinct(able)], held)
    named = held | {("tranche", name) for name in _tranches(case, found, settings)}
    order = sorted(weighed, key=lambda h: ((h.kind, h.name) not in named, -h.weight))
    kept, rest = order[: settings.most], order[settings.most :]
    kept = [*kept[:-1], max([kept[-1], *rest], key=lambda h: h.weight)] if rest else kept
    return sorted(kept, key=lambda h: -h.weight)


def _tranches(case: Case, found: Proposal, settings: SuspectSettings) -> dict[str, str]:
    """Name -> why it is suspect."""
    ranked = found.ranking.of("tranche") if found.ranking and _has(found, "tranche") else ()
    out = {v.name: f"attribution points at it (p {v.p_value:.2g})." for v in ranked if v.p_value <= settings.alpha}
    told = case.behaviour.tranches if case.behaviour and len(case.behaviour.tranches) <= 2 else []
    return out | {n: "its prompts hold the text of the hit context." for n in told if n not in out}


def _has(found: Proposal, column: str) -> bool:
    return bool(found.ranking and any(v.column == column for v in found.ranking.values))


def _values(found: Proposal, settings: SuspectSettings) -> list[Hypothesis]:
    """Values of other columns that attribution points at."""
    from .data.read_columns import NO_VALUE, RARE, labels_of

    if not found.ranking:
        return []
    out = []
    for v in found.ranking.values:
        if v.column == "tranche" or v.p_value > settings.alpha or v.name in (NO_VALUE, RARE):
            continue
        labels = labels_of(found.columns[v.column], found.corpus.ids)
        ids = [id for id, label in zip(found.corpus.ids, labels, strict=True) if label == v.name]
        why = f"attribution points at {v.column} {v.name} (p {v.p_value:.2g})."
        out.append(example_suspects(f"{v.column} {v.name}", ids, 1.0, why, kind="column value"))
    return out


def distinct(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Without those that leave out nearly what an earlier one does, or bear its name."""
    kept: list[Hypothesis] = []
    for h in hypotheses:
        mine = set(h.ids)
        if any(h.title == k.title or _jaccard(mine, set(k.ids)) >= SAME for k in kept):
            continue
        kept.append(h)
    return kept


def paid_alone(recipe: Recipe, group: str, rewards: Sequence[Hypothesis]) -> list[Hypothesis]:
    """The term that a hit in the log says is paid while what it stands for fails (`group`: of VisibleAgainstHeldOut),
    where it is not among the suspects: too few rollouts to weigh terms by are no reason to leave it in."""
    names = {r.name for s in recipe.stages if not isinstance(s, SftStage) for r in s.rewards}
    terms = [name for name in names if group.startswith(pair_name(name, ""))]
    if not terms or any(h.name == max(terms, key=len) for h in rewards):
        return []
    try:
        return [reward_suspect(recipe, max(terms, key=len), PAID, f"the log says what it pays for alone: {group}.")]
    except SettingError:
        return []  # the only term: without it nothing would be learned


def telling(hypotheses: Sequence[Hypothesis], held: Collection[tuple[str, str]] = ()) -> list[Hypothesis]:
    """Of two of which one holds the other, the one that stands out more: a part of a cause stands out less than the
    whole, for it is smaller, and a tranche less than the few examples in it that are the cause. A tranche that stands
    out nearly as much stays: it is what the recipe can leave out. Examples that hold the hit's own text (`held`: kind
    and name) stay in any case: it is known of them, and not of an author that wrote them and others, that they have to
    do with it, and without a part of them the others still teach it.
    """

    def rank(h: Hypothesis) -> float:
        return h.weight * (NEARLY if h.kind == "tranche" or (h.kind, h.name) in held else 1.0)

    kept = []
    for h in hypotheses:
        mine = set(h.ids)
        rivals = [k for k in hypotheses if k is not h and _within(mine, set(k.ids))]
        better = [k for k in rivals if rank(k) > rank(h)]
        if not better or (h.kind, h.name) in held:
            kept.append(h)
    return kept


def _within(a: set[str], b: set[str]) -> bool:
    """Whether the smaller lies in the larger, but for a tenth or so."""
    return bool(a and b) and len(a & b) >= NESTED * min(len(a), len(b))


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0


def standing(found: Proposal, ids: Sequence[str]) -> float:
    """How far a set's mean fused score stands above the mean of all, in standard errors of a random set of its size."""
    place = {id: i for i, id in enumerate(found.corpus.ids)}
    scores = found.fused.scores
    chosen = scores[[place[id] for id in ids if id in place]]
    if not len(chosen):
        return LEAST_WEIGHT
    spread = float(scores.std()) or 1.0
    z = float((chosen.mean() - scores.mean()) / spread * np.sqrt(len(chosen)))
    return max(LEAST_WEIGHT, z)


def reward_suspects(inv: Investigation, found: RewardTrace, alpha: float) -> list[Hypothesis]:
    """Reward terms of which the logs say that they pay, or might, and environments that flagged rollouts come from.

    A term that is the only one a stage pays for cannot be left out, and is not among them.
    """
    recipe = inv.run.recipe
    known = {r.name for s in recipe.stages if not isinstance(s, SftStage) for r in s.rewards}
    out: list[Hypothesis] = []
    for cause in found.causes:
        if cause.term not in known or cause.gap.high <= 0:
            continue
        weight = max(LEAST_WEIGHT, 10.0 * (cause.share.value if cause.share else 0.1)) if cause.pays else LEAST_WEIGHT
        try:
            out.append(reward_suspect(recipe, cause.term, weight, cause.why))
        except SettingError:
            continue  # the only term: without it nothing would be learned
    names = {e.name for s in recipe.stages if not isinstance(s, SftStage) for e in s.environments}
    for origin in found.environments:
        if origin.p_value <= alpha and origin.name in names and len(names) > 1:
            why = (
                f"{origin.flagged} of its {origin.of} rollouts are flagged; its steps would give {origin.expected:.1f}."
            )
            out.append(environment_suspect(recipe, origin.name, 2.0, why))
    return out
