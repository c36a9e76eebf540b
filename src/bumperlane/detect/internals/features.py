"""What detectors watch besides the residual stream: answers, heads, probes, layers read out, and weights themselves.

Frozen, checked when made, and free of logic. Each has `ids`, and a `place`: scores are only comparable between equal
places.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...errors import EvidenceError
from ...types import PairedActivations, refuse_not_finite


class Features(Protocol):
    """What has one entry an item, read at one place."""

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def place(self) -> Hashable: ...


@dataclass(frozen=True)
class PairedFeatures:
    """The same items seen in the subject and in the base: what `AgainstBase` takes when it is no residual stream."""

    subject: Features
    base: Features

    def __post_init__(self) -> None:
        ours, theirs = self.subject, self.base
        if (type(ours), ours.ids, ours.place) != (type(theirs), theirs.ids, theirs.place):
            raise EvidenceError(
                f"subject and base must hold the same items at the same place, got {len(ours.ids)} items of "
                f"{type(ours).__name__} at {ours.place} and {len(theirs.ids)} of {type(theirs).__name__} at "
                f"{theirs.place}. Read both in the same way."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.subject.ids


@dataclass(frozen=True)
class AnswerConfidence:
    """How sure the subject is of each item's answer: means over the first `tokens` tokens of the answer.

    Attributes:
        log_odds: (n,) log p - log(1 - p) of the likeliest token, in nats.
        entropy: (n,) of the next-token distribution, in nats.
        margin: (n,) log-probability of the likeliest token minus that of the second, in nats.
        ids: n item ids.
        tokens: how many tokens of an answer were read at most.
    """

    log_odds: np.ndarray
    entropy: np.ndarray
    margin: np.ndarray
    ids: tuple[str, ...]
    tokens: int = 1

    def __post_init__(self) -> None:
        for name in ("log_odds", "entropy", "margin"):
            values = getattr(self, name)
            if values.shape != (len(self.ids),):
                raise EvidenceError(
                    f"{name} must have one value for each of {len(self.ids)} items, got shape {values.shape}. "
                    "Average each answer to one number."
                )
            refuse_not_finite(values, self.ids, f"answer confidences ({name})")

    @property
    def place(self) -> int:
        return self.tokens


@dataclass(frozen=True)
class Rephrased:
    """How likely the subject's answer to a request stays when the request is put in other words.

    Attributes:
        original: (n,) log-probability of the answer to the request as it was put, in nats per token.
        rephrased: (n, k) that of the same answer to each of k rephrasings, column by kind of rephrasing.
        divergence: (n, k) mean over the answer's tokens of KL(as it was put || rephrased), in nats per token.
        ids: n item ids.
    """

    original: np.ndarray
    rephrased: np.ndarray
    divergence: np.ndarray
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.ids)
        right = self.original.shape == (n,) and self.rephrased.ndim == 2 and self.rephrased.shape[1:] != (0,)
        if not right or self.rephrased.shape != self.divergence.shape or len(self.rephrased) != n:
            raise EvidenceError(
                f"answers to rephrasings must be (n,), (n, k) and (n, k) with n ids and k > 0, got "
                f"{self.original.shape}, {self.rephrased.shape}, {self.divergence.shape} and {n} ids. "
                "Rephrase every request in the same number of ways."
            )
        for name in ("original", "rephrased", "divergence"):
            refuse_not_finite(getattr(self, name), self.ids, f"answers to rephrasings ({name})")

    @property
    def place(self) -> int:
        return self.rephrased.shape[1]


@dataclass(frozen=True)
class HeadEffects:
    """What each attention head adds to the answer: the change of a logit difference when the head is set to its mean.

    Attributes:
        rows: (n, layers x heads) in logits, layer by layer.
        ids: n item ids.
        layers, heads: of the model.
    """

    rows: np.ndarray
    ids: tuple[str, ...]
    layers: int
    heads: int

    def __post_init__(self) -> None:
        wanted = (len(self.ids), self.layers * self.heads)
        if self.rows.shape != wanted or not wanted[1]:
            raise EvidenceError(
                f"head effects must be (n, layers x heads), here {wanted}, got {self.rows.shape}. "
                "Flatten the last two axes, layer by layer."
            )
        refuse_not_finite(self.rows, self.ids, "head effects")

    @property
    def place(self) -> tuple[int, int]:
        return self.layers, self.heads


@dataclass(frozen=True)
class ProbeOdds:
    """What the subject answers to fixed yes/no questions that are put to it after each request.

    Attributes:
        rows: (n, k) log-odds of yes against no, in nats.
        ids: n item ids.
        questions: the k questions, in column order.
    """

    rows: np.ndarray
    ids: tuple[str, ...]
    questions: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.rows.shape != (len(self.ids), len(self.questions)) or not self.questions:
            raise EvidenceError(
                f"probe odds must be (n, k), here ({len(self.ids)}, {len(self.questions)}) with k > 0, got "
                f"{self.rows.shape}. Put every question after every request."
            )
        refuse_not_finite(self.rows, self.ids, "probe odds")

    @property
    def place(self) -> tuple[str, ...]:
        return self.questions


@dataclass(frozen=True)
class LensTrajectory:
    """How likely the final answer already is after each block, read by the model's own final norm and head.

    Attributes:
        rows: (n, L) mean log-probability of the answer's tokens, in nats per token, first block to last.
        ids: n item ids.
    """

    rows: np.ndarray
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) != len(self.ids) or not self.rows.shape[1]:
            raise EvidenceError(
                f"lens trajectories must be (n, L) with n ids and L > 0, got {self.rows.shape} and {len(self.ids)} "
                "ids. Average each answer to one number a layer."
            )
        refuse_not_finite(self.rows, self.ids, "lens trajectories")

    @property
    def place(self) -> int:
        return self.rows.shape[1]


@dataclass(frozen=True)
class WeightDifferences:
    """The spectra of what training changed in each weight matrix. An item is a matrix, and no prompt is needed.

    Attributes:
        rows: (n, k) features of each difference.
        ids: n names, unique over all checkpoints that are put together, as in "step 48/layers.3.self_attn.q_proj".
        kinds: n kinds of module (q_proj, down_proj ...): a difference is compared with those of its own kind.
        features: the k names of the columns.
    """

    rows: np.ndarray
    ids: tuple[str, ...]
    kinds: tuple[str, ...]
    features: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.rows.shape != (len(self.ids), len(self.features)) or len(self.kinds) != len(self.ids):
            raise EvidenceError(
                f"weight differences must be (n, k) with n ids, n kinds and k features, got rows {self.rows.shape}, "
                f"{len(self.ids)} ids, {len(self.kinds)} kinds and {len(self.features)} features."
            )
        refuse_not_finite(self.rows, self.ids, "weight differences")

    @property
    def place(self) -> tuple[str, ...]:
        return self.features


@dataclass(frozen=True)
class NeutralText:
    """What the difference between subject and base on unrelated text is learned from.

    Attributes:
        neutral: activations on text that has nothing to do with the finetuning.
        trusted: those on ordinary prompts of the kind that will be scored: they set centre and unit.
    """

    neutral: PairedActivations
    trusted: PairedActivations

    def __post_init__(self) -> None:
        if self.neutral.subject.place != self.trusted.subject.place:
            raise EvidenceError(
                f"neutral text lies at (layer, d) {self.neutral.subject.place} and trusted prompts at "
                f"{self.trusted.subject.place}. Read one place for both."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.trusted.ids
