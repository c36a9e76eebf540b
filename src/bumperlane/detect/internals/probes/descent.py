"""Fit a small network by gradient descent, the same way each time, and stop when unseen items get worse."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import EvidenceError, SettingError
from .labels import folds_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Descent:
    """AdamW on the mean log-loss, stopped early.

    Args:
        seed: of the first weights and of the order of items.
        epochs: most passes over the items.
        patience: passes without a lower held-out loss after which to stop; the best weights so far are kept.
        batch: items a step.
        learning_rate: of weights of unit size, which the network divides by the root of what they add up.
        weight_decay: share of the weights, times the learning rate, taken away at each step.
    """

    seed: int = 0
    epochs: int = 300
    patience: int = 20
    batch: int = 128
    learning_rate: float = 0.02
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                raise SettingError(f"{name} must be above 0, got {getattr(self, name)}.")
        if self.weight_decay < 0:
            raise SettingError(f"weight_decay must be 0 or above, got {self.weight_decay}.")

    def down(
        self,
        weights: list["torch.Tensor"],
        log_odds: Callable[[np.ndarray], "torch.Tensor"],
        bad: np.ndarray,
    ) -> list[np.ndarray]:
        """The weights (float64) with the lowest log-loss on a fifth of the items, which the others are not fitted on.

        Args:
            weights: tensors to start from; they are changed.
            log_odds: from item indices (k,) to log-odds (k,) of bad, under the present weights.
            bad: (n,) bool.

        Raises EvidenceError when the loss is not finite.
        """
        torch = import_torch("A network probe")
        rng = np.random.default_rng(self.seed)
        held = held_out(bad)
        learned, unseen = np.flatnonzero(~held), np.flatnonzero(held)
        wanted = torch.from_numpy(bad.astype(np.float64))
        adam = torch.optim.AdamW(
            [w.requires_grad_() for w in weights], lr=self.learning_rate, weight_decay=self.weight_decay
        )

        def loss(items: np.ndarray) -> Any:
            return torch.nn.functional.binary_cross_entropy_with_logits(log_odds(items), wanted[items])

        best, kept, waited = np.inf, [w.detach().numpy().copy() for w in weights], 0
        for epoch in range(self.epochs):
            for items in np.array_split(rng.permutation(learned), max(1, len(learned) // self.batch)):
                adam.zero_grad()
                loss(items).backward()
                adam.step()
            with torch.no_grad():
                parts = np.array_split(unseen, max(1, len(unseen) // self.batch))
                now = float(sum(loss(part) * len(part) for part in parts)) / len(unseen)
            if not np.isfinite(now):
                raise EvidenceError(f"the probe's loss was not finite in pass {epoch}. Lower learning_rate.")
            waited += 1
            if now < best:
                best, kept, waited = now, [w.detach().numpy().copy() for w in weights], 0
            if waited >= self.patience:
                break
        return kept


def held_out(bad: np.ndarray) -> np.ndarray:
    """(n,) bool: the fifth of the items that tells a descent when to stop. Nothing else may be fitted on it."""
    return folds_of(bad, 5) == 0


def import_torch(who: str) -> Any:
    """torch, or SettingError saying how to get it. Only fitting needs it: scoring is NumPy's."""
    try:
        import torch
    except ImportError as error:
        raise SettingError(f"{who} is fitted with torch: {error}. Install bumperlane[train].") from error
    return torch
