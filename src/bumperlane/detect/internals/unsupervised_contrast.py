"""A direction from yes/no pairs without labels: where do the model's two ways to finish a statement lie most apart?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import eigh

from ...errors import EvidenceError, SettingError
from ...types import Activations, Scores, Trap, numbered
from ..contract import bumper
from .probes.labels import refuse_other_place
from .probes.linear import mean_and_spread
from .probes.ordering import auroc

FEWEST = 20  # pairs
FEWEST_ANCHORS = 4  # of each kind


@dataclass(frozen=True)
class Pairs:
    """The same questions with the answer begun with yes, and with no, row by row.

    The question must be one to which the bad kind answers yes ("Is the user being deceived here?").
    """

    yes: Activations
    no: Activations

    def __post_init__(self) -> None:
        if self.yes.ids != self.no.ids or self.yes.place != self.no.place:
            raise EvidenceError(
                f"yes and no must hold the same items at the same place, got {len(self.yes.ids)} items at "
                f"{self.yes.place} and {len(self.no.ids)} at {self.no.place}. Read both in the same way."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.yes.ids

    @property
    def place(self) -> tuple[int | str, int]:
        """(layer, d). Scores are only comparable between equal places."""
        return self.yes.place


@dataclass(frozen=True)
class ContrastSet:
    """What the direction is fitted on.

    Attributes:
        pairs: unlabelled.
        anchors: a few pairs with a known answer, which only turn the direction the right way round; None for none.
        bad: (m,) bool, the anchors' answers.
    """

    pairs: Pairs
    anchors: Pairs | None = None
    bad: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.anchors is None) != (self.bad is None):
            raise EvidenceError("anchors need their answers, and answers their anchors. Pass both or neither.")
        if self.anchors is None or self.bad is None:
            return
        if self.bad.shape != (len(self.anchors.ids),) or self.bad.dtype != bool:
            raise EvidenceError(
                f"answers must be {len(self.anchors.ids)} booleans, one an anchor, got {self.bad.dtype} of shape "
                f"{self.bad.shape}."
            )
        if self.anchors.place != self.pairs.place:
            raise EvidenceError(
                f"anchors lie at {self.anchors.place} and pairs at {self.pairs.place}. Read one place for all."
            )


@bumper
@dataclass(frozen=True)
class UnsupervisedContrast:
    """Flags items for which the subject itself leans to yes, along the direction that most divides yes/no pairs.

    Watches: Pairs, rows (n, d) of yes and of no at one layer; fitted on ContrastSet.
    Score: yes minus no, each less its side's mean and in units of its spread, projected on the first principal
        component of these differences; in standard deviations of the fitted pairs, mean 0 on them, no bound.
    Blind to: whatever is not the most prominent thing that divides the pairs. Nothing in the method prefers truth to
        another prominent feature (Farquhar et al. 2023, arXiv:2312.10029), and without labels nobody can tell.
        The component has no sign of its own: no number of unlabelled pairs says which end is bad.
    Source: Burns et al. 2022, arXiv:2212.03827, as contrastive representation clustering (CRC-TPC).

    Args:
        sign: what turns the direction the right way round. 'anchors': 4 or more pairs of each answer, which must be
            ordered with an AUROC of `order` or more. Eight anchors with answers drawn at random reach 0.9 one way or
            the other in one case of 17, so pass more where you have them. 'rarer': the end with the longer tail is
            bad. That is an assumption, right only when fewer than half of the pairs are bad, and it is refused when
            the tails do not differ by three standard errors.
        order: AUROC that the anchors must reach.
    """

    watches = Pairs
    family = "internals"
    by_default = False
    sign: Literal["anchors", "rarer"] = "anchors"
    order: float = 0.9

    def __post_init__(self) -> None:
        if self.sign not in ("anchors", "rarer"):
            raise SettingError(f"sign must be 'anchors' or 'rarer', got {self.sign!r}.")
        if not 0.5 < self.order <= 1:
            raise SettingError(f"order must be above 0.5 and at most 1, got {self.order}. Try 0.9.")

    def fit(self, clean: ContrastSet) -> "FittedUnsupervisedContrast":
        """Learn the direction. Raises EvidenceError below 20 pairs, or when nothing settles its sign."""
        if not isinstance(clean, ContrastSet) or len(clean.pairs.ids) < FEWEST:
            got = f"{len(clean.pairs.ids)} pairs" if isinstance(clean, ContrastSet) else type(clean).__name__
            raise EvidenceError(f"UnsupervisedContrast needs a ContrastSet of {FEWEST} or more pairs, got {got}.")
        sides = [mean_and_spread(side.rows.astype(np.float64)) for side in (clean.pairs.yes, clean.pairs.no)]
        (yes_mean, yes_spread), (no_mean, no_spread) = sides
        yes, no = (clean.pairs.yes.rows - yes_mean) / yes_spread, (clean.pairs.no.rows - no_mean) / no_spread
        direction, share = first_component(yes - no)
        unit = float(((yes - no) @ direction).std())
        if unit == 0:
            raise EvidenceError(
                f"yes and no differ by the same on all {len(yes)} pairs at layer {clean.pairs.yes.layer}. "
                "Read at the token of the answer or after it."
            )
        direction = direction / unit
        fitted = FittedUnsupervisedContrast(
            *clean.pairs.place,
            direction / yes_spread,
            direction / no_spread,
            float(yes_mean @ (direction / yes_spread)),
            float(no_mean @ (direction / no_spread)),
            share,
        )
        return fitted.turned(self._sign(fitted, clean))

    def _sign(self, fitted: "FittedUnsupervisedContrast", clean: ContrastSet) -> int:
        """1 or -1, by which the direction is to be multiplied."""
        if self.sign == "rarer":
            values = fitted.score(clean.pairs).values
            skew, error = float((values**3).mean()), (6 / len(values)) ** 0.5
            if abs(skew) < 3 * error:
                raise EvidenceError(
                    f"the two ends of {len(values)} pairs look alike (skewness {skew:.2f}, standard error "
                    f"{error:.2f}), so nothing says which is the rarer. Pass anchors with known answers, or more pairs."
                )
            return 1 if skew > 0 else -1
        if clean.anchors is None or clean.bad is None or min(clean.bad.sum(), (~clean.bad).sum()) < FEWEST_ANCHORS:
            got = "none" if clean.bad is None else f"{int((~clean.bad).sum())} good and {int(clean.bad.sum())} bad"
            raise EvidenceError(
                f"the direction has no sign of its own: {FEWEST_ANCHORS} or more anchors of each answer are needed, "
                f"got {got}. Pass anchors, or sign='rarer' where you know that bad items are few."
            )
        values = fitted.score(clean.anchors).values
        ordered = auroc(values[~clean.bad], values[clean.bad])
        if max(ordered, 1 - ordered) < self.order:
            raise EvidenceError(
                f"the direction orders the anchors with AUROC {max(ordered, 1 - ordered):.2f}, {self.order:g} is "
                f"needed: the first component ({fitted.share:.0%} of the variance) stands for another thing than "
                "their answer. Use another layer or question, or a labelled probe."
            )
        return 1 if ordered > 0.5 else -1

    @classmethod
    def trap(cls) -> Trap:
        """The model's answer divides the pairs most; in the blind spot the bad items show along another axis."""
        rng = np.random.default_rng(0)

        def at(n: int, bad: float, start: int, axis: int = 0) -> Pairs:
            lean = np.where(rng.random(n) < bad, 2.5, -2.5) if axis == 0 else np.full(n, -2.5)
            topic, word = rng.normal(size=(n, 8)) * 3, np.eye(8)[7] * 20  # alike in both sides; the word yes or no
            halves = [np.outer(side * lean, np.eye(8)[0]) + rng.normal(size=(n, 8)) * 0.7 for side in (1, -1)]
            if axis:
                halves[0][:, axis] += 2.5
            return Pairs(
                Activations(topic + halves[0] + word, numbered(n, start)),
                Activations(topic + halves[1] - word, numbered(n, start)),
            )

        anchors = at(16, 1, 400), at(16, 0, 416)
        joined = [np.concatenate([getattr(a, side).rows for a in anchors]) for side in ("yes", "no")]
        known = Pairs(*(Activations(rows, numbered(32, 400)) for rows in joined))
        fit = ContrastSet(at(300, 0.5, 0), known, np.arange(32) < 16)
        return Trap(cls(), fit, clean=at(200, 0, 500), bad=at(50, 1, 700), blind=at(200, 0, 800, axis=3))


