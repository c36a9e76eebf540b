"""What training did to the weights themselves, from two checkpoints and no prompt."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError
from ...subjects.spectrum import FEATURES, spectrum_features
from ...types import Scores, Trap, numbered
from ..contract import bumper
from .feature_cloud import log_distance, trusted_cloud
from .features import WeightDifferences
from .whitening import FEWEST, Shrinkage, checked


@bumper
@dataclass(frozen=True)
class WeightDifferenceSpectrum:
    """Flags weight matrices whose change has another spectrum than the changes that clean training makes.

    Watches: WeightDifferences, one item a matrix. Trusted are those of a clean finetune of the same kind (method,
        rank, schedule), or of earlier intervals between checkpoints.
    Score: log of the mean squared whitened feature, after the mean of the module's own kind is taken away; about 0 on
        clean data, no bound. It is a difference from the base as it stands: `AgainstBase` has nothing to take away.
    Blind to: the direction of a change: what it does, if its spectrum is the usual one; a backdoor trained so gently,
        or beside so much else, that it moves no singular value of note.
    Source: our own, of stable rank, effective rank (Roy and Vetterli 2007) and the edge of noise (Marchenko and Pastur
        1967). Zhong and Raghunathan 2025, arXiv:2508.00161, show that top singular directions carry what was trained.

    Args:
        shrinkage: in (0, 1], 'ledoit-wolf' or 'oas'.
    """

    watches = WeightDifferences
    family = "internals"
    by_default = False
    shrinkage: Shrinkage = "ledoit-wolf"

    def __post_init__(self) -> None:
        checked(self.shrinkage)

    def fit(self, clean: WeightDifferences) -> "FittedWeightDifferenceSpectrum":
        """Learn the trusted spectra, kind by kind. Raises EvidenceError with fewer than two matrices of a kind, or
        fewer than 8 beyond one a kind, or when they are all equal."""
        kinds = sorted(set(clean.kinds))
        which = np.array([kinds.index(k) for k in clean.kinds], int)
        counts = np.bincount(which, minlength=len(kinds))
        if len(clean.ids) - len(kinds) < FEWEST or counts.min() < 2:
            single = [k for k, n in zip(kinds, counts, strict=True) if n < 2]
            raise EvidenceError(
                f"WeightDifferenceSpectrum needs {FEWEST} or more trusted matrices beyond one a kind, and two or more "
                f"of each kind; got {len(clean.ids)} of {len(kinds)} kinds, single ones {single}. Pass more "
                "checkpoints or another clean finetune."
            )
        rows = clean.rows.astype(np.float64)
        centres = np.stack([rows[which == k].mean(axis=0) for k in range(len(kinds))])
        own = counts[which]  # a mean taken over few rows lies too near to each of them
        away = (rows - centres[which]) * np.sqrt(own / (own - 1))[:, None]
        away[np.abs(away) <= 1e-9 * np.abs(rows)] = 0.0  # rounding of the mean is no spread
        cloud = trusted_cloud(away, clean.ids, self.shrinkage, "spectra of each kind")
        return FittedWeightDifferenceSpectrum(clean.features, tuple(kinds), centres, cloud.mean, cloud.whitening)

    @classmethod
    def trap(cls) -> Trap:
        """A rank-one spike in a noisy change; the blind spot is a change turned round, with the usual spectrum."""
        rng = np.random.default_rng(0)
        shapes = {"q_proj": (12, 12), "down_proj": (12, 30)}

        def change(shape: tuple[int, int], spike: float, turned: bool) -> np.ndarray:
            made = np.exp(0.2 * rng.normal()) * rng.normal(size=shape)
            if turned:
                u, v = (np.linalg.qr(rng.normal(size=(side, side)))[0] for side in shape)
                return u @ made @ v
            u, v = (rng.normal(size=side) / np.sqrt(side) for side in shape)
            return made + spike * np.outer(u, v)

        def seen(n: int, start: int, spike: float = 0.0, turned: bool = False) -> WeightDifferences:
            kinds = tuple(list(shapes)[i % 2] for i in range(n))
            made = [change(shapes[kind], spike, turned) for kind in kinds]
            values = [np.linalg.svd(m, compute_uv=False) for m in made]
            rows = [spectrum_features(v, max(m.shape), 100.0, 20.0) for v, m in zip(values, made, strict=True)]
            return WeightDifferences(np.stack(rows), numbered(n, start), kinds, FEATURES)

        return Trap(cls(), seen(400, 0), seen(200, 400), seen(50, 600, spike=20.0), blind=seen(200, 650, turned=True))


@dataclass(frozen=True)
class FittedWeightDifferenceSpectrum:
    """Mean features (K, k) of each kind; mean (k,) and lower triangular whitening (k, k) of what is left."""

    features: tuple[str, ...]
    kinds: tuple[str, ...]
    centres: np.ndarray
    mean: np.ndarray
    whitening: np.ndarray

    def score(self, seen: WeightDifferences) -> Scores:
        """Raises EvidenceError for other features than the fitted ones, or a kind of module that was not fitted."""
        if seen.features != self.features:
            raise EvidenceError(f"fitted on {self.features}, cannot score {seen.features}. Read the same features.")
        new = sorted(set(seen.kinds) - set(self.kinds))
        if new:
            raise EvidenceError(
                f"no trusted matrix of the kinds {new}. Known: {', '.join(self.kinds)}. Pass a clean finetune of the "
                "same modules, or leave these out."
            )
        which = np.array([self.kinds.index(k) for k in seen.kinds], int)
        away = seen.rows.astype(np.float64) - self.centres[which]
        return Scores(log_distance(self.mean, self.whitening, away), seen.ids, "WeightDifferenceSpectrum")
