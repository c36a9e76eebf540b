"""Which tranche, author, date or other value do the examples that attribution points at have in common?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse, stats

from ...errors import EvidenceError, SettingError
from ..tranches import length_bins
from .read_columns import labels_of

Way = tuple[np.ndarray, np.ndarray, np.ndarray]  # strata (n,), values x strata counts, sizes of the strata
BLOCK = 32  # permutations or draws at a time: memory is n x BLOCK


@dataclass(frozen=True)
class ColumnSettings:
    """How values are cut and tested.

    Args:
        permutations: of the scores; the smallest possible p is 4 / (permutations + 1).
        draws: of the queries, for the stability of a rank.
        bins: quantile bins of numbers and dates.
        least: examples below which a value is pooled with other rare ones.
        seed: of permutations and draws.
    """

    permutations: int = 2000
    draws: int = 200
    bins: int = 5
    least: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.permutations < 1 or self.draws < 1:
            raise SettingError(f"permutations and draws must be 1 or more, got {self.permutations} and {self.draws}.")


@dataclass(frozen=True)
class ValueScore:
    """How far the examples with one value of one column stand out.

    Attributes:
        n: examples with that value.
        z: their score sum in units of its permutation spread, within strata of length or without, whichever says more.
        z_interval: central 95% over draws of the queries; None for a single query.
        first: share of those draws in which the value is the first of its column; None for a single query.
        top_k, in_top: the look at the top that says most: of the top_k examples, in_top have the value.
        enrichment: in_top over what chance gives.
        p_value: the smaller of the two below, doubled: corrected for all values of all columns.
        p_permutation: max-statistic over all values of all columns, for two ways of permuting.
        p_top: hypergeometric, corrected for all values and top_k; knows nothing of strata.
    """

    column: str
    name: str
    n: int
    z: float
    z_interval: tuple[float, float] | None
    first: float | None
    top_k: int
    in_top: int
    enrichment: float
    p_value: float
    p_permutation: float
    p_top: float


@dataclass(frozen=True)
class ColumnRanking:
    """All values of all columns, the most suspect first.

    Attributes:
        same: (column, other): columns that part the examples as another one does, and were not tested again.
        skipped: (column, why) of those that part nothing.
    """

    values: tuple[ValueScore, ...]
    same: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]

    def of(self, column: str) -> tuple[ValueScore, ...]:
        """One column's values, best first. Raises SettingError for a column that was not tested."""
        found = tuple(v for v in self.values if v.column == dict(self.same).get(column, column))
        if not found:
            known = sorted({v.column for v in self.values})
            why = dict(self.skipped).get(column)
            raise SettingError(f"column {column!r} was not tested{f': {why}' if why else ''}. Tested: {known}.")
        return found


def rank_columns(
    per_query: np.ndarray,
    ids: Sequence[str],
    columns: Mapping[str, Mapping[str, Any]],
    lengths: Sequence[int] | None = None,
    settings: ColumnSettings | None = None,
) -> ColumnRanking:
    """Rank the values of all columns by their examples' scores.

    Three looks. (1) A permutation test of the score sum within strata of answer length, which keeps length from
    looking like a cause, and without them, as a planted answer may have a length of its own; each p is against the
    largest z over all values of all columns (Westfall & Young 1993), and the better of the two is doubled. (2)
    Enrichment among the top k by the hypergeometric law, for several k. (3) A bootstrap over queries: would other
    outputs have named the same value? Blind to examples that are copies of each other: these count as many.

    Args:
        per_query: (q, n) fused scores (`Fused.per_query`), finite; higher is more suspect.
        ids: n example ids.
        columns: name -> example id -> value (`columns_of`).
        lengths: of the answers, in tokens; None makes one stratum.

    Raises EvidenceError for scores that do not fit, or when no column parts the examples. Time grows as
    n x permutations x columns, memory as n.
    """
    settings = settings or ColumnSettings()
    n = _checked(per_query, ids, lengths)
    labels, same, skipped = _partitions(ids, columns, settings)
    if not labels:
        reasons = "; ".join(f"{c}: {why}" for c, why in skipped) or "none was given"
        raise EvidenceError(f"no column parts the {n} examples ({reasons}). Give one with two values or more.")
    strata = np.zeros(n, int) if lengths is None else length_bins(lengths)
    codes = {c: np.unique(np.asarray(values), return_inverse=True)[1] for c, values in labels.items()}
    # a canonical order, so that the result does not depend on the order of the examples
    order = np.lexsort((per_query.mean(axis=0), *codes.values(), strata))
    rows, names = _members({c: [values[i] for i in order] for c, values in labels.items()})
    scores, strata = np.asarray(per_query, float)[:, order], strata[order]
    ways = [_way(rows, strata), _way(rows, np.zeros(n, int))][0 if lengths is not None else 1 :]
    mean = scores.mean(axis=0)
    z = np.stack([_z(rows, mean[:, None], way)[:, 0] for way in ways])
    p = np.stack([_permuted(rows, mean, way, z[i], settings) for i, way in enumerate(ways)])
    best = np.lexsort((-z, p), axis=0)[0] if len(ways) > 1 else np.zeros(len(names), int)
    pick = best, np.arange(len(names))
    p_permutation = np.minimum(1.0, len(ways) * p[pick])
    top = _top(rows, mean)
    low, high, first = _bootstrap(rows, scores, ways, best, (names, settings))
    found = []
    for v, (column, name) in enumerate(names):
        n_value, k, inside, lift, p_top = int(rows.indptr[v + 1] - rows.indptr[v]), *(x[v] for x in top)
        p_value = min(1.0, 2 * min(float(p_permutation[v]), float(p_top)))
        interval = (float(low[v]), float(high[v])) if len(scores) > 1 else None
        share = float(first[v]) if len(scores) > 1 else None
        found.append(
            ValueScore(
                column, name, n_value, float(z[pick][v]), interval, share, int(k), int(inside), float(lift),
                p_value, float(p_permutation[v]), float(p_top),
            )
        )  # fmt: skip
    return ColumnRanking(tuple(sorted(found, key=lambda v: (v.p_value, -v.z, v.column, v.name))), same, skipped)