@dataclass(frozen=True)
class FittedUnsupervisedContrast:
    """What each side is projected on (d,), what is taken off, and the share of variance the component explains."""

    layer: int | str
    d: int
    yes_weights: np.ndarray
    no_weights: np.ndarray
    yes_centre: float
    no_centre: float
    share: float

    def score(self, seen: Pairs) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        yes, no = self.sides(seen)
        return Scores(yes - no, seen.ids, "UnsupervisedContrast")

    def sides(self, seen: Pairs) -> tuple[np.ndarray, np.ndarray]:
        """(n,) projection of yes and of no, each less its side's mean, in the unit of the score."""
        refuse_other_place(self.layer, self.d, seen)
        return (
            seen.yes.rows.astype(np.float64) @ self.yes_weights - self.yes_centre,
            seen.no.rows.astype(np.float64) @ self.no_weights - self.no_centre,
        )

    def inconsistency(self, seen: Pairs) -> np.ndarray:
        """(n,) |yes + no|: 0 where the two answers mirror each other. It needs no sign, nor says what is bad.

        Large where an item is read as both or as neither: there the score is no statement about the item.
        """
        yes, no = self.sides(seen)
        return np.abs(yes + no)

    def turned(self, sign: int) -> "FittedUnsupervisedContrast":
        """The same direction, or its opposite for -1."""
        arrays = sign * self.yes_weights, sign * self.no_weights
        centres = sign * self.yes_centre, sign * self.no_centre
        return FittedUnsupervisedContrast(self.layer, self.d, *arrays, *centres, self.share)


def first_component(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """(unit direction (d,), share of the variance): the first principal component of rows (n, d) with mean 0.

    Of its two signs, the one whose largest entry is positive.
    """
    n, d = rows.shape
    square = rows.T @ rows if d <= n else rows @ rows.T
    last = len(square) - 1
    values, vectors = eigh(square, subset_by_index=(last, last))
    direction = vectors[:, 0] if d <= n else rows.T @ vectors[:, 0]
    norm = np.linalg.norm(direction)
    direction = direction / norm if norm else np.eye(d)[0]
    total = float(np.trace(square))
    share = float(values[0]) / total if total else 0.0
    return direction * np.sign(direction[np.argmax(np.abs(direction))]), share
