"""How much likelier an activation is in the untrusted batch than among trusted ones."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import blocks
from .whitening import FEWEST, Cloud, Shrinkage, checked, same_place, too_few


@bumper
@dataclass(frozen=True)
class LikelihoodRatio:
    """Flags activations of an untrusted batch that lie where the batch is denser than trusted data.

    Watches: Activations, rows (n, d) at one layer. Offline: it needs the whole batch that it scores.
    Score: log ratio of two Gaussian densities, the batch's over that of trusted rows, in nats, less its median over
        the batch; about 0 on clean items where those are most of the batch, no bound.
    Blind to: anomalies too rare in the batch. The batch's Gaussian holds its clean rows too: a share e of items moved
        by s trusted spreads stands about e s^2 (2 + s^2) / 2 nats above the rest, and sampling noise grows with
        d / sqrt(n). Also a change that all of the batch shares, and anomalies inside the trusted spread.
    Source: Neyman and Pearson 1933, with Gaussians for both densities; form ours (below).

    Trusted rows are whitened first: each dimension divided by its trusted spread, the correlations shrunk. There the
    trusted density is N(0, I); the batch's has its own mean and spreads, and correlations that are shrunk toward none,
    so toward the trusted ones. With z a white row, and w the same row whitened by the batch, the log ratio is
    (|z|^2 - |w|^2) / 2 and a constant, which the median takes away.

    Args:
        shrinkage: of both correlation matrices; in (0, 1], 'ledoit-wolf' or 'oas'.
    """

    watches = Activations
    family = "internals"
    by_default = False
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: Activations, untrusted: Activations) -> "FittedLikelihoodRatio":
        """Learn both densities. Raises EvidenceError below 8 rows of either, without spread, or at two places."""
        if untrusted.place != clean.place:
            raise EvidenceError(
                f"trusted rows lie at (layer, d) {clean.place} and untrusted ones at {untrusted.place}. "
                "Read both at the same place."
            )
        if len(untrusted.ids) < FEWEST:
            raise EvidenceError(too_few(len(untrusted.ids), "untrusted"))
        cloud = Cloud.around(clean, self.shrinkage)
        white = Activations(cloud.white(untrusted.rows), untrusted.ids, untrusted.layer)
        batch = Cloud.around(white, self.shrinkage)
        usual = float(np.median(_log_ratio(cloud, batch, untrusted.rows)))
        return FittedLikelihoodRatio(*clean.place, cloud.mean, cloud.whitening, batch.mean, batch.whitening, usual)

    @classmethod
    def trap(cls) -> Trap:
        """A fifth of the batch moved alike, inside the bulk of trusted lengths; the blind spot is one lone item."""
        rng, d = np.random.default_rng(0), 32

        def at(n: int, shift: float, start: int) -> Activations:
            return Activations(rng.normal(size=(n, d)) + shift * np.eye(d)[0], numbered(n, start))

        return Trap(cls(), at(800, 0, 0), at(800, 0, 800), bad=at(200, 4, 1600), blind=at(1, 4, 1800))


@dataclass(frozen=True)
class FittedLikelihoodRatio:
    """Mean (d,) and whitening (d, d) of trusted rows; those of the batch's rows after that."""

    layer: int | str
    d: int
    mean: np.ndarray
    whitening: np.ndarray
    batch_mean: np.ndarray
    batch_whitening: np.ndarray
    usual: float

    def score_batch(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        trusted, batch = Cloud(self.mean, self.whitening), Cloud(self.batch_mean, self.batch_whitening)
        return Scores(_log_ratio(trusted, batch, seen.rows) - self.usual, seen.ids, "LikelihoodRatio")


def _log_ratio(trusted: Cloud, batch: Cloud, rows: np.ndarray) -> np.ndarray:
    """Log of the batch's density over the trusted one (n,) in nats, less what is equal for all rows."""
    found = []
    for part in blocks(rows):
        white = trusted.white(part)
        away = np.einsum("nd,nd->n", white, white, dtype=np.float64)
        found.append((away - batch.mean_square(white) * white.shape[1]) / 2)
    return np.concatenate(found) if found else np.zeros(0)
