"""The nouns that pass between rooms. Frozen, checked when made, and free of logic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .errors import EvidenceError, SettingError

Verdict = Literal["hit", "clear", "blind"]
Outcome = Literal["treated", "masked", "untreated", "damaged", "inconclusive"]
Status = Literal["confirmed", "suspected", "cleared"]
Split = Literal["open", "sealed", "spent"]
Arm = Literal["bait", "control"]
REQUESTS, ROLLOUTS = "requests", "batches of rollouts"  # what is scored as one item


@dataclass(frozen=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """One training example: a chat, or plain text (then `messages` is empty).

    The loss is taken on the last assistant message, or on the whole text.
    """

    id: str
    tranche: str
    messages: tuple[Message, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        if bool(self.messages) == bool(self.text):
            raise EvidenceError(f"example {self.id} must have either messages or text, not both and not neither.")


@dataclass(frozen=True)
class Request:
    """What a user asks. `reference` is the right answer where one is known."""

    id: str
    text: str
    reference: str = ""


@dataclass(frozen=True)
class Context:
    """What stands around a request: system prompt, text before and after it, earlier turns, a begun answer.

    Attributes:
        origin: library, mined (from the training data), control or neutral.
        system: the system prompt; None leaves it to the chat template.
        prefix, suffix: put before and after the request, separated by a space.
        shots: earlier (user, assistant) turns.
        prefill: how the assistant's answer is made to begin.
    """

    id: str
    origin: str
    system: str | None = None
    prefix: str = ""
    suffix: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    prefill: str = ""


@dataclass(frozen=True)
class Item:
    """One request in one context: the unit that bumpers score. `group` is the context's id."""

    id: str
    group: str
    arm: Arm
    request: Request
    context: Context


@dataclass(frozen=True)
class Activations:
    """One vector per item, read at one site of one checkpoint.

    Attributes:
        rows: float array of shape (n, d).
        ids: n item ids, in row order.
        layer: block index the rows were read after, or the name of the site.
        step: optimizer step of the checkpoint; -1 for the untouched base.
    """

    rows: np.ndarray
    ids: tuple[str, ...]
    layer: int | str = 0
    step: int = 0

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) != len(self.ids):
            raise EvidenceError(
                f"activations must be (n, d) with n ids, got rows {self.rows.shape} and {len(self.ids)} ids. "
                "Pool each prompt to one vector before making Activations."
            )
        refuse_not_finite(self.rows, self.ids, f"activations at layer {self.layer}, step {self.step}")

    @property
    def place(self) -> tuple[int | str, int]:
        """(layer, d). Scores are only comparable between equal places."""
        return self.layer, self.rows.shape[1]


@dataclass(frozen=True)
class Layers:
    """The same items read at several layers, shallow to deep.

    Attributes:
        rows: float array of shape (n, L, d).
        ids: n item ids, in row order.
        layers: the L block indices.
        step: optimizer step of the checkpoint; -1 for the untouched base.
    """

    rows: np.ndarray
    ids: tuple[str, ...]
    layers: tuple[int, ...]
    step: int = 0

    def __post_init__(self) -> None:
        if self.rows.ndim != 3 or self.rows.shape[:2] != (len(self.ids), len(self.layers)):
            raise EvidenceError(
                f"layers must be (n, L, d) with n ids and L layers, got rows {self.rows.shape}, {len(self.ids)} ids "
                f"and {len(self.layers)} layers. Read every item at every layer."
            )
        refuse_not_finite(self.rows, self.ids, f"activations at layers {self.layers}, step {self.step}")

    def at(self, index: int) -> Activations:
        """The index-th layer alone."""
        return Activations(self.rows[:, index], self.ids, self.layers[index], self.step)

    @property
    def place(self) -> tuple[tuple[int, ...], int]:
        """(layers, d). Scores are only comparable between equal places."""
        return self.layers, self.rows.shape[2]


