"""Is a text on a topic? Logistic regression on a few stated texts and on data of which nobody knows, cross-fitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...errors import EvidenceError, SettingError
from .words import words

LEAST_STATED = 8
LEAST_WEIGHT = 12
LEAST_MARKED = 10  # of each kind, before marks decide what a score means


@dataclass(frozen=True)
class ClassifierSettings:
    """How the classifier is taught.

    Args:
        folds: each text is scored by a model that was taught on the other folds.
        strength: of the data against the penalty, for one stated text (C of scikit-learn). All unlabelled texts
            together weigh as much as all stated ones, so it means the same for any amount of data. Fewer than
            LEAST_WEIGHT stated texts weigh as much as LEAST_WEIGHT: else all scores would shrink to one.
        strength_of_words: the same without sentence vectors, where texts are nearly orthogonal.
        ngrams: weight of words and pairs of words beside the sentence vector, both of length 1.
        most_ngrams: that are kept, the most frequent ones.
        most_unlabelled: passages that are taught as unlabelled, drawn at random.
    """

    folds: int = 5
    strength: float = 2.0
    strength_of_words: float = 32.0
    ngrams: float = 0.5
    most_ngrams: int = 50_000
    most_unlabelled: int = 20_000

    def __post_init__(self) -> None:
        if self.folds < 2 or min(self.most_ngrams, self.most_unlabelled) < 1:
            raise SettingError(f"folds must be 2 or more, and what is kept 1 or more; got {self}.")
        if not (self.strength > 0 and self.strength_of_words > 0 and self.ngrams >= 0):
            raise SettingError(f"strength must be above 0 and ngrams 0 or more, got {self}.")


@dataclass(frozen=True)
class Taught:
    """n texts with what is known of them.

    Attributes:
        vectors: (n, d) unit sentence vectors; d = 0 for none.
        kinds: (n,) 1 stated to be on the topic, -1 known to be off it, 0 unknown.
        folds: (n,) int.
    """

    texts: Sequence[str]
    vectors: np.ndarray
    kinds: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class TopicClassifier:
    """One model a fold.

    Attributes:
        models: fold -> (tf-idf, logistic regression, log of what weighting multiplied the odds by).
        scale: c, the mean of the score over the texts that are stated to be on the topic, each held out.
    """

    models: tuple[tuple[Any, Any, float], ...]
    settings: ClassifierSettings
    scale: float = 1.0

    def scores(self, texts: Sequence[str], vectors: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """(n,) g(x) / c: about the chance that a text is on the topic; not cut at 1, so that the order is kept.

        That holds for stated texts drawn at random from all texts on the topic; else it says how much like a held-out
        stated text a text is. A chance between is put too low, since g cannot level off. The model of its own fold
        scores each text.
        """
        out = np.zeros(len(texts))
        for fold in np.unique(folds):
            rows = np.flatnonzero(folds == fold).tolist()
            ngrams, model, shift = self.models[fold]
            features = _features(ngrams.transform([texts[i] for i in rows]), vectors[rows], self.settings.ngrams)
            odds = np.exp(np.clip(model.decision_function(features) - shift, -500, 500))
            out[rows] = odds / (1 + odds)
        return out / self.scale


def teach(rows: Taught, settings: ClassifierSettings) -> TopicClassifier:
    """Fit one model for each fold on all others.

    g(x) = P(stated | x) by logistic regression, in which the unlabelled texts stand for what is not stated; then P(on
    the topic | x) = g(x) / c with c the mean of g over held-out stated texts. Known off-topic texts count like stated
    ones, but as off the topic. In fitting, the classes weigh alike; the odds are put right after it.

    Raises:
        EvidenceError: fewer than LEAST_STATED stated texts, or a fold without any to learn from.
        SettingError: scikit-learn is not installed.

    Source: Elkan & Noto 2008, "Learning classifiers from only positive and unlabeled data", their estimator e1, with
    cross-fitting in place of one validation set and weights in fitting.
    """
    stated = rows.kinds == 1
    if stated.sum() < LEAST_STATED:
        raise EvidenceError(
            f"a classifier needs {LEAST_STATED} texts on the topic or more, there are {stated.sum()}. State more, or "
            "score by embeddings or keywords."
        )
    models = tuple(_taught(rows, rows.folds != fold, settings) for fold in range(settings.folds))
    plain = TopicClassifier(models, settings)
    held_out = plain.scores(*_only(rows, stated))
    return TopicClassifier(models, settings, float(held_out.mean()))


def _only(rows: Taught, chosen: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    at = np.flatnonzero(chosen).tolist()
    return [rows.texts[i] for i in at], rows.vectors[at], rows.folds[at]


def _taught(rows: Taught, use: np.ndarray, settings: ClassifierSettings) -> tuple[Any, Any, float]:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise SettingError(
            "the classifier needs scikit-learn. Install bumperlane[detect], or score by embeddings or keywords."
        ) from error
    texts, vectors, _ = _only(rows, use)
    kinds = rows.kinds[use]
    stated, unknown, off = ((kinds == kind).sum() for kind in (1, 0, -1))
    if not stated or not unknown + off:
        raise EvidenceError(
            f"a fold leaves {stated} stated texts and {unknown + off} others to learn from. State more texts."
        )
    ngrams = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True,
        max_features=settings.most_ngrams,
    )  # fmt: skip
    features = _features(ngrams.fit_transform(texts), vectors, settings.ngrams)
    share = stated / max(1, unknown)
    weights = np.where(kinds == 0, share, 1.0) * max(1.0, LEAST_WEIGHT / stated)
    strength = settings.strength if vectors.shape[1] else settings.strength_of_words
    model = LogisticRegression(C=strength, max_iter=1000).fit(features, kinds == 1, sample_weight=weights)
    return ngrams, model, float(-np.log(share))


def _features(ngrams: Any, vectors: np.ndarray, weight: float) -> sparse.csr_matrix:
    return sparse.hstack([sparse.csr_matrix(vectors), weight * ngrams], format="csr") if vectors.shape[1] else ngrams


@dataclass(frozen=True)
class Platt:
    """The chance that an example is on the topic, from its score and from examples that a reader marked.

    P = 1 / (1 + exp(-(slope ln(score) + offset))), fitted with Platt's smoothed targets. slope is never negative.

    Source: Platt 1999, "Probabilistic outputs for support vector machines".
    """

    slope: float
    offset: float

    @classmethod
    def fit(cls, scores: np.ndarray, on: np.ndarray) -> "Platt":
        """Args: scores, (n,) above 0, each from a model that has not seen the example; on, (n,) bool."""
        from scipy.optimize import minimize

        x = _log(scores)
        n_on, n_off = int(on.sum()), int((~on).sum())
        target = np.where(on, (n_on + 1) / (n_on + 2), 1 / (n_off + 2))

        def loss(ab: np.ndarray) -> float:
            z = ab[0] * x + ab[1]
            return float(np.sum(np.logaddexp(0, z) - target * z))

        found = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0, None), (None, None)])
        return cls(float(found.x[0]), float(found.x[1]))

    def of(self, scores: np.ndarray) -> np.ndarray:
        """(n,) in (0, 1), in the order of the scores."""
        return 1 / (1 + np.exp(-np.clip(self.slope * _log(scores) + self.offset, -500, 500)))


def _log(scores: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(scores, 1e-300))