def _checked(per_query: np.ndarray, ids: Sequence[str], lengths: Sequence[int] | None) -> int:
    n = len(ids)
    if per_query.ndim != 2 or not per_query.size or per_query.shape[1] != n or not np.isfinite(per_query).all():
        raise EvidenceError(
            f"scores must be (queries, {n} examples) and finite, got shape {per_query.shape} with "
            f"{int((~np.isfinite(per_query)).sum())} not finite."
        )
    if len(set(ids)) != n or (lengths is not None and len(lengths) != n):
        raise EvidenceError(
            f"{n} scores need {n} different ids and as many lengths, got {len(set(ids))} and "
            f"{'none' if lengths is None else len(lengths)}."
        )
    return n


def _partitions(
    ids: Sequence[str], columns: Mapping[str, Mapping[str, Any]], settings: ColumnSettings
) -> tuple[dict[str, list[str]], tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Labels of the columns that part the examples, each partition once; those alike another; those that part none."""
    labels: dict[str, list[str]] = {}
    seen: dict[bytes, str] = {}
    same, skipped = [], []
    for column in sorted(columns, key=lambda c: (c != "tranche", c)):  # of columns alike, the tranche is kept
        values = labels_of(columns[column], ids, settings.bins, settings.least)
        place = {value: i for i, value in enumerate(dict.fromkeys(values))}
        if len(place) < 2:
            skipped.append((column, f"all {len(ids)} examples share one label, {values[0]}"))
            continue
        key = np.array([place[v] for v in values]).tobytes()
        if key in seen:
            same.append((column, seen[key]))
            continue
        seen[key], labels[column] = column, values
    return labels, tuple(same), tuple(skipped)


def _members(labels: Mapping[str, Sequence[str]]) -> tuple[sparse.csr_matrix, list[tuple[str, str]]]:
    """(values x examples) indicator of every value of every column, and their (column, value)."""
    blocks, names = [], []
    for column, values in labels.items():
        known, codes = np.unique(np.asarray(values), return_inverse=True)
        n = len(values)
        blocks.append(sparse.csr_matrix((np.ones(n), (codes, np.arange(n))), shape=(len(known), n)))
        names += [(column, str(value)) for value in known]
    return sparse.csr_matrix(sparse.vstack(blocks)), names


def _way(rows: sparse.csr_matrix, strata: np.ndarray) -> Way:
    layers = np.unique(strata, return_inverse=True)[1]
    n = len(layers)
    onehot = sparse.csr_matrix((np.ones(n), (np.arange(n), layers)), shape=(n, int(layers.max()) + 1))
    return layers, np.asarray((rows @ onehot).todense()), np.bincount(layers).astype(float)


def _z(rows: sparse.csr_matrix, scores: np.ndarray, way: Way) -> np.ndarray:
    """(values, draws): score sums of (n, draws), standardised by their exact permutation mean and spread."""
    mean, sd = _moments(scores, way)
    return (rows @ scores - mean) / sd


def _moments(scores: np.ndarray, way: Way) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (values, draws) of score sums when scores are exchanged within strata. The SD is infinite, and so z
    is 0, where a value fills its strata alone."""
    layers, counts, size = way
    draws = range(scores.shape[1])
    centre = np.stack([np.bincount(layers, scores[:, b]) for b in draws], axis=1) / size[:, None]
    off = (scores - centre[layers]) ** 2
    scatter = np.stack([np.bincount(layers, off[:, b]) for b in draws], axis=1) / size[:, None]
    sd = np.sqrt(counts * (size - counts) / np.maximum(size - 1, 1) @ scatter)
    usable = sd > 1e-9 * max(1e-300, float(np.abs(scores).max())) * len(layers)
    return counts @ centre, np.where(usable, sd, np.inf)


def _permuted(
    rows: sparse.csr_matrix, mean: np.ndarray, way: Way, z: np.ndarray, settings: ColumnSettings
) -> np.ndarray:
    """p of each value against the largest z over all values, scores being exchanged within strata."""
    rng = np.random.default_rng(settings.seed)
    expected, sd = _moments(mean[:, None], way)
    shuffled = mean.copy()
    parts = np.split(shuffled, np.flatnonzero(np.diff(way[0])) + 1)  # views: the strata lie one after the other
    above = np.zeros(len(z))
    for block in _blocks(settings.permutations):
        drawn = np.empty((len(mean), block))
        for b in range(block):
            for part in parts:
                rng.shuffle(part)
            drawn[:, b] = shuffled
        largest = ((rows @ drawn - expected) / sd).max(axis=0)
        above += (largest[:, None] >= z - 1e-9).sum(axis=0)
    return (1 + above) / (settings.permutations + 1)


def _top(rows: sparse.csr_matrix, mean: np.ndarray) -> tuple[np.ndarray, ...]:
    """Per value, at the k that says most: k, how many of the top k have it, over chance, corrected p.

    Where examples tie at the edge of the top, those without the value go first.
    """
    n, size = len(mean), np.asarray(rows.sum(axis=1)).ravel()
    ks = [k for k in (10, 30, 100, 300, 1000, 3000, 10_000, 100_000) if k <= n // 4] or [max(1, n // 4)]
    inside, chance = np.zeros((len(ks), len(size))), np.ones((len(ks), len(size)))
    for i, k in enumerate(ks):
        edge = np.partition(mean, n - k)[n - k]
        above, tied = rows @ (mean > edge).astype(float), rows @ (mean == edge).astype(float)
        places = k - int((mean > edge).sum())
        others = float((mean == edge).sum()) - tied
        inside[i] = above + np.maximum(0, places - others)
        chance[i] = stats.hypergeom.sf(inside[i] - 1, n, size, k)
    best = chance.argmin(axis=0)
    pick = best, np.arange(len(size))
    k = np.array(ks)[best]
    return k, inside[pick], inside[pick] / (k * size / n), np.minimum(1.0, chance[pick] * chance.size)


def _bootstrap(
    rows: sparse.csr_matrix,
    scores: np.ndarray,
    ways: Sequence[Way],
    best: np.ndarray,
    of: tuple[list[tuple[str, str]], ColumnSettings],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """2.5% and 97.5% of each value's z over draws of the queries, and how often it leads its column.

    The spread is that of all queries: drawing some twice would add noise to the examples and pull every z down.
    """
    names, settings = of
    rng, q = np.random.default_rng([settings.seed, 1]), len(scores)
    by_query = []
    for way in ways:
        sd = _moments(scores.mean(axis=0)[:, None], way)[1]
        by_query.append((rows @ scores.T - _moments(scores.T, way)[0]) / sd)
    chosen = np.stack(by_query)[best, np.arange(len(names))]  # (values, q); their mean over q is z
    weights = rng.multinomial(q, np.full(q, 1 / q), size=settings.draws) / q
    z = chosen @ weights.T
    low, high = np.quantile(z, [0.025, 0.975], axis=1)
    column = np.array([c for c, _ in names])
    first = np.zeros(len(names))
    for name in dict.fromkeys(column.tolist()):
        mine = np.flatnonzero(column == name)
        leads = z[mine] >= z[mine].max(axis=0) - 1e-12
        first[mine] = (leads / leads.sum(axis=0)).mean(axis=1)
    return low, high, first


def _blocks(total: int) -> Iterator[int]:
    for start in range(0, total, BLOCK):
        yield min(BLOCK, total - start)
