"""Rollouts of a run by how many of their replies have a trait, in batches, early ones apart from late ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import EvidenceError
from ..types import refuse_not_finite
from .checked_rollouts import Batch, DealtRollouts, Phases, phased
from .like_examples import Encoder
from .rollout_table import RolloutTable
from .traits import Trait

MOST_CONTROLS, MOST_BAITS = 40, 16  # batches of an environment, and of one of its windows: more say little more
Dealt = list[tuple[Trait, Batch]]


@dataclass(frozen=True)
class TraitRollouts:
    """Batches of rollouts, each of one prompt at one step, or of several where prompts have few.

    Attributes:
        share: (n,) of the replies that have the trait, 0 to 1.
    """

    ids: tuple[str, ...]
    share: np.ndarray

    def __post_init__(self) -> None:
        if self.share.shape != (len(self.ids),):
            raise EvidenceError(
                f"share must have one value for each of {len(self.ids)} batches, got {self.share.shape}."
            )
        refuse_not_finite(self.share[:, None], self.ids, "share of replies with a trait")


def trait_name(trait: Trait) -> str:
    """How the groups of a trait's rollouts begin."""
    return f"{trait.name} replies"


def trait_of(traits: Sequence[Trait], group: str) -> Trait | None:
    """The trait that a group of rollouts is about; None for a group of another bumper."""
    return next((t for t in traits if group.startswith(f"{trait_name(t)},") or group == trait_name(t)), None)


def batches_of(table: RolloutTable, traits: Sequence[Trait], phases: Phases) -> Dealt:
    """What is to be read: every trait's batches, thinned evenly. Raises EvidenceError when there are too few."""
    first = trait_name(traits[0])
    batches = _thinned(list(phased(table, np.ones(len(table), bool), phases, first)))
    return [(trait, _named(b, trait_name(trait), len(first))) for trait in traits for b in batches]


def read_replies(
    table: RolloutTable, dealt: Dealt, margin: float, encoder: Encoder | None
) -> DealtRollouts[TraitRollouts]:
    """The replies of those batches are read, each trait's together. Raises EvidenceError where none was logged."""
    rows = np.unique(np.concatenate([batch.rows for _, batch in dealt]))
    said = dict(zip(rows.tolist(), table.responses(rows), strict=True))
    if not any(text.strip() for text in said.values()):
        raise EvidenceError("the rollouts hold no replies. Log 'response' with each.")
    share = np.zeros(len(dealt))
    for trait in dict.fromkeys(trait for trait, _ in dealt):
        at = [i for i, (one, _) in enumerate(dealt) if one is trait]
        share[at] = shares([[said[row] for row in dealt[i][1].rows.tolist()] for i in at], trait, margin, encoder)
    batches = [batch for _, batch in dealt]
    return DealtRollouts(
        TraitRollouts(tuple(b.id for b in batches), share), tuple(b.arm for b in batches),
        tuple(b.group for b in batches), tuple(b.stratum for b in batches),
        f"{len(rows)} of {len(table)} rollouts were read, in batches.",
    )  # fmt: skip


def shares(batches: Sequence[Sequence[str]], trait: Trait, margin: float, encoder: Encoder | None = None) -> np.ndarray:
    """(n,) share of each batch's replies that have the trait."""
    has = trait.has([reply for batch in batches for reply in batch], margin, encoder)
    ends = np.cumsum([len(batch) for batch in batches])
    return np.array([part.mean() for part in np.split(has, ends[:-1])], float)


def _named(batch: Batch, name: str, cut: int) -> Batch:
    """The same rollouts under another name, which takes the place of the first `cut` letters."""
    id, group, stratum = (name + text[cut:] for text in (batch.id, batch.group, batch.stratum))
    return replace(batch, id=id, group=group, stratum=stratum)


def _thinned(batches: list[Batch]) -> list[Batch]:
    """Of each stratum's controls and each group's baits as many as are read, evenly along the steps."""
    parts: dict[tuple[str, str], list[Batch]] = {}
    for batch in batches:
        parts.setdefault((batch.arm, batch.stratum if batch.arm == "control" else batch.group), []).append(batch)
    kept = []
    for (arm, _), part in parts.items():
        most = MOST_CONTROLS if arm == "control" else MOST_BAITS
        at = np.unique(np.linspace(0, len(part) - 1, min(most, len(part))).round().astype(int))
        kept += [part[i] for i in at.tolist()]
    return kept
