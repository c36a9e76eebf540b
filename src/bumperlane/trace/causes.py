"""The causes of a case: what experiments found, beside what attribution and logs had said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..case import Case, Cause, Sample
from ..judge.investigation import Investigation
from ..recipes.edits import DropExamples, DropTranche, Edit
from ..types import Example, Status
from .data.propose import Proposal
from .experiment import STRIDE
from .experiments.conduct import ExperimentLog
from .experiments.hypotheses import environment_suspect, reward_suspect
from .experiments.record import causes


@dataclass(frozen=True)
class Tried:
    """Of the experiments: the step that retrains went to, what cleared tranches that were left out in groups, and
    tranches that one retrain says are needed."""

    horizon: int
    idle: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


DATA = ("tranche", "examples", "column value")
SHOWN = 3


def causes_of(
    inv: Investigation, case: Case, found: Proposal | None, log: ExperimentLog | None, tried: "Tried", alpha: float
) -> list[Cause]:
    """Every suspect as its experiments left it, in their order; then every other tranche, by attribution."""
    seeds = [inv.run.recipe.seed + STRIDE * i for i in range(64)]
    out = causes(log, tried.horizon, seeds) if log else []
    ids = {(h.kind, h.name): h.ids for h in (log.layout.hypotheses if log else ())}
    told = [_told(inv, found, c, ids.get((c.kind, c.name), ())) for c in out]
    confirmed = [c for c in told if c.status == "confirmed"]
    own = {c.name for c in told if c.kind == "tranche"}
    for name in [t.name for t in inv.run.recipe.tranches if t.name not in own]:
        cause = _untried(inv, found, name, confirmed, alpha)
        if name in tried.idle:
            cause = cause.model_copy(update={"status": "cleared", "why": tried.idle[name]})
        if name in tried.needed:
            why = "without it the behaviour went in one retrain; no proof was made."
            cause = cause.model_copy(update={"status": "suspected", "why": why})
        told.append(cause)
    return told


def _told(inv: Investigation, found: Proposal | None, cause: Cause, ids: Sequence[str]) -> Cause:
    """With what attribution says of it."""
    shown = _top(inv.examples, found, set(ids)) if cause.kind in DATA else []
    more = {"examples": shown, "ids": [] if cause.kind == "tranche" else list(ids)}
    return cause.model_copy(update={**more, **_ranked(found, cause.kind, cause.name)})


def _untried(inv: Investigation, found: Proposal | None, name: str, confirmed: list[Cause], alpha: float) -> Cause:
    ids = {e.id for e in inv.examples if e.tranche == name}
    gone = [c for c in confirmed if c.kind != "pair" and c.experiment and not ids & set(ids_of(inv, c))]
    ranked = _ranked(found, "tranche", name)
    p: float | None = ranked.get("p_value")
    status: Status = "cleared"
    if p is not None and p <= alpha:
        status, why = "suspected", "attribution points here; no experiment has decided."
    elif gone:
        why = (
            f"alone it does not bring it about: it was there when {gone[0].name} was left out, and the behaviour went. "
            f"Whether {gone[0].name} needs it was not tried."
        )
    elif found is None:
        status, why = "suspected", "nothing was attributed, and no experiment was made: nothing is known of it."
        if 2 * len(ids) >= len(inv.examples):
            why = f"{why} It holds half of the examples or more, so that no control of its size can be left out."
    else:
        why = "attribution does not point here; no experiment was made."
    return Cause(kind="tranche", name=name, status=status, why=why, examples=_top(inv.examples, found, ids), **ranked)


def _ranked(found: Proposal | None, kind: str, name: str) -> dict:
    """Attribution's number for a tranche or a value, where it has one."""
    for v in found.ranking.values if found and found.ranking else ():
        mine = v.column == "tranche" and v.name == name if kind == "tranche" else f"{v.column} {v.name}" == name
        if mine:
            return {"predicted": round(v.z, 3), "p_value": v.p_value}
    return {}


def _top(examples: tuple[Example, ...], found: Proposal | None, ids: set[str]) -> list[Sample]:
    """Of these examples, the ones that attribution puts highest."""
    if found is None:
        return []
    scores = found.fused.scores
    mine = sorted((i for i, e in enumerate(examples) if e.id in ids), key=lambda i: -scores[i])[:SHOWN]
    out = []
    for i in mine:
        said = examples[i].messages
        out.append(
            Sample(
                request=said[-2].content if len(said) > 1 else "",
                context="\n".join(m.content for m in said[:-2]),
                response=said[-1].content if said else examples[i].text,
                score=float(np.round(scores[i], 3)),
            )
        )
    return out


def confirmed_parts(case: Case) -> list[Cause]:
    """Confirmed causes that can be left out: of a pair its two members, which are causes of their own."""
    return [c for c in case.causes if c.status == "confirmed" and c.kind != "pair"]


def ids_of(inv: Investigation, cause: Cause) -> list[str]:
    """The examples that make a cause up; none for a reward or an environment."""
    if cause.kind == "tranche":
        return [e.id for e in inv.examples if e.tranche == cause.name]
    return list(cause.ids) if cause.kind in DATA else []


def edits_without(inv: Investigation, causes: Sequence[Cause]) -> list[Edit]:
    """What leaves these causes out of the run's recipe. Examples go before whole tranches."""
    edits: list[Edit] = []
    for cause in causes:
        if cause.kind == "tranche":
            edits.append(DropTranche(cause.name))
        elif cause.kind == "reward":
            edits += reward_suspect(inv.run.recipe, cause.name).edits
        elif cause.kind == "environment":
            edits += environment_suspect(inv.run.recipe, cause.name).edits
        else:
            edits.append(DropExamples(tuple(cause.ids)))
    return sorted(edits, key=lambda edit: not isinstance(edit, DropExamples))
