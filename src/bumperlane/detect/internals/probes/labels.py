"""What every probe asks of labelled evidence: two kinds, enough of both, one place."""

from typing import Any

import numpy as np

from ....errors import EvidenceError
from ....types import Labelled

FEWEST = 8  # of each kind


def two_kinds(labelled: Labelled, who: str, fewest: int = FEWEST) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, d) float64 and labels (n,) bool, True for the bad kind.

    Raises EvidenceError for evidence without labels, below `fewest` items of a kind, or when all rows are equal.
    """
    if not isinstance(labelled, Labelled):
        raise EvidenceError(
            f"{who} learns from Labelled activations, got {type(labelled).__name__}. Pass items of both kinds with "
            "their labels; trusted items alone do not say what misbehaviour looks like."
        )
    refuse_too_few(labelled.labels, who, fewest)
    rows = labelled.activations.rows.astype(np.float64)
    if not np.ptp(rows, axis=0).any():
        raise EvidenceError(
            f"all {len(rows)} labelled rows at layer {labelled.activations.layer} are equal. "
            "Check that the hook reads the right module."
        )
    return rows, labelled.labels


def refuse_too_few(labels: np.ndarray, who: str, fewest: int = FEWEST) -> None:
    """Raises EvidenceError below `fewest` items of either kind, with the counts."""
    bad = int(labels.sum())
    good = len(labels) - bad
    if min(good, bad) < fewest:
        raise EvidenceError(
            f"{who} needs {fewest} or more items of each kind, got {good} good and {bad} bad. "
            "Label more of the rarer kind."
        )


def refuse_other_place(layer: int | str, d: int, seen: Any) -> None:
    """Raises EvidenceError for evidence of another layer or width than (layer, d)."""
    if seen.place != (layer, d):
        raise EvidenceError(f"fitted at (layer, d) {(layer, d)}, cannot score {seen.place}. Read the same layer.")


def folds_of(labels: np.ndarray, folds: int) -> np.ndarray:
    """(n,) fold of each item: those of a kind are dealt out in turn, so that every fold holds both kinds.

    The i-th good and the i-th bad item share a fold: where they are two versions of one prompt, both are held out.
    """
    out = np.empty(len(labels), int)
    for kind in (False, True):
        out[labels == kind] = np.arange(int((labels == kind).sum())) % folds
    return out
