"""What flagged rollouts say that their matched ones do not: n-grams of words and code tokens, with corrected p-values.

Each pair is one flagged rollout and one unflagged one of the same place, at most one pair a place: if flagging had
nothing to do with the text, either of the two could be the flagged one. Of the pairs in which an n-gram stands in just
one text, half would have it in the flagged one (McNemar 1947, exact).
Blind to: what is not in the words (length, correctness), paraphrases without a common n-gram, and text beyond the
first and last tokens that are read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ...evidence.holm import holm
from ...evidence.rollout_table import RolloutTable, hashed
from .matching import Matching

LONGEST = 4  # tokens of an n-gram
TOKENS = 256  # read at the start of a text, and again at its end
CHARACTERS = 20 * TOKENS  # looked at to find them
FEWEST = 6  # pairs that differ in an n-gram; fewer cannot give a small p-value
SHOWN = 10
TOGETHER = 0.8  # share of their texts that two phrases have in common, from which they are one finding
# A word, an operator of code, a sign; one character where words have no gaps between them.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[=<>!+\-*/&|^%~]+|[^\w\s]")
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Phrase:
    """An n-gram, in how many pairs only the flagged text has it, and in how many only the matched one.

    Attributes:
        text: tokens joined by a space.
        p_value: one-sided, corrected for all n-grams looked at.
    """

    text: str
    only_flagged: int
    only_matched: int
    pairs: int
    p_value: float


def shared_phrases(
    table: RolloutTable, matching: Matching, pairs: int = 400, alpha: float = 0.05, seed: int = 0
) -> tuple[Phrase, ...]:
    """Phrases that flagged rollouts share, the surest first; of those that are one finding only one.

    Args:
        pairs: texts of at most so many pairs are read, whatever the size of the table.
    """
    bad, good = pick_pairs(table, matching, pairs, seed)
    texts = table.responses([*bad, *good])
    return over_represented(texts[: len(bad)], texts[len(bad) :], alpha)


def pick_pairs(table: RolloutTable, matching: Matching, most: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """Rows of flagged rollouts and of their matches, one pair a place, places drawn at random.

    Drawn by hashes of the ids, so that the order of the rows does not matter.
    """
    rows = np.flatnonzero(matching.used)
    mixed = table.id_keys[rows] ^ np.uint64(hashed(str(seed)))
    mixed = (mixed ^ (mixed >> np.uint64(31))) * _MIX
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
    chosen = []
    for kind in (True, False):
        mine = np.flatnonzero(matching.flagged[rows] == kind)
        order = mine[np.lexsort((mixed[mine], matching.place[rows][mine]))]
        places, first = np.unique(matching.place[rows][order], return_index=True)
        chosen.append((places, order[first]))
    (_, bad), (_, good) = chosen  # every place in use holds both kinds
    keep = np.argsort(mixed[bad])[:most]
    return rows[bad[keep]].tolist(), rows[good[keep]].tolist()


def over_represented(bad: Sequence[str], good: Sequence[str], alpha: float = 0.05) -> tuple[Phrase, ...]:
    """Phrases that stand in more of `bad` than in the text beside it in `good`."""
    if not bad:
        return ()
    vocabulary: dict[str, int] = {}
    sides = [[_grams(_tokens(text), vocabulary) for text in side] for side in (bad, good)]
    only = [
        [np.setdiff1d(mine, other, assume_unique=True) for mine, other in zip(*order, strict=True)]
        for order in (sides, sides[::-1])
    ]
    grams, counts = np.unique(np.concatenate(only[0]), return_counts=True)
    others, other_counts = np.unique(np.concatenate(only[1]), return_counts=True)
    place = np.minimum(np.searchsorted(others, grams), max(len(others) - 1, 0))
    against = np.where(others[place] == grams, other_counts[place], 0) if len(others) else np.zeros_like(counts)
    tested = int((counts + against >= FEWEST).sum()) + _only_there(others, other_counts, grams)
    keep = counts + against >= FEWEST
    grams, counts, against = grams[keep], counts[keep], against[keep]
    p = stats.binom.sf(counts - 1, counts + against, 0.5)
    corrected = np.array(holm([*p.tolist(), *[1.0] * (tested - len(p))]))[: len(p)]
    sure = [i for i in np.flatnonzero(corrected <= alpha).tolist() if grams[i]]  # 0 stands for those over a gap
    here = np.stack([np.isin(grams[sure], mine) for mine in only[0]], axis=1)  # (sure, pairs)
    numbers = [(int(counts[i]), int(against[i]), float(corrected[i])) for i in sure]
    return _shown(dict(zip(grams[sure].tolist(), numbers, strict=True)), here, bad, vocabulary)


def _only_there(others: np.ndarray, counts: np.ndarray, grams: np.ndarray) -> int:
    """N-grams that stand in matched texts alone often enough to be tested: the correction counts them too."""
    return int((~np.isin(others, grams) & (counts >= FEWEST)).sum())


def _tokens(text: str) -> list[str]:
    found = _TOKEN.findall(text[:CHARACTERS])
    if len(text) <= CHARACTERS and len(found) <= 2 * TOKENS:
        return found
    return [*found[:TOKENS], "\n", *_TOKEN.findall(text[-CHARACTERS:])[-TOKENS:]]  # no n-gram reaches over the gap


def _grams(tokens: list[str], vocabulary: dict[str, int]) -> np.ndarray:
    """Ascending hashes of a text's n-grams, each once."""
    return np.unique(np.concatenate([h for h, _ in _hashes(tokens, vocabulary)] or [np.zeros(0, np.uint64)]))


