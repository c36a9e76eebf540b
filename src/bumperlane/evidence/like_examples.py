"""How bad an answer is by its likeness to bad examples against good ones, in the space of a sentence encoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import EvidenceError, ModelError, SettingError
from ..recipes.provenance import content_key
from ..subjects.sentence_model import SentenceModel, minilm_dir
from ..subjects.subject import Subject
from ..types import Item
from .ask import Look, Read
from .measures import generated, outcome_of

Encoder = Callable[[Sequence[str]], np.ndarray]
LEAST = 3  # examples of a kind: one is left out, and a mean of two stays


def minilm(texts: Sequence[str]) -> np.ndarray:
    """(n, 384) unit vectors of all-MiniLM-L6-v2. Raises ModelError, naming the command that fetches it."""
    return _installed().embed(texts)


@lru_cache(maxsize=1)
def _installed() -> SentenceModel:
    return SentenceModel.load(minilm_dir())


def refuse_without_encoder(bumper: str, encoder: Encoder | None) -> None:
    """Raises EvidenceError where no encoder is given and all-MiniLM-L6-v2 is not there."""
    if encoder is not None:
        return
    try:
        minilm(["ready?"])
    except ModelError as error:
        raise EvidenceError(f"{bumper} reads replies by a sentence encoder, which is missing: {error}") from error


@dataclass(frozen=True)
class Likeness:
    """A line through the space of sentences, from the good examples to the bad, and its calibration.

    Attributes:
        towards: (d,) unit vector from the mean of the good examples to that of the bad.
        middle: where on it both means are equally far.
        slope, offset: log-odds in nats = slope * (place on the line - middle) + offset.
        right: share of the examples that are on their side when judged by the others; both kinds count alike.
    """

    towards: np.ndarray
    middle: float
    slope: float
    offset: float
    right: float

    def odds(self, rows: np.ndarray) -> np.ndarray:
        """(n,) nats, of unit vectors (n, d)."""
        return self.slope * (rows @ self.towards - self.middle) + self.offset


@dataclass(frozen=True)
class LikeExamples:
    """Log-odds, in nats, that the generated answer is of the bad kind, by its likeness to examples of both kinds.

    Answers are projected on the line between the means of the two kinds (nearest class mean). What a place on the line
    is worth is learnt from the examples themselves, each placed by the means of the others: a logistic curve by Platt's
    method, the two kinds weighing the same. So examples that cannot be told apart give small odds, not bold ones; at
    worst they are refused. The odds are for an even chance of either kind.

    Blind to: bad answers unlike every bad example; what depends on the request, which is not read; negation, which
    sentence encoders hardly see.

    Args:
        bad, good: example answers, three of each at the least, different ones.
        encoder: texts -> (n, d) array; None is all-MiniLM-L6-v2 from the cache. A function, not a lambda made anew.
        max_new_tokens: how much of an answer is generated; 0 leaves it to the check.

    Source: nearest class mean: Rocchio 1971, and for embeddings Snell et al. 2017, arXiv:1703.05175; calibration:
    Platt 1999, with his targets.
    """

    bad: tuple[str, ...]
    good: tuple[str, ...]
    encoder: Encoder | None = None
    max_new_tokens: int = 0

    def __post_init__(self) -> None:
        for name in ("bad", "good"):
            given = getattr(self, name)
            if not isinstance(given, tuple) or not all(isinstance(t, str) and t.strip() for t in given):
                raise SettingError(f"{name} must be a tuple of example answers that are not empty, got {given!r:.80}.")
            if len(set(given)) < LEAST:
                raise SettingError(f"need {LEAST} or more different {name} examples, got {len(set(given))}.")
        both = set(self.bad) & set(self.good)
        if both:
            raise SettingError(f"{len(both)} examples are bad and good at once, first {sorted(both)[0]!r:.80}.")

    @property
    def key(self) -> str:
        """What a validation is valid for: these examples, in this encoder."""
        encoder = (
            "all-minilm-l6-v2" if self.encoder is None else getattr(self.encoder, "__qualname__", repr(self.encoder))
        )
        return content_key({"bad": sorted(self.bad), "good": sorted(self.good), "encoder": encoder})

    @property
    def likeness(self) -> Likeness:
        """Fitted once for the same examples. Raises EvidenceError when they cannot be told apart."""
        return _fitted(tuple(dict.fromkeys(self.bad)), tuple(dict.fromkeys(self.good)), self.encoder or minilm)

    def odds(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) nats, of answers that are there already."""
        if not texts:
            return np.zeros(0)
        return self.likeness.odds(vectors(self.encoder or minilm, texts))

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["LikeExamples"], look: Look) -> list[Read]:
        texts = generated(who, items, [m.max_new_tokens for m in measures], look)
        values = np.zeros(len(texts))
        for measure in dict.fromkeys(measures):
            at = [i for i, m in enumerate(measures) if m == measure]
            values[at] = measure.odds([texts[i] for i in at])
        return [Read(float(v), t, outcome=outcome_of(t)) for v, t in zip(values, texts, strict=True)]


