"""Which ids were seen, in nine bytes an id: a set of strings would take a hundred megabytes for a million items."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

UNSEEN = -1


class SeenIds:
    """Ids with a small number each (a role, say). Only 64-bit digests are kept: among a million ids the chance that any
    two share one is 3e-8."""

    def __init__(self) -> None:
        self._digests = np.zeros(0, np.uint64)  # ascending
        self._codes = np.zeros(0, np.int8)

    def __len__(self) -> int:
        return len(self._digests)

    def codes_of(self, ids: Iterable[str]) -> np.ndarray:
        """(n,) the number given with each id, -1 where it was not seen."""
        wanted = _digests(ids)
        if not len(self):
            return np.full(len(wanted), UNSEEN, np.int8)
        at = np.minimum(np.searchsorted(self._digests, wanted), len(self) - 1)
        return np.where(self._digests[at] == wanted, self._codes[at], UNSEEN)

    def add(self, ids: Sequence[str], code: int = 0) -> None:
        """Ids that were not seen before."""
        fresh = np.sort(_digests(ids))
        at = np.searchsorted(self._digests, fresh)
        self._digests = np.insert(self._digests, at, fresh)
        self._codes = np.insert(self._codes, at, np.int8(code))


def _digests(ids: Iterable[str]) -> np.ndarray:
    found = (blake2b(i.encode("utf-8", "surrogatepass"), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(found), np.uint64)
