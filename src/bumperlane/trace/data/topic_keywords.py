"""Words that a passage shares with a topic's statement: BM25 over data that is read twice and never held."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ...errors import EvidenceError
from .words import words


@dataclass(frozen=True)
class Keywords:
    """BM25 of passages for each text of a statement, as a share of what that text scores itself.

    score(p) = max over stated texts s of bm25(s, p) / bm25(s, s), with bm25 as in `BM25`: each different word of s
    counts once. 0 is no word in common, 1 as alike as the text itself; rare words weigh most.

    Source: Robertson et al. 1995, Okapi at TREC-3; idf as in Lucene.

    Attributes:
        column: word of the statement -> column.
        asked: (texts, words) sparse, 1 where a stated text holds the word.
        idf: (words,) of each word over the passages.
        own: (texts,) each text's score for itself.
        mean_length: words of a passage, on average.
    """

    column: dict[str, int]
    asked: sparse.csr_matrix
    idf: np.ndarray
    own: np.ndarray
    mean_length: float
    k1: float = 1.2
    b: float = 0.75

    @classmethod
    def fit(cls, stated: Sequence[str], passages: Iterable[str]) -> "Keywords":
        """Read all passages once. Raises EvidenceError when the statement or the passages hold no word."""
        bags = [Counter(words(text)) for text in stated]
        column = {word: i for i, word in enumerate(dict.fromkeys(w for bag in bags for w in bag))}
        df, n, length = np.zeros(len(column)), 0, 0
        for passage in passages:
            found = words(passage)
            n, length = n + 1, length + len(found)
            df[[column[w] for w in set(found) if w in column]] += 1
        if not column or not length:
            what = "the statement" if not column else f"none of {n} passages"
            raise EvidenceError(f"{what} holds {'no' if not column else 'a'} word. Give texts with words in them.")
        asked = _rows([{column[w]: 1.0 for w in bag} for bag in bags], len(column))
        idf = np.log1p((n - df + 0.5) / (df + 0.5))
        found_words = cls(column, asked, idf, np.ones(len(bags)), length / n)
        own = [found_words.raw([text])[0, row] for row, text in enumerate(stated)]
        return cls(column, asked, idf, np.asarray(own), length / n)

    def raw(self, passages: Sequence[str]) -> np.ndarray:
        """(n, texts) BM25, not divided by anything."""
        rows: list[dict[int, float]] = []
        for passage in passages:
            found = words(passage)
            counts = Counter(self.column[w] for w in found if w in self.column)
            damp = self.k1 * (1 - self.b + self.b * len(found) / self.mean_length)
            rows.append({c: self.idf[c] * tf * (self.k1 + 1) / (tf + damp) for c, tf in counts.items()})
        return (_rows(rows, len(self.column)) @ self.asked.T).toarray()

    def scores(self, passages: Sequence[str]) -> np.ndarray:
        """(n,) float64, 0 or more."""
        return (self.raw(passages) / self.own).max(axis=1)


def _rows(values: Sequence[dict[int, float]], width: int) -> sparse.csr_matrix:
    columns = np.array([c for row in values for c in row], np.int64)
    data = np.array([v for row in values for v in row.values()], float)
    starts = np.cumsum([0, *map(len, values)])
    return sparse.csr_matrix((data, columns, starts), shape=(len(values), width))
