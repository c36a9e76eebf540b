"""What a capture hands on: rows of several sites that belong to the same items. Needs no torch, so that readers of a
store do not either."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import EvidenceError
from ..types import Activations

POOLED = -1


@dataclass(frozen=True)
class Input:
    """The tensor that a module takes, instead of the one it returns. `module`: a block number or a module's name."""

    module: int | str

    def __str__(self) -> str:
        return f"input of {self.module}"


Site = int | str | Input


def label(site: Site) -> Any:
    """What stands for a site in `Activations.layer` and on disk: a number or a name."""
    return str(site) if isinstance(site, Input) else site


@dataclass(frozen=True, eq=False)
class Chunk(Mapping[Any, Activations]):
    """Some items' activations by site, with the same rows in the same order at every site.

    Attributes:
        by_site: site -> Activations of n rows. Where each token gives a row, an item's id stands there several times.
        tokens: (n,) index of the token in its sequence, padding not counted; -1 where a row is a mean over tokens.
        position: name of the position that the rows were read at.
    """

    by_site: Mapping[Any, Activations]
    tokens: np.ndarray
    position: str = "last"

    def __post_init__(self) -> None:
        if not self.by_site:
            raise EvidenceError("a chunk of no sites holds nothing. Read at least one site.")
        ids = self.ids
        for site, seen in self.by_site.items():
            if seen.ids != ids or self.tokens.shape != (len(ids),):
                raise EvidenceError(
                    f"a chunk needs the same items at every site, got {len(ids)} at its first, {len(seen.ids)} at "
                    f"{site} and {self.tokens.shape} token indices. Read all sites in one pass."
                )

    @property
    def ids(self) -> tuple[str, ...]:
        return next(iter(self.by_site.values())).ids

    def __getitem__(self, site: Any) -> Activations:
        return self.by_site[site]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.by_site)

    def __len__(self) -> int:
        return len(self.by_site)

    @classmethod
    def of(cls, by_site: Mapping[Any, np.ndarray], ids: Sequence[str], tokens: np.ndarray, position: str,
           step: int = 0) -> "Chunk":  # fmt: skip
        """Raises EvidenceError, with the ids, when a row is not finite."""
        ids = tuple(ids)
        seen = {site: Activations(rows, ids, label(site), step) for site, rows in by_site.items()}
        return cls(seen, np.asarray(tokens, np.int64), position)
