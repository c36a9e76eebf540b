"""A logistic probe with a hidden layer beside it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import SettingError
from ....types import Activations, Labelled, Scores, Trap, numbered
from ...contract import bumper
from ..moments import blocks
from .descent import Descent, held_out, import_torch
from .labels import refuse_other_place, two_kinds
from .linear import mean_and_spread
from .logistic import LogisticProbe, regression

FEWEST = 20  # of each kind: a fifth is held out to tell when to stop


@bumper
@dataclass(frozen=True)
class MLPProbe:
    """Flags activations that a network with one hidden layer takes for the kind labelled bad.

    The hidden layer is added to a logistic regression and says nothing at first. Where it finds nothing that helps
    with items it was not fitted on, the probe stays the regression. Without that start, a network on 300 rows of width
    1024 with noise that all dimensions share ordered unseen items by chance, where the regression reached 0.72.

    Watches: Activations, rows (n, d) at one layer; fitted on Labelled.
    Score: log-odds of bad against good at the labelled share of bad; below 0 on clean data, no bound.
    Blind to: whatever the labelled items did not show; labels that stand for another thing than the misbehaviour. What
        it says far from all labelled items means nothing: it continues there in straight lines.
    Source: Alain and Bengio 2016, arXiv:1610.01644, with a hidden layer as in Azaria and Mitchell 2023,
        arXiv:2304.13734; the linear part beside it is our own. Early stopping on a fifth of the items.

    Args:
        hidden: rectified units.
        linear: the regression that it starts from, fitted on the other four fifths.
        descent: how the hidden layer is fitted.
    """

    watches = Activations
    learns = Labelled
    family = "internals"
    by_default = False
    hidden: int = 32
    linear: LogisticProbe = LogisticProbe()
    descent: Descent = Descent()

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise SettingError(f"hidden must be 1 or more units, got {self.hidden}. Try 32.")

    def fit(self, clean: Labelled) -> "FittedMLPProbe":
        """Train it. Raises EvidenceError below 20 items of a kind or when all are equal, SettingError without torch."""
        rows, bad = two_kinds(clean, "MLPProbe", FEWEST)
        torch = import_torch("MLPProbe")
        weights, bias = self._start(rows, bad)
        mean, spread = mean_and_spread(rows)
        x, known = torch.from_numpy((rows - mean) / spread), torch.from_numpy(rows @ weights + bias)
        d, h = rows.shape[1], self.hidden
        gain, out_gain = (2 / d) ** 0.5, (1 / h) ** 0.5
        random = np.random.default_rng(self.descent.seed).normal(size=(d, h))
        starts = random, np.zeros(h), np.zeros(h), np.zeros(())  # nothing goes out at first
        into, into_bias, out, out_bias = (torch.from_numpy(start) for start in starts)

        def log_odds(items: np.ndarray) -> Any:
            return known[items] + torch.relu(x[items] @ into * gain + into_bias) @ out * out_gain + out_bias

        into, into_bias, out, out_bias = self.descent.down([into, into_bias, out, out_bias], log_odds, bad)
        inward = into * gain / spread[:, None]
        layers = inward, into_bias - mean @ inward, out * out_gain
        return FittedMLPProbe(*clean.activations.place, weights, *layers, bias + float(out_bias))

    def _start(self, rows: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, float]:
        """(weights (d,), bias) of the regression, which has not seen the items that tell when to stop either."""
        learned = ~held_out(bad)
        part = Labelled(Activations(rows[learned], numbered(int(learned.sum()))), bad[learned])
        strength = self.linear.settled(part).strength
        return regression(rows[learned], bad[learned], (float(strength),))[0]

    @classmethod
    def trap(cls) -> Trap:
        """Two signs are equal in the bad kind and opposed in the good: no direction tells them apart. The blind spot
        is a bad kind that shows in two other dimensions."""
        rng = np.random.default_rng(0)

        def at(n: int, product: int, start: int, aside: bool = False) -> Activations:
            rows, sign = rng.normal(size=(n, 6)) * 0.3, rng.choice([-1.0, 1.0], n)
            rows[:, 0] += 1.5 * sign
            rows[:, 1] += 1.5 * sign * product
            if aside:
                rows[:, 3] = rows[:, 2]
            return Activations(rows, numbered(n, start))

        good, bad = at(150, -1, 0), at(150, 1, 150)
        rows, labels = np.concatenate([good.rows, bad.rows]), np.arange(300) >= 150
        fit = Labelled(Activations(rows, good.ids + bad.ids), labels)
        made = cls(16, descent=Descent(epochs=60))
        return Trap(made, fit, at(200, -1, 300), bad=at(50, 1, 500), blind=at(200, -1, 600, aside=True))


@dataclass(frozen=True)
class FittedMLPProbe:
    """Weights in rows as they are read: (d,) past the hidden layer; (d, h), (h,) into and (h,) out of it; a number."""

    layer: int | str
    d: int
    weights: np.ndarray
    inward: np.ndarray
    inward_bias: np.ndarray
    outward: np.ndarray
    bias: float

    def score(self, seen: Activations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        refuse_other_place(self.layer, self.d, seen)
        out = [self._log_odds(part.astype(np.float64)) for part in blocks(seen.rows)]
        return Scores(np.concatenate(out) if out else np.zeros(0), seen.ids, "MLPProbe")

    def _log_odds(self, rows: np.ndarray) -> np.ndarray:
        hidden = np.maximum(rows @ self.inward + self.inward_bias, 0)
        return rows @ self.weights + hidden @ self.outward + self.bias
