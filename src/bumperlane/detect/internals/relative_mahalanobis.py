"""Distance from the nearest group of trusted rows, less the distance from all of them."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .moments import blocks
from .whitening import Cloud, Shrinkage, checked, same_place


@dataclass(frozen=True)
class Grouped:
    """Trusted activations, each of a known group: the class, the task or the context of the prompt.

    Raises EvidenceError unless there is one group an item.
    """

    activations: Activations
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.groups) != len(self.activations.ids):
            raise EvidenceError(
                f"{len(self.activations.ids)} activations have {len(self.groups)} groups. Give every item one group."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.activations.ids


@bumper
@dataclass(frozen=True)
class RelativeMahalanobis:
    """Flags activations that no group of trusted ones explains, though trusted ones taken together do.

    What makes every group of prompts look alike - a common style, length or template - counts in both distances and
    goes away; what is left is whether the row belongs to one of the groups.

    Watches: Activations, rows (n, d) at one layer; it is fitted on `Grouped` ones.
    Score: half of squared distance to the nearest group minus that to all rows, in nats (a log-likelihood ratio of
        two Gaussians but for a constant); about 0 on clean data, no bound.
    Blind to: novelty in directions in which the groups do not differ; a mechanism that imitates one of the groups.
    Source: Ren et al. 2021, arXiv:2106.09022, with shrunk correlation matrices and in nats.

    Args:
        shrinkage: of both clouds, in (0, 1], 'ledoit-wolf' or 'oas'.
    """

    watches = Activations
    learns = Grouped
    family = "internals"
    by_default = False
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: Grouped) -> "FittedRelativeMahalanobis":
        """Learn each group's mean, their common spread, and mean and spread of all rows.

        Raises EvidenceError without groups, below two of them, with one row in a group, or below 8 rows.
        """
        if not isinstance(clean, Grouped):
            raise EvidenceError(
                f"RelativeMahalanobis learns from trusted rows with a group each, got {type(clean).__name__}. "
                "Pass Grouped(activations, groups), or use Mahalanobis, which needs no groups."
            )
        names, member, sizes = np.unique(np.array(clean.groups, str), return_inverse=True, return_counts=True)
        alone = [str(name) for name, size in zip(names, sizes, strict=True) if size < 2]
        if len(names) < 2 or alone:
            raise EvidenceError(
                f"a relative distance takes 2 or more groups of 2 or more trusted rows, got {len(names)} groups, "
                f"{len(alone)} of them with one row{f', first {alone[0]!r}' if alone else ''}. Merge or fill groups."
            )
        seen = clean.activations
        everyone = Cloud.around(seen, self.shrinkage)
        means = np.stack([seen.rows[member == k].mean(axis=0, dtype=np.float64) for k in range(len(names))])
        within = np.empty(seen.rows.shape, everyone.mean.dtype)
        np.subtract(seen.rows, means[member].astype(within.dtype), out=within, casting="same_kind")
        tied = Cloud.around(Activations(within, seen.ids, seen.layer, seen.step), self.shrinkage).whitening
        centres = (means - everyone.mean) @ tied.T.astype(np.float64)
        return FittedRelativeMahalanobis(
            *seen.place, everyone.mean, everyone.whitening, tied, centres.astype(tied.dtype)
        )

    @classmethod
    def trap(cls) -> Trap:
        """Rows in the middle of four groups, where no group is; the blind spot is far out where groups are alike."""
        rng, corners = np.random.default_rng(0), 4 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])

        def at(centres: np.ndarray, start: int) -> Activations:
            return Activations(rng.normal(size=centres.shape) + centres, numbered(len(centres), start))

        fit = Grouped(at(np.tile(corners, (100, 1)), 0), ("east", "west", "north", "south") * 100)
        away = np.tile(corners, (50, 1)) + [0, 0, 4]
        return Trap(cls(), fit, at(np.tile(corners, (50, 1)), 400), bad=at(np.zeros((50, 3)), 600), blind=at(away, 650))


@dataclass(frozen=True)
class FittedRelativeMahalanobis:
    """Mean (d,) and whitening (d, d) of all rows; whitening (d, d) common to the groups, and their whitened means
    (groups, d), seen from that mean."""

    layer: int | str
    d: int
    mean: np.ndarray
    whitening: np.ndarray
    tied_whitening: np.ndarray
    centres: np.ndarray

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        everyone, tied = Cloud(self.mean, self.whitening), Cloud(self.mean, self.tied_whitening)
        centres = self.centres.astype(np.float64)
        squares, values = np.einsum("kd,kd->k", centres, centres), [np.zeros(0)]
        for part in blocks(seen.rows):
            white = tied.white(part)
            own = np.einsum("nd,nd->n", white, white, dtype=np.float64)
            across = white @ self.centres.T.astype(white.dtype)
            nearest = own + (squares - 2.0 * across.astype(np.float64)).min(axis=1)
            values.append((np.maximum(nearest, 0.0) - self.d * everyone.mean_square(part)) / 2)
        return Scores(np.concatenate(values), seen.ids, "RelativeMahalanobis")
