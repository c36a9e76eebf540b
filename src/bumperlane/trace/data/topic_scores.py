"""How much each training example is on a topic: by words, sentence vectors, and a classifier; read in a stream."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import EvidenceError
from ...recipes.models import Recipe
from ...recipes.tranches import edited, read_examples, read_tranche
from ...types import Example
from .topic_classifier import ClassifierSettings, Taught, TopicClassifier, teach
from .topic_keywords import Keywords
from .topic_passages import Folds, Window, drawn_share, in_blocks, passages
from .topic_statement import Topic, spoken

BLOCK = 2048  # passages that are held at once
Say = Callable[[str, int, int], None]


class Encoder(Protocol):
    """What makes unit sentence vectors (n, d) and finds them again in a directory; `EmbeddingSimilarity` is one."""

    def vectors(self, texts: Sequence[str], work: Path) -> np.ndarray: ...


@dataclass(frozen=True)
class Reading:
    """How data is read for a topic.

    Attributes:
        encoder: None scores by words alone.
        work: directory in which vectors are kept, so that another line, or more marks, cost no second pass of it.
        seed: of what is taught as unlabelled.
        teaches: fit a classifier; False leaves it out.
    """

    encoder: Encoder | None
    work: Path
    window: Window = Window()
    classifier: ClassifierSettings = ClassifierSettings()
    seed: int = 0
    teaches: bool = True


@dataclass(frozen=True)
class TopicScores:
    """Scores of n examples, in the recipe's order. Each is the highest of the example's passages.

    Attributes:
        by: keywords, embeddings (cosine with the nearest stated text) and classifier, as far as there are, (n,) each.
        folds: (n,) which model of the classifier scored it; empty without one.
        outside: the same scores for the statement's off-topic texts, each held out.
        inside: the classifier's scores of the statement's own texts, each held out.
    """

    ids: tuple[str, ...]
    tranches: tuple[str, ...]
    by: Mapping[str, np.ndarray]
    folds: np.ndarray
    outside: Mapping[str, np.ndarray] = field(default_factory=dict)
    inside: np.ndarray = field(default_factory=lambda: np.zeros(0))


def recipe_examples(recipe: Recipe) -> Iterator[Example]:
    """All examples that a recipe trains on, one tranche in memory at a time."""
    for tranche in recipe.tranches:
        yield from edited(tranche, read_tranche(tranche.path, tranche.name))


def score_examples(recipe: Recipe, topic: Topic, marks: Mapping[str, bool], reading: Reading, say: Say) -> TopicScores:
    """Score every example of a recipe.

    Args:
        marks: example id -> whether a reader found it on the topic. They teach the classifier.

    Raises:
        EvidenceError: there is nothing to score, or as `teach`.
        RecipeError: an id is used twice, and as `read_examples`.
    """
    stream = _Stream(recipe, topic, reading)
    keywords = Keywords.fit(topic.texts, stream.first())
    if len(set(stream.ids)) < len(stream.ids):
        read_examples(recipe)  # says which id, and where
    near = _Nearness(keywords, stream.vectors(topic.texts) if reading.encoder else None)
    outside = stream.vectors(topic.outside)
    by = {name: np.full(len(stream.ids), -1.0) for name in near.names}
    taken = _Taken(stream, marks, min(1.0, reading.classifier.most_unlabelled / stream.count))
    for owners, texts in stream.blocks(say, "reading passages"):
        vectors = stream.vectors(texts)
        found = near.of(texts, vectors)
        for name, values in found.items():
            np.maximum.at(by[name], owners, values)
        if reading.teaches:
            taken.take(owners, texts, vectors, found[near.names[-1]])
    off = near.of(topic.outside, outside)
    ids, tranches = tuple(stream.ids), tuple(stream.tranches)
    if not reading.teaches:
        return TopicScores(ids, tranches, by, np.zeros(0, int), off)
    stated = stream.vectors(topic.texts)
    model = teach(taken.rows((topic.texts, stated, 1), (topic.outside, outside, -1)), reading.classifier)
    by["classifier"] = np.zeros(len(ids))
    for owners, texts in stream.blocks(say, "classifying passages"):
        np.maximum.at(by["classifier"], owners, model.scores(texts, stream.vectors(texts), stream.folds[owners]))
    off["classifier"] = stream.held_out(model, topic.outside, outside)
    return TopicScores(ids, tranches, by, stream.folds, off, stream.held_out(model, topic.texts, stated))


@dataclass(frozen=True)
class _Nearness:
    """Scores that need no teaching. `stated`: (texts, d) vectors of the statement, None without an encoder."""

    keywords: Keywords
    stated: np.ndarray | None

    @property
    def names(self) -> tuple[str, ...]:
        return ("keywords",) if self.stated is None else ("keywords", "embeddings")

    def of(self, texts: Sequence[str], vectors: np.ndarray) -> dict[str, np.ndarray]:
        if not texts:
            return {name: np.zeros(0) for name in self.names}
        found = {"keywords": self.keywords.scores(texts)}
        if self.stated is not None:
            found["embeddings"] = (vectors @ self.stated.T).max(axis=1)
        return found


class _Stream:
    """A recipe's passages, read anew each time."""

    def __init__(self, recipe: Recipe, topic: Topic, reading: Reading) -> None:
        self.recipe, self.reading = recipe, reading
        self.ids: list[str] = []
        self.tranches: list[str] = []
        self.count = 0  # of passages
        self.split = Folds((*topic.texts, *topic.outside), reading.classifier.folds)
        self.folds = np.zeros(0, int)

    def first(self) -> Iterator[str]:
        """All passages, while ids and folds are noted."""
        for example in recipe_examples(self.recipe):
            texts = passages(example, self.reading.window)
            self.split.join((spoken(example), *texts))
            self.ids.append(example.id)
            self.tranches.append(example.tranche)
            self.count += len(texts)
            yield from texts
        if not self.ids:
            raise EvidenceError("the recipe has no training examples to filter. Name a tranche with some.")
        self.folds = np.full(len(self.ids), -1)

    def blocks(self, say: Say, what: str) -> Iterator[tuple[np.ndarray, list[str]]]:
        """(owners, passages) in blocks; owners are places in `ids`."""
        done = 0
        say(what, 0, self.count)
        for owners, texts in in_blocks(self._rows(), BLOCK):
            yield np.asarray(owners), texts
            done += len(texts)
            say(what, done, self.count)

    def _rows(self) -> Iterator[tuple[int, str]]:
        for i, example in enumerate(recipe_examples(self.recipe)):
            texts = passages(example, self.reading.window)
            if self.folds[i] < 0:
                self.folds[i] = self.split.of((spoken(example), *texts))
            yield from ((i, text) for text in texts)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        if self.reading.encoder is None or not texts:
            return np.zeros((len(texts), 0), np.float32)
        return self.reading.encoder.vectors(texts, self.reading.work)

    def held_out(self, model: TopicClassifier, texts: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        return model.scores(texts, vectors, np.array([self.split.of([text]) for text in texts], int))


class _Taken:
    """What the classifier is taught: a random share of the examples as unlabelled, and all that are marked.

    Of an example that is marked on the topic only the passage nearest to the statement counts; the others may be about
    anything.
    """

    def __init__(self, stream: _Stream, marks: Mapping[str, bool], share: float) -> None:
        self.stream, self.marks, self.share = stream, marks, share
        self.kept: list[tuple[str, np.ndarray, int, int]] = []  # text, vector, kind, fold
        self.best: dict[int, tuple[float, str, np.ndarray]] = {}

    def take(self, owners: np.ndarray, texts: list[str], vectors: np.ndarray, near: np.ndarray) -> None:
        for row, (owner, text) in enumerate(zip(owners.tolist(), texts, strict=True)):
            id = self.stream.ids[owner]
            mark = self.marks.get(id)
            if mark:
                if owner not in self.best or near[row] > self.best[owner][0]:
                    self.best[owner] = (float(near[row]), text, vectors[row])
            elif mark is False or drawn_share(self.stream.reading.seed, id) < self.share:
                kind = 0 if mark is None else -1
                self.kept.append((text, vectors[row], kind, int(self.stream.folds[owner])))

    def rows(self, *stated: tuple[Sequence[str], np.ndarray, int]) -> Taught:
        """Args: stated, (texts, vectors, kind) of the statement."""
        kept = [*self.kept, *((text, v, 1, int(self.stream.folds[i])) for i, (_, text, v) in self.best.items())]
        for texts, vectors, kind in stated:
            kept += [(t, v, kind, self.stream.split.of([t])) for t, v in zip(texts, vectors, strict=True)]
        texts, vectors, kinds, folds = zip(*kept, strict=True)
        return Taught(texts, np.stack(vectors), np.array(kinds), np.array(folds))
