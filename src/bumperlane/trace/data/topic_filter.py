"""A filter of training data: which examples are about a stated topic, where the line lies, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal, get_args

import numpy as np

from ...errors import SettingError
from ...recipes.edits import DropExamples, DropTranche, Edit
from ...recipes.models import Recipe
from .topic_classifier import LEAST_MARKED, LEAST_STATED, ClassifierSettings, Platt
from .topic_line import Line, draw_line
from .topic_passages import Window
from .topic_scores import Encoder, Reading, Say, TopicScores, score_examples
from .topic_statement import Topic

By = Literal["classifier", "embeddings", "keywords"]
USUAL_AT = 0.5  # of the classifier, where no line is stated
NEAREST, SHOWN = 20, 3


@dataclass(frozen=True)
class FilterSettings:
    """What is asked of a filter.

    Args:
        by: the score that decides; None takes the classifier where there is enough to teach it, else embeddings where
            there is an encoder, else keywords.
        false_drop: share of off-topic examples that may be lost; needs marked ones. With `at`, the higher line counts.
        at: a score; None with no `false_drop` is 0.5 for the classifier, and no line for the others.
        seed: of everything that is drawn.
    """

    by: By | None = None
    false_drop: float | None = None
    at: float | None = None
    seed: int = 0
    window: Window = Window()
    classifier: ClassifierSettings = ClassifierSettings()

    def __post_init__(self) -> None:
        if self.by is not None and self.by not in get_args(By):
            raise SettingError(f"unknown score {self.by!r}. Known: {', '.join(get_args(By))}.")


@dataclass(frozen=True)
class Filtered:
    """Which examples are on the topic.

    Attributes:
        by: the score that decided.
        score: (n,) that score.
        line: None where none was stated; then nothing is above it.
        above: (n,) bool, on the topic.
        known: what the line's rates rest on, in words.
        inside_above: how many of the statement's own texts lie above the line, each held out, of how many; None
            without a classifier.
    """

    scores: TopicScores
    by: By
    score: np.ndarray
    line: Line | None
    above: np.ndarray
    known: str = ""
    inside_above: tuple[int, int] | None = None

    def edits(self) -> tuple[Edit, ...]:
        """What takes the examples above the line out of the recipe. A tranche of which nothing is left goes whole."""
        left = {t for t, up in zip(self.scores.tranches, self.above, strict=True) if not up}
        whole = [name for name in dict.fromkeys(self.scores.tranches) if name not in left]
        rows = zip(self.scores.ids, self.scores.tranches, self.above, strict=True)
        single = tuple(id for id, tranche, up in rows if up and tranche not in whole)
        return (*((DropExamples(single),) if single else ()), *(DropTranche(name) for name in whole))

    def nearest(self, seed: int) -> dict[str, list[int]]:
        """Tranche -> places of a few examples on either side of the line, drawn from the nearest ones, high to low."""
        if self.line is None:
            return {}
        tranches, found = np.array(self.scores.tranches), {}
        for name in dict.fromkeys(self.scores.tranches):
            rng, drawn = Random(f"nearest/{seed}/{name}"), []
            for side in (True, False):
                here = np.flatnonzero((tranches == name) & (self.above == side))
                order = here[np.argsort(abs(self.score[here] - self.line.at), kind="stable")][:NEAREST].tolist()
                drawn += rng.sample(order, min(SHOWN, len(order)))
            found[name] = sorted(drawn, key=lambda i: -self.score[i])
        return found

    def to_review(self, count: int, marks: Mapping[str, bool], seed: int) -> list[int]:
        """Places of examples drawn at random from those without a mark: their marks tell what the line costs."""
        free = [i for i, id in enumerate(self.scores.ids) if id not in marks]
        return sorted(Random(f"review/{seed}").sample(free, min(count, len(free))))


def filter_examples(
    recipe: Recipe,
    topic: Topic,
    settings: FilterSettings,
    source: tuple[Encoder | None, Path],
    marks: Mapping[str, bool] | None = None,
    say: Say = lambda what, done, total: None,
) -> Filtered:
    """Score a recipe's examples and draw the line.

    Args:
        source: what makes sentence vectors (None: words alone), and the directory where they are kept.
        marks: example id -> on the topic or not, from a reader. They should have been drawn at random from the data:
            the false-drop rate is theirs. Without any, the statement's off-topic texts stand in.

    Raises:
        SettingError: the score that is asked for is not there; a false-drop rate is asked for together with nothing
            to estimate it from.
        EvidenceError: too few stated texts, or marked examples.
    """
    encoder, work = source
    marks = marks or {}
    by = _decides(settings, topic, marks, encoder)
    reading = Reading(encoder, work, settings.window, settings.classifier, settings.seed, by == "classifier")
    scores = score_examples(recipe, topic, marks, reading, say)
    place = {id: i for i, id in enumerate(scores.ids)}
    on, off = ([place[id] for id, mark in marks.items() if mark is kind and id in place] for kind in (True, False))
    if by == "classifier" and min(len(on), len(off)) >= LEAST_MARKED:
        scores = _calibrated(scores, on, off)
    score = scores.by[by]
    known_off = score[off] if off else scores.outside.get(by, np.zeros(0))
    at = USUAL_AT if settings.at is None and settings.false_drop is None and by == "classifier" else settings.at
    if at is None and settings.false_drop is None:
        return Filtered(scores, by, score, None, np.zeros(len(score), bool))
    line = draw_line(known_off, score[on], settings.false_drop, at)
    inside = (int((scores.inside > line.at).sum()), len(scores.inside)) if by == "classifier" else None
    known = "marked examples" if off else "off-topic texts of the statement" if len(known_off) else ""
    return Filtered(scores, by, score, line, score > line.at, known, inside)


def _enough(topic: Topic, marks: Mapping[str, bool]) -> bool:
    return len(topic.texts) + sum(marks.values()) >= LEAST_STATED


def _decides(settings: FilterSettings, topic: Topic, marks: Mapping[str, bool], encoder: Encoder | None) -> By:
    if settings.by == "embeddings" and encoder is None:
        raise SettingError(
            "embeddings are to decide, and are left out. Allow them, or decide by classifier or keywords."
        )
    if settings.by:
        return settings.by
    return "classifier" if _enough(topic, marks) else "embeddings" if encoder else "keywords"


def _calibrated(scores: TopicScores, on: list[int], off: list[int]) -> TopicScores:
    """The classifier's scores as chances, by what a reader marked."""
    given = scores.by["classifier"]
    marked = np.array([True] * len(on) + [False] * len(off))
    fit = Platt.fit(given[[*on, *off]], marked)
    outside = {**scores.outside, "classifier": fit.of(scores.outside["classifier"])}
    by = {**scores.by, "classifier": fit.of(given)}
    return replace(scores, by=by, outside=outside, inside=fit.of(scores.inside))