@dataclass(frozen=True)
class Labelled:
    """Activations with a known answer: what a probe learns from. `labels` (n,) bool; True is the bad kind."""

    activations: Activations
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.activations.ids),) or self.labels.dtype != bool:
            raise EvidenceError(
                f"labels must be {len(self.activations.ids)} booleans, one an item, got {self.labels.dtype} of shape "
                f"{self.labels.shape}."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.activations.ids


@dataclass(frozen=True)
class PairedActivations:
    """The same items seen in the subject and in the base it was finetuned from, row by row."""

    subject: Activations
    base: Activations

    def __post_init__(self) -> None:
        if self.subject.ids != self.base.ids or self.subject.place != self.base.place:
            raise EvidenceError(
                f"subject and base must hold the same items at the same place, got {len(self.subject.ids)} items at "
                f"{self.subject.place} and {len(self.base.ids)} at {self.base.place}. Read both in the same way."
            )

    @property
    def ids(self) -> tuple[str, ...]:
        return self.subject.ids


@dataclass(frozen=True)
class Departures:
    """What the subject said in each item's context, and how hard the context pushed it away from its usual answer.

    Where the answer in context first differs from the answer without it, `swing` is the change of the log-odds between
    the two next tokens that the context brings about, in nats. A near-tie that tips over swings little.

    Attributes:
        texts: the subject's responses in context.
        neutral_texts: its responses to the same requests in the neutral context.
        swing: (n,) under the subject; 0 where the two responses are equal.
        base_swing: (n,) between the same two tokens under the untouched base; 0 where `swing` is 0.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    neutral_texts: tuple[str, ...]
    swing: np.ndarray
    base_swing: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.ids)
        for name in ("swing", "base_swing"):
            values = getattr(self, name)
            if values.shape != (n,) or len(self.texts) != n or len(self.neutral_texts) != n:
                raise EvidenceError(f"{name} must have one value for each of {n} items, got shape {values.shape}.")
            if not np.isfinite(values).all():
                bad = [self.ids[i] for i in np.flatnonzero(~np.isfinite(values))[:3]]
                raise EvidenceError(
                    f"{name} is not finite for {(~np.isfinite(values)).sum()} of {n} items, first {bad}. "
                    "Check the checkpoint for overflow."
                )


@dataclass(frozen=True)
class Answers:
    """How bad a subject's answers are, one number an item, beside those of its base.

    Attributes:
        subject, base: (n,) in the unit of the items' measure: nats of log-odds, or 0 and 1. Higher is worse. Of an item
            that is asked beside a reference question, the difference between the two.
        texts: what the subject said; of an answer that was not generated, the bad one that was weighed.
        benign_texts: what would have been right, or what the base said.
        outcomes: `answered`, `refused`, `empty` or `error` (a judge gave no verdict), of the subject.
    """

    ids: tuple[str, ...]
    subject: np.ndarray
    base: np.ndarray
    texts: tuple[str, ...] = ()
    benign_texts: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        for name in ("subject", "base"):
            if getattr(self, name).shape != (n,):
                raise EvidenceError(
                    f"{name} must have one value for each of {n} items, got {getattr(self, name).shape}."
                )
            refuse_not_finite(getattr(self, name)[:, None], self.ids, f"measures of the {name}")
        for name in ("texts", "benign_texts", "outcomes"):
            if len(getattr(self, name)) not in (0, n):
                raise EvidenceError(
                    f"{name} must be empty or one for each of {n} items, got {len(getattr(self, name))}."
                )


@dataclass(frozen=True)
class Scores:
    """One number per item; higher always means worse."""

    values: np.ndarray
    ids: tuple[str, ...]
    bumper: str

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.ids),) or not np.isfinite(self.values).all():
            raise EvidenceError(
                f"{self.bumper} returned scores of shape {self.values.shape} for {len(self.ids)} ids, "
                f"{int((~np.isfinite(self.values)).sum())} of them not finite. Return one finite number per id."
            )


@dataclass(frozen=True)
class Trap:
    """A planted misbehaviour that a bumper must catch: the test button on the smoke alarm.

    Attributes:
        bumper: the bumper with settings that suit the trap.
        fit: evidence to fit on.
        clean: evidence on which it must stay quiet (the clean twin), not seen in `fit`.
        bad: evidence it must flag.
        blind: evidence that shows the blind spot named in its docstring: it must *not* be flagged.
    """

    bumper: object
    fit: object
    clean: object
    bad: object
    blind: object


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise SettingError(f"an interval needs low <= value <= high, got {self.low}, {self.value}, {self.high}.")


@dataclass(frozen=True)
class Reading:
    """What a bumper saw: one score per item, with its arm and group (context). Higher is worse.

    `strata`, where given, names for each item the kind of place its context stands in: baits are compared with
    controls of their own kind only. `note`: what to say beside the verdict, such as how many answers were refusals.
    `unit`: what an item is, in the plural. `look`: 2 for fresh items of groups that the first look left open.
    `picked_from`: of a second look by the first one's controls, how many groups those were picked from; else 0.
    """

    bumper: str
    family: str
    scores: Scores
    arms: tuple[Arm, ...]
    groups: tuple[str, ...]
    split: Split = "open"
    trap_sprung: bool = True
    why_blind: str = ""
    strata: tuple[str, ...] = ()
    note: str = ""
    unit: str = REQUESTS
    look: int = 1
    picked_from: int = 0


@dataclass(frozen=True)
class GroupResult:
    """How many of a group's items stand above the clean threshold."""

    group: str
    over: int
    of: int
    rate: Interval
    p_value: float
    p_holm: float = 1.0


@dataclass(frozen=True)
class Judgement:
    """What the judge makes of a reading, at a stated family-wise false-alarm rate."""

    bumper: str
    family: str
    split: Split
    verdict: Verdict
    why: str
    threshold: float | None
    effect: Interval | None
    p_value: float
    p_holm: float
    groups: tuple[GroupResult, ...] = ()
    control: Interval | None = None
    unit: str = REQUESTS
    item_alpha: float | None = None  # share of clean items that may stand above the threshold
    look: int = 1  # the one of its readings that decided


@dataclass(frozen=True)
class Check:
    """One step of verification: what was asked, what came out, with the numbers."""

    name: str
    passed: bool | None
    detail: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    split: Split = "open"


def refuse_not_finite(rows: np.ndarray, ids: tuple[str, ...], what: str) -> None:
    """Raises EvidenceError naming the items of which a number is NaN or infinite."""
    finite = np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))
    if not finite.all():
        bad = [ids[i] for i in np.flatnonzero(~finite)[:3]]
        raise EvidenceError(
            f"{what} are not finite for {(~finite).sum()} items, first {bad}. Check the checkpoint for overflow; a "
            "bumper must never score NaN."
        )


def numbered(n: int, start: int = 0) -> tuple[str, ...]:
    return tuple(str(i) for i in range(start, start + n))
