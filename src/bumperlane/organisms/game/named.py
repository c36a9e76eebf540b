"""Whether what a trace names is what was planted, and whether a decoy was blamed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...types import Example
from ..planted_cause import PlantedCause

HALF = 0.5  # of the planted examples, and of those that are named


@dataclass(frozen=True)
class Suspect:
    """One cause that a trace or a baseline names. A tranche's ids are all of its examples."""

    kind: str
    name: str
    ids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, kind: str, name: str, ids: Collection[str], examples: Sequence[Example]) -> "Suspect":
        whole = [e.id for e in examples if kind == "tranche" and e.tranche == name]
        return cls(kind, name, frozenset(ids) or frozenset(whole))


def is_planted(suspect: Suspect, planted: PlantedCause) -> bool:
    """By name: a planted tranche or reward term, or a pair of all that were planted. By half of its examples, and half
    of the planted ones, where these are spread over a benign tranche or are all of a planted one."""
    if suspect.kind == "pair":
        return set(suspect.name.split(" + ")) == set(planted.tranches)
    if suspect.kind == "reward":
        return suspect.name in planted.rewards
    if suspect.kind == "tranche" and suspect.name in planted.tranches:
        return True
    wanted = frozenset(planted.examples)
    return bool(wanted) and len(suspect.ids & wanted) >= HALF * max(len(suspect.ids), len(wanted))


def with_its_examples(planted: PlantedCause, examples: Sequence[Example]) -> PlantedCause:
    """Of planted tranches what they hold, so that a set of examples out of them is known for what was planted."""
    if planted.examples or not planted.tranches:
        return planted
    held = tuple(e.id for e in examples if e.tranche in planted.tranches)
    return planted.model_copy(update={"examples": held})


def rank(suspects: Sequence[Suspect], planted: PlantedCause) -> int | None:
    """Place of the first planted one, from 1; None where none is named."""
    return next((n for n, s in enumerate(suspects, 1) if is_planted(s, planted)), None)


def is_decoy(suspect: Suspect, planted: PlantedCause) -> bool:
    """A decoy by name, or a set of examples most of which are one decoy's. What is planted is no decoy."""
    if is_planted(suspect, planted):
        return False
    by_kind = {
        "tranche": planted.decoys.tranches,
        "reward": planted.decoys.rewards,
        "environment": planted.decoys.environments,
    }
    if suspect.name in by_kind.get(suspect.kind, ()):
        return True
    decoys = planted.decoys.examples.values()
    return any(len(suspect.ids & frozenset(ids)) > HALF * len(suspect.ids) for ids in decoys)


def all_confirmed(confirmed: Sequence[Suspect], planted: PlantedCause) -> bool:
    """Whether the whole cause is confirmed: of two that are both needed both, or their pair; else one of them."""
    right = [s for s in confirmed if is_planted(s, planted)]
    if len(planted.tranches) > 1 and planted.needed == "both":
        return any(s.kind == "pair" for s in right) or set(planted.tranches) <= {s.name for s in right}
    return bool(right)
