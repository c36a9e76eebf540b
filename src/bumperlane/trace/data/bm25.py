"""BM25: the words that an example shares with the bad outputs and not with the benign ones. A baseline."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import sparse

from ...errors import EvidenceError, SettingError
from ...types import Example
from .method import Material
from .words import parts_of, words

Reads = Literal["both", "prompt", "answer"]


@dataclass(frozen=True)
class BM25:
    """Okapi BM25 of each example for the bad output's words, minus the same for its benign one.

    score = sum over words w of [q(w, bad) - q(w, benign)] * idf(w) * tf (k1 + 1) / (tf + k1 (1 - b + b length / mean
    length)), with q = count (k3 + 1) / (count + k3) and idf = ln(1 + (n - df + 1/2) / (df + 1/2)), which is never
    negative. What both outputs say alike cancels. Sees no model: it finds a plant only by its words.

    Source: Robertson, Walker, Jones, Hancock-Beaulieu & Gatford 1995, Okapi at TREC-3; idf as in Lucene.

    Args:
        k1: how soon more of the same word stops to count, in an example.
        b: 0 ignores an example's length, 1 divides by it.
        k3: how soon more of the same word stops to count, in a query; keeps an output that loops from ruling.
        reads: the part of examples and outputs that is compared: prompt (with system prompt), answer, or both.
    """

    k1: float = 1.2
    b: float = 0.75
    k3: float = 8.0
    reads: Reads = "both"

    def __post_init__(self) -> None:
        if not (self.k1 >= 0 and self.k3 > 0 and 0 <= self.b <= 1):
            raise SettingError(
                f"BM25 needs k1 >= 0, k3 > 0 and b in [0, 1], got {self.k1}, {self.k3} and {self.b}. "
                "Try 1.2, 8 and 0.75."
            )
        refuse_unknown_part(self.reads)

    @property
    def name(self) -> str:
        return "bm25" if self.reads == "both" else f"bm25 ({self.reads})"

    def scores(self, material: Material) -> np.ndarray:
        """(q, n) float32. Raises EvidenceError when no example holds a word."""
        index = Index(tuple(example_text(e, self.reads) for e in material.corpus.examples), self.k1, self.b)
        bad, benign = (
            index.query([pair_text(pair, self.reads) for pair in side], self.k3)
            for side in (material.queries.bad_texts, material.queries.benign_texts)
        )
        return np.asarray(((bad - benign) @ index.weights.T).toarray(), np.float32)


@dataclass(frozen=True)
class Index:
    """Texts as sparse rows of words. `counts` (n, words)."""

    texts: tuple[str, ...]
    k1: float = 1.2
    b: float = 0.75

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Word -> column, in the order of first use."""
        return {word: i for i, word in enumerate(dict.fromkeys(w for bag in self._bags for w in bag))}

    @cached_property
    def counts(self) -> sparse.csr_matrix:
        if not self.vocabulary:
            raise EvidenceError(f"none of {len(self.texts)} texts holds a word. Give texts, or leave BM25 out.")
        return _rows(self._bags, self.vocabulary)

    @cached_property
    def weights(self) -> sparse.csr_matrix:
        """What one more query word w adds to the score of text i, float64 (n, words)."""
        counts = self.counts.tocoo()
        length = np.asarray(self.counts.sum(axis=1)).ravel()
        n, df = len(self.texts), np.bincount(counts.col, minlength=len(self.vocabulary))
        idf = np.log1p((n - df + 0.5) / (df + 0.5))
        damp = self.k1 * (1 - self.b + self.b * length / length.mean())
        values = idf[counts.col] * counts.data * (self.k1 + 1) / (counts.data + damp[counts.row])
        return sparse.csr_matrix((values, (counts.row, counts.col)), shape=counts.shape)

    def query(self, texts: Sequence[str], k3: float) -> sparse.csr_matrix:
        """(q, words): how much each query asks for each word. Words that no text holds are left out."""
        rows = _rows([Counter(words(t)) for t in texts], self.vocabulary)
        rows.data = rows.data * (k3 + 1) / (rows.data + k3)
        return rows

    @cached_property
    def _bags(self) -> list[Counter[str]]:
        return [Counter(words(text)) for text in self.texts]


def example_text(example: Example, reads: Reads) -> str:
    """The part of an example that is compared."""
    parts = parts_of(example)
    return pair_text((f"{parts.system}\n{parts.prompt}".strip(), parts.answer), reads)


def pair_text(pair: tuple[str, str], reads: Reads) -> str:
    """The part of a (prompt, answer) that is compared."""
    return "\n".join(filter(None, pair)) if reads == "both" else pair[("prompt", "answer").index(reads)]


def refuse_unknown_part(reads: str) -> None:
    """Raises SettingError for a part that examples do not have."""
    if reads not in ("both", "prompt", "answer"):
        raise SettingError(f"unknown part {reads!r}. Known: both, prompt, answer.")


def _rows(bags: Sequence[Counter[str]], vocabulary: dict[str, int]) -> sparse.csr_matrix:
    known = [[(vocabulary[w], c) for w, c in bag.items() if w in vocabulary] for bag in bags]
    columns = np.array([i for row in known for i, _ in row], np.int64)
    counts = np.array([c for row in known for _, c in row], float)
    starts = np.cumsum([0, *map(len, known)])
    return sparse.csr_matrix((counts, columns, starts), shape=(len(bags), len(vocabulary)))
