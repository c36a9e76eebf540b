"""Random removals that resemble what they stand against: as many examples, of the same lengths."""

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from ...errors import EvidenceError

STRATA = 5


def draw_like(like: Sequence[str], pool: Sequence[str], lengths: Mapping[str, int], number: int, key: str) -> list[str]:
    """`number` ids from the pool, with lengths distributed as those of `like`; the same for the same key.

    Lengths are cut into STRATA of equal counts over pool and `like`. Each stratum gives its share; where it holds too
    few, its neighbours make up for it. So about as many tokens are removed, not only as many examples.

    Raises EvidenceError when the pool is too small.
    """
    if number > len(pool):
        raise EvidenceError(f"{number} of {len(pool)} examples cannot be drawn. Leave fewer out, or split the suspect.")
    rng = Random(key)
    both = [lengths[id] for id in (*pool, *like)]
    edges = np.quantile(both, np.linspace(0, 1, STRATA + 1)[1:-1])
    held: list[list[str]] = [[] for _ in range(STRATA)]
    for id, stratum in zip(pool, np.searchsorted(edges, [lengths[id] for id in pool], "left"), strict=True):
        held[stratum].append(id)
    for ids in held:
        rng.shuffle(ids)
    wanted = _shares(
        np.bincount(np.searchsorted(edges, [lengths[id] for id in like], "left"), minlength=STRATA), number
    )
    drawn: list[str] = []
    for stratum in sorted(range(STRATA), key=lambda s: len(held[s]) - wanted[s]):  # the scarcest first
        for near in sorted(range(STRATA), key=lambda s: (abs(s - stratum), s)):
            take = min(wanted[stratum], len(held[near]))
            drawn += held[near][:take]
            held[near] = held[near][take:]
            wanted[stratum] -= take
    return sorted(drawn)


def _shares(counts: np.ndarray, number: int) -> list[int]:
    """`number` dealt in proportion to counts, by largest remainder."""
    exact = counts * number / max(1, counts.sum())
    whole = np.floor(exact).astype(int)
    for i in np.argsort(whole - exact, kind="stable")[: number - whole.sum()]:
        whole[i] += 1
    return [int(n) for n in whole]
