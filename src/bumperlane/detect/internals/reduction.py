"""Few coordinates for many, and descent: what the densities that must be trained (VAE, flow) have in common."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from ...errors import EvidenceError, SettingError
from ...types import Activations
from .moments import Moments, blocks
from .nearest_neighbours import scaled
from .whitening import same_place

FEWEST_TO_TRAIN = 40
BARELY = 1e-6  # share of the first eigenvalue, or of a dimension's variance, below which there is only rounding
RATE, BATCH, JUDGE_EVERY = 1e-2, 128, 10
Loss = Callable[[Any, Any, Any, Any], Any]
Weights = dict[str, Any]  # arrays by name, or tensors while they are trained


@dataclass(frozen=True)
class Reduction:
    """Principal axes of correlation-scaled rows, and one more coordinate for all that lies outside of them.

    Every second trusted row gives the axes; the others, which had no part in that, give each coordinate its mean and
    spread. Axes are steeper on the rows they were taken from, much so where there are fewer rows than dimensions.

    Attributes:
        mean, spread: (d,) of trusted rows.
        axes: (k, d) orthonormal, for rows in units of `spread`, strongest first.
        centre, unit: (k + 1,) mean and deviation of the coordinates; (k,) where the axes span all that moves. The last
            one is the log of the mean square that the axes leave over.
    """

    layer: int | str
    d: int
    mean: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    centre: np.ndarray
    unit: np.ndarray

    @classmethod
    def halved(cls, trusted: Activations, most: int) -> tuple["Reduction", np.ndarray]:
        """The reduction to at most `most` axes, and the coordinates of the trusted rows that did not give them.

        Raises EvidenceError below 40 rows or without spread.
        """
        n, d = trusted.rows.shape
        if n < FEWEST_TO_TRAIN:
            raise EvidenceError(
                f"a density that is trained needs {FEWEST_TO_TRAIN} or more trusted rows, got {n}. "
                "Pass more trusted prompts, or use Mahalanobis."
            )
        moments = Moments.of(Activations(trusted.rows[::2], trusted.ids[::2], trusted.layer))
        k = min(most, d, moments.n // 4)
        values, vectors = eigh(moments.correlation, subset_by_index=(d - k, d - 1), check_finite=False)
        axes = vectors.T[::-1][values[::-1] > BARELY * values[-1]]
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes = axes * np.sign(largest)  # an eigenvector's sign is chance
        width = len(axes) + (len(axes) < d)
        raw = cls(trusted.layer, d, moments.mean, moments.spread, axes, np.zeros(width), np.ones(width))
        others = raw.coordinates(Activations(trusted.rows[1::2], trusted.ids[1::2], trusted.layer))
        centre, unit = others.mean(axis=0), others.std(axis=0)
        if not np.isfinite(unit).all():
            raise EvidenceError(
                f"trusted rows at layer {trusted.layer} reach {np.abs(trusted.rows).max():.3g}, too far from one "
                "another to be squared. Look for broken rows among the trusted ones."
            )
        unit = np.where(unit > BARELY, unit, 1.0)
        made = cls(trusted.layer, d, moments.mean, moments.spread, axes, centre, unit)
        return made, (others - centre) / unit

    def coordinates(self, seen: Activations) -> np.ndarray:
        """(n, k + 1) or (n, k) float64. Raises EvidenceError for another layer or width than the fitted one."""
        same_place((self.layer, self.d), seen.place)
        parts = [(self._raw(part) - self.centre) / self.unit for part in blocks(seen.rows)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.centre)))

    def _raw(self, rows: np.ndarray) -> np.ndarray:
        rows = scaled(rows, self.mean, self.spread)
        axes = self.axes.astype(rows.dtype)
        along = rows @ axes.T
        if len(self.centre) == len(axes):
            return along.astype(np.float64)
        rest = rows - along @ axes
        left = np.einsum("nd,nd->n", rest, rest, dtype=np.float64) / (self.d - len(axes))
        return np.c_[along, np.log(np.maximum(left, BARELY))]


def minimise(loss: Loss, weights: Weights, rows: np.ndarray, steps: int, seed: int, prior: float) -> Weights:
    """The best weights met within `steps` steps of Adam on batches of 128, as judged by the fifth of rows kept aside.

    Small evidence is learnt by heart soon, and then the weights of an early step are returned. The rate falls from 0.01
    to nothing along a cosine. All chance comes from a NumPy generator at `seed`, and all numbers are float64.

    Args:
        loss: of (torch, weights, batch, noise), the batch's mean; noise is normal and of the batch's shape.
        prior: precision of a normal prior on all weights, which counts as one observation beside the rows.

    Raises SettingError without torch, EvidenceError when the loss is not finite.
    """
    rng, aside = np.random.default_rng(seed), np.arange(len(rows)) % 5 == 0
    best, kept = np.inf, weights
    with _torch_on_one_thread() as torch:
        taught, judge = rows[~aside], torch.from_numpy(rows[aside])
        judge_noise = torch.from_numpy(rng.normal(size=judge.shape))
        held = {name: torch.tensor(w, dtype=torch.float64, requires_grad=True) for name, w in weights.items()}
        adam = torch.optim.Adam(held.values())
        for step in range(steps + 1):
            if step % JUDGE_EVERY == 0 or step == steps:
                with torch.no_grad():
                    value = float(loss(torch, held, judge, judge_noise))
                if not np.isfinite(value):
                    raise EvidenceError(
                        f"the loss is {value} after {step} of {steps} steps on {len(rows)} trusted rows that reach "
                        f"{np.abs(rows).max():.3g} spreads. Look for broken rows among the trusted ones."
                    )
                if value < best:
                    best, kept = value, {name: w.detach().numpy().copy() for name, w in held.items()}
            adam.param_groups[0]["lr"] = RATE * (1 + np.cos(np.pi * step / steps)) / 2
            batch = taught[rng.integers(0, len(taught), min(len(taught), BATCH))]
            noise = torch.from_numpy(rng.normal(size=batch.shape))
            total = loss(torch, held, torch.from_numpy(batch), noise)
            total = total + prior / len(taught) / 2 * sum((w**2).sum() for w in held.values())
            adam.zero_grad()
            total.backward()
            adam.step()
    return kept


@contextmanager
def _torch_on_one_thread() -> Iterator[Any]:
    """torch, set to gradients on one thread of the CPU for as long as this lasts, whatever it was set to before."""
    try:
        import torch
    except ImportError as error:
        raise SettingError(
            "this bumper is trained with torch, which is not installed. Install bumperlane[train], or use "
            "Mahalanobis. Scoring with saved weights works without it."
        ) from error
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are small: more threads only wait for one another
    try:
        with torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
            yield torch
    finally:
        torch.set_num_threads(threads)
