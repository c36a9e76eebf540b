"""What a probe watches that reads every token and not one vector an item."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ....errors import EvidenceError
from ....types import refuse_not_finite


@dataclass(frozen=True)
class TokenActivations:
    """One vector per token of each item, read at one site of one checkpoint, with padding on either side.

    What stands in padding is not looked at, not even whether it is finite.

    Attributes:
        rows: float array of shape (n, T, d).
        mask: (n, T) bool, True for real tokens; at least one an item.
        ids: n item ids, in row order.
        layer: block index the rows were read after.
        step: optimizer step of the checkpoint; -1 for the untouched base.
    """

    rows: np.ndarray
    mask: np.ndarray
    ids: tuple[str, ...]
    layer: int | str = 0
    step: int = 0

    def __post_init__(self) -> None:
        if self.rows.ndim != 3 or self.mask.shape != self.rows.shape[:2] or len(self.rows) != len(self.ids):
            raise EvidenceError(
                f"token activations must be (n, T, d) with a mask (n, T) and n ids, got rows {self.rows.shape}, mask "
                f"{self.mask.shape} and {len(self.ids)} ids. Pad all items to one length."
            )
        if self.mask.dtype != bool:
            raise EvidenceError(f"the mask must be bool, True for real tokens, got {self.mask.dtype}.")
        empty = [self.ids[i] for i in np.flatnonzero(~self.mask.any(axis=1))]
        if empty:
            raise EvidenceError(f"{len(empty)} items have no real token, first {empty[:3]}. Leave them out.")
        what = f"token activations at layer {self.layer}, step {self.step}"
        for start, part in zip(range(0, len(self.ids), 64), self.parts(64), strict=True):
            refuse_not_finite(part[0], self.ids[start : start + 64], what)

    @property
    def place(self) -> tuple[int | str, int]:
        """(layer, d). Scores are only comparable between equal places."""
        return self.layer, self.rows.shape[2]

    def at(self, items: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """(rows (k, T, d) float64 with padding set to 0, mask (k, T)) of some items."""
        mask = self.mask[items]
        return np.where(mask[..., None], self.rows[items], 0).astype(np.float64), mask

    def parts(self, size: int = 64) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The items in parts of at most `size`, each as `at` gives it."""
        return (self.at(slice(start, start + size)) for start in range(0, len(self.ids), size))


@dataclass(frozen=True)
class LabelledTokens:
    """Token activations with a known answer an item. `labels` (n,) bool; True is the bad kind."""

    tokens: TokenActivations
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.tokens.ids),) or self.labels.dtype != bool:
            raise EvidenceError(
                f"labels must be {len(self.tokens.ids)} booleans, one an item, got {self.labels.dtype} of shape "
                f"{self.labels.shape}."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.tokens.ids