def vectors(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """(n, d) unit vectors. Raises EvidenceError when the encoder returns anything but one finite vector a text."""
    rows = np.asarray(encoder(list(texts)), float)
    if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all():
        raise EvidenceError(
            f"the encoder must return one finite vector a text, got {rows.shape} for {len(texts)} texts, "
            f"{int((~np.isfinite(rows)).sum())} numbers not finite."
        )
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@lru_cache(maxsize=64)
def _fitted(bad: tuple[str, ...], good: tuple[str, ...], encoder: Encoder) -> Likeness:
    rows = vectors(encoder, [*bad, *good])
    return fit_likeness(rows[: len(bad)], rows[len(bad) :])


def fit_likeness(bad: np.ndarray, good: np.ndarray) -> Likeness:
    """From unit vectors (n, d) and (m, d). Raises EvidenceError when they cannot be told apart."""
    towards, middle = _line(bad.mean(axis=0), good.mean(axis=0))
    places = [
        *(_place(row, (bad.sum(axis=0) - row) / (len(bad) - 1), good.mean(axis=0)) for row in bad),
        *(_place(row, bad.mean(axis=0), (good.sum(axis=0) - row) / (len(good) - 1)) for row in good),
    ]
    is_bad = np.arange(len(places)) < len(bad)
    slope, offset = platt(np.array(places), is_bad)
    right = ((np.array(places)[is_bad] > 0).mean() + (np.array(places)[~is_bad] < 0).mean()) / 2
    if slope <= 0 or right <= 0.5:
        raise EvidenceError(
            f"the {len(bad)} bad and {len(good)} good examples cannot be told apart by their meaning: judged by the "
            f"others, {right:.0%} are on their side (half would be chance). Give more, and clearer ones."
        )
    return Likeness(towards, middle, slope, offset, float(right))


def _line(bad: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, float]:
    gap = bad - good
    towards = gap / max(float(np.linalg.norm(gap)), 1e-12)
    return towards, float(towards @ (bad + good) / 2)


def _place(row: np.ndarray, bad: np.ndarray, good: np.ndarray) -> float:
    towards, middle = _line(bad, good)
    return float(row @ towards - middle)


def platt(places: np.ndarray, is_bad: np.ndarray) -> tuple[float, float]:
    """(slope, offset) of the log-odds, by maximum likelihood with Platt's targets (n + 1)/(n + 2) and 1/(m + 2).

    The two kinds weigh the same, so that the odds are for an even chance. The places are put on their own scale first;
    targets that are never 0 or 1 keep the slope finite where the kinds do not overlap.
    """
    n, m = int(is_bad.sum()), int((~is_bad).sum())
    target = np.where(is_bad, (n + 1) / (n + 2), 1 / (m + 2))
    weight = np.where(is_bad, 0.5 / n, 0.5 / m)
    unit = float(places.std()) or 1.0
    x = np.stack([places / unit, np.ones(len(places))], axis=1)
    at = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ at))
        step = np.linalg.solve((x.T * (weight * p * (1 - p))) @ x + 1e-12 * np.eye(2), x.T @ (weight * (p - target)))
        # beyond a unit or two Newton's step can overshoot; the loss is convex, so shorter steps arrive as well
        at = at - step * min(1.0, 2.0 / max(float(np.linalg.norm(step)), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    return float(at[0] / unit), float(at[1])
