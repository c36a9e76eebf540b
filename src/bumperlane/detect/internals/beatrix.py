"""Gram matrices of activations across layers, against those of trusted ones."""

from dataclasses import dataclass

import numpy as np

from ...errors import EvidenceError, SettingError
from ...types import Layers, Scores, Trap, numbered
from ..contract import bumper
from .moments import Moments, blocks, working
from .nearest_neighbours import scaled
from .whitening import FEWEST, too_few

ITEMS = 512  # worked on at once


@bumper
@dataclass(frozen=True)
class Beatrix:
    """Flags items whose channels move together across layers in another way than on trusted items.

    Watches: Layers, rows (n, L, d).
    Score: log of the mean deviation of Gram features, in median absolute deviations, over its median on trusted items;
        about 0 on clean data, no bound.
    Blind to: the sign: rows mirrored about the trusted mean have the same Gram matrices; a change in a few of many
        dimensions, which the projection to `channels` spreads thin.
    Source: Ma et al. 2023, arXiv:2209.11715, adapted. There a Gram matrix is taken over the positions of a feature map,
        its channels being few. Here an item has one vector a layer, so layers stand in for positions; dimensions are
        divided by their trusted spread at each layer, and a random rotation brings them down to `channels`. The p-th
        order is (mean over layers of f_i^p f_j^p)^(1/p), with the sign of the mean. With one layer all orders of a kind
        say the same. One class: the paper keeps statistics for each predicted one.

    Cost an item: L d channels operations to project, L orders channels^2 / 2 for the features. The features of all
    trusted items, orders channels^2 / 2 each, are held while fitting.

    Args:
        orders: highest power; all from 1 are taken, in the paper up to 9. High ones look at the layer that stands out.
        channels: dimensions after the random rotation; all of them where there are no more.
        seed: of the rotation.
    """

    watches = Layers
    family = "internals"
    by_default = False
    orders: int = 8
    channels: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.orders < 1 or self.channels < 1:
            raise SettingError(
                f"orders and channels must be 1 or more, got {self.orders} and {self.channels}. Try 8 and 16."
            )

    def fit(self, clean: Layers) -> "FittedBeatrix":
        """Learn the usual Gram features. Raises EvidenceError below 8 items, or where nothing moves."""
        n, d = len(clean.ids), clean.rows.shape[2]
        if n < FEWEST:
            raise EvidenceError(too_few(n))
        moments = [Moments.of(clean.at(i)) for i in range(len(clean.layers))]
        mean, spread = np.stack([m.mean for m in moments]), np.stack([m.spread for m in moments])
        rotation = np.eye(d)
        if d > self.channels:
            rotation = np.linalg.qr(np.random.default_rng(self.seed).normal(size=(d, self.channels)))[0]
        features = _features(clean.rows, mean, spread, rotation, self.orders)
        median = np.median(features, axis=0)
        deviation = np.median(np.abs(features - median), axis=0)
        if not (deviation > 0).any():
            raise EvidenceError(
                f"more than half of {n} trusted items have the same Gram matrices at layers {clean.layers}. "
                "Pass trusted prompts that differ."
            )
        usual = float(np.median(_away(features, median, deviation)))
        return FittedBeatrix(*clean.place, mean, spread, rotation, self.orders, median, deviation, usual)

    @classmethod
    def trap(cls) -> Trap:
        """Half of the dimensions change sign against the others; the blind spot is that all of them do."""
        rng, d, layers = np.random.default_rng(0), 8, (2, 4, 6, 8)

        def at(n: int, sign: np.ndarray, start: int) -> Layers:
            common = rng.choice([-1.0, 1.0], size=(n, len(layers), 1)) * sign
            return Layers(common + 0.3 * rng.normal(size=(n, len(layers), d)), numbered(n, start), layers)

        half, one = np.where(np.arange(d) < d // 2, -1.0, 1.0), np.ones(d)
        return Trap(cls(), at(400, one, 0), at(200, one, 400), bad=at(50, half, 600), blind=at(200, -one, 650))


@dataclass(frozen=True)
class FittedBeatrix:
    """Mean and spread (L, d), the rotation (d, channels), and the median and median absolute deviation of features."""

    layers: tuple[int, ...]
    d: int
    mean: np.ndarray
    spread: np.ndarray
    rotation: np.ndarray
    orders: int
    median: np.ndarray
    deviation: np.ndarray
    usual: float

    def score(self, seen: Layers) -> Scores:
        """Raises EvidenceError for other layers or another width than the fitted ones."""
        if seen.place != (self.layers, self.d):
            raise EvidenceError(
                f"fitted at (layers, d) {(self.layers, self.d)}, cannot score {seen.place}. Read the same layers."
            )
        found = [np.zeros(0)]
        for part in blocks(seen.rows, ITEMS):
            features = _features(part, self.mean, self.spread, self.rotation, self.orders)
            found.append(_away(features, self.median, self.deviation) / self.usual)
        return Scores(np.log(np.maximum(np.concatenate(found), 1e-12)), seen.ids, "Beatrix")


def _features(rows: np.ndarray, mean: np.ndarray, spread: np.ndarray, rotation: np.ndarray, orders: int) -> np.ndarray:
    """Upper triangles of the Gram matrices of orders 1 to `orders`, (n, orders, c (c + 1) / 2) float64."""
    i, j = np.triu_indices(rotation.shape[1])
    found = []
    for part in blocks(rows, ITEMS):
        channels = (scaled(part, mean, spread) @ rotation.astype(working(part).dtype)).astype(np.float64)
        pairs = channels[..., i] * channels[..., j]
        largest = np.maximum(np.abs(pairs).max(axis=1), np.finfo(np.float64).tiny)
        share = pairs / largest[:, None]  # powers of what is at most 1 do not overflow
        power, kept = np.ones_like(share), []
        for order in range(1, orders + 1):
            power = power * share
            over = power.mean(axis=1)
            kept.append(largest * np.sign(over) * np.abs(over) ** (1 / order))
        found.append(np.stack(kept, axis=1))
    return np.concatenate(found)


def _away(features: np.ndarray, median: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Mean absolute deviation from the median in units of the trusted one, (n,), over features that vary."""
    vary = deviation > 0
    return (np.abs(features - median)[:, vary] / deviation[vary]).mean(axis=1)