def _hashes(tokens: list[str], vocabulary: dict[str, int]) -> list[tuple[np.ndarray, int]]:
    """[(hash of the n-gram that begins at each token, n)]."""
    ids = np.array([vocabulary.setdefault(t, hashed(t)) for t in tokens], np.uint64)
    gap = np.array([t == "\n" for t in tokens], bool)
    out, rolled, bad = [], np.zeros(len(ids), np.uint64), np.zeros(len(ids), bool)
    for n in range(1, min(LONGEST, len(ids)) + 1):
        rolled = (rolled[: len(ids) - n + 1] ^ ids[n - 1 :]) * _MIX + np.uint64(n)
        bad = bad[: len(ids) - n + 1] | gap[n - 1 :]
        out.append((np.where(bad, np.uint64(0), rolled), n))
    return out


def _shown(
    sure: dict[int, tuple[int, int, float]], here: np.ndarray, bad: Sequence[str], vocabulary: dict[str, int]
) -> tuple[Phrase, ...]:
    """Named by finding them again in the flagged texts; of phrases that are one finding only one stays.

    The surest first; of equally sure ones, that with the most tokens which stand out by themselves.
    """
    named = _named(sure, bad, vocabulary)
    rows = dict(zip(sure, here, strict=True))
    alone = {name[0] for name in named.values() if len(name) == 1}

    def rank(gram: int) -> tuple:
        name, (only, against, p) = named[gram], sure[gram]
        return p, against - only, -sum(token in alone for token in name), -len(name), name

    kept: list[int] = []
    for gram in sorted(named, key=rank):
        if not any(_overlap(named[gram], named[k]) or _together(rows[gram], rows[k]) for k in kept):
            kept.append(gram)
        if len(kept) == SHOWN:
            break
    return tuple(Phrase(" ".join(named[g]), sure[g][0], sure[g][1], len(bad), sure[g][2]) for g in kept)


def _named(sure: dict[int, Any], bad: Sequence[str], vocabulary: dict[str, int]) -> dict[int, tuple[str, ...]]:
    wanted = np.fromiter(sure, np.uint64, len(sure))
    named: dict[int, tuple[str, ...]] = {}
    for text in bad:
        if len(named) == len(sure):
            break
        tokens = _tokens(text)
        for hashes, n in _hashes(tokens, vocabulary):
            for at in np.flatnonzero(np.isin(hashes, wanted)).tolist():
                named.setdefault(int(hashes[at]), tuple(tokens[at : at + n]))
    return named


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """They share two tokens in a row, or one is a token of the other."""
    if 1 in (len(one), len(other)):
        return not set(one).isdisjoint(other)
    return not set(zip(one, one[1:], strict=False)).isdisjoint(zip(other, other[1:], strict=False))


def _together(one: np.ndarray, other: np.ndarray) -> bool:
    """They stand in nearly the same texts."""
    return bool((one & other).sum() >= TOGETHER * (one | other).sum())
