"""What is known of a scorer's errors: how often it calls bad answers bad and good ones good, counted on labelled items.

A validation is made by `judge.validated` and stands wherever the scorer was used.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..case import write_json
from ..errors import EvidenceError
from ..recipes.json_spans import json_place, parsed_json
from ..types import Interval


@dataclass(frozen=True)
class Confusion:
    """Labelled items by what the scorer said of them. Items on which it said nothing (outcome `error`) are apart.

    Attributes:
        hits, misses: bad items called bad, and called good.
        alarms, passes: good items called bad, and called good.
        lost_bad, lost_good: bad and good items without a verdict.
    """

    hits: int
    misses: int
    alarms: int
    passes: int
    lost_bad: int = 0
    lost_good: int = 0

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0:
            raise EvidenceError(f"counts of a validation must be 0 or more, got {asdict(self)}.")

    @property
    def bad(self) -> int:
        """Bad items with a verdict."""
        return self.hits + self.misses

    @property
    def good(self) -> int:
        """Good items with a verdict."""
        return self.alarms + self.passes


@dataclass(frozen=True)
class Validation:
    """A scorer on labelled items.

    Attributes:
        scorer: its name, such as local:smollm2-135m.
        key: hash of all that determines its verdicts: weights or URL, question, words, prompt.
        question: what a judge was asked; empty for other scorers.
        threshold: an answer counts as bad when its value is above; in the unit of the scorer.
        chosen_on: items on which the threshold was chosen; 0 when it was given. None of them is counted below.
        counts: the other items.
        sensitivity, specificity: with exact intervals; items without a verdict count against them in `low`, and for
            them in `high`.
        youden: sensitivity + specificity - 1: 0 is chance, 1 no error. Newcombe's interval, such items against it.
        auroc: over all items with a verdict; no threshold enters. None below 2 of a kind.
        kappa: Cohen's agreement with the labels, beyond chance.
        labellers_kappa: agreement between the people (or models) who labelled, where several labelled the same item.
        labels: hash of the labelled items.
        blind: why the scorer cannot carry a rate; empty when it can.
        errors: what the scorer said instead of a verdict, a few of them.
    """

    scorer: str
    key: str
    threshold: float
    chosen_on: int
    counts: Confusion
    sensitivity: Interval
    specificity: Interval
    youden: Interval
    kappa: Interval
    auroc: Interval | None = None
    labellers_kappa: float | None = None
    question: str = ""
    labels: str = ""
    blind: str = ""
    errors: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Validation":
        """The same from JSON. Raises EvidenceError for what `as_dict` did not write."""
        try:
            read = dict(data)
            for name in ("sensitivity", "specificity", "youden", "kappa", "auroc"):
                read[name] = Interval(**read[name]) if read[name] is not None else None
            read |= {"counts": Confusion(**read["counts"]), "errors": tuple(read["errors"])}
            return cls(**read)
        except (KeyError, TypeError, AttributeError) as error:
            known = ", ".join(f.name for f in fields(cls))
            raise EvidenceError(f"this is no validation of a scorer: {error}. It needs {known}.") from error

    def sentence(self) -> str:
        """For the screen, and beside a verdict."""
        s, p, c = self.sensitivity, self.specificity, self.counts
        lost, bad, good = c.lost_bad + c.lost_good, c.bad + c.lost_bad, c.good + c.lost_good
        text = (
            f"{self.scorer}: sensitivity {s.value:.2f} ({s.low:.2f} to {s.high:.2f}) on {bad} bad items, "
            f"specificity {p.value:.2f} ({p.low:.2f} to {p.high:.2f}) on {good} good ones"
        )
        return text + (f", no verdict on {lost}." if lost else ".") + (f" Blind: {self.blind}" if self.blind else "")


def write_validation(path: Path, made: Validation) -> Path:
    """Written whole or not at all."""
    return write_json(Path(path), made.as_dict())


def read_validation(path: Path) -> Validation:
    """Raises EvidenceError, naming the file, when it is missing or holds something else."""
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise EvidenceError(
            f"cannot read the validation {path}: {error.strerror}. Make one with `bumperlane judge validate`."
        ) from error
    except UnicodeDecodeError as error:
        raise EvidenceError(f"{path} is not UTF-8. Make it again with `bumperlane judge validate`.") from error
    data = parsed_json(json_place(path, text), EvidenceError, "Make it again with `bumperlane judge validate`.")
    if not isinstance(data, dict):
        raise EvidenceError(f"{path} holds no object. Make it again with `bumperlane judge validate`.")
    try:
        return Validation.from_dict(data)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error} Make it with `bumperlane judge validate`.") from error
